"""Checks of endpoints, which the models alone cannot see."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.adapters import registry
from gateway.config.document import FieldPath
from gateway.config.error_messages import suggest
from gateway.config.outbound_models import EndpointConfig, OutboundConfig
from gateway.config.secrets import MIN_LENGTH, length_of, problem_of
from gateway.config.value_checks import EMBEDDED
from gateway.signatures.units import format_duration

MAX_CONDITIONS = 16
"""Conditions of an endpoint's `where`, in all its alternatives."""

MAX_HEADERS_SIZE = 4096
"""Bytes of an endpoint's further headers."""

SECRET_SIZES = range(24, 65)
"""Bytes of a Standard Webhooks secret (specification, "Signature scheme")."""

KEY_SIZE = 32
"""Bytes of an Ed25519 key, and of a key that encrypts secrets."""

_OF_THE_REQUEST = {
    "connection",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "accept-encoding",
    "cookie",
    "user-agent",
    "traceparent",
}
"""Headers that the gateway writes itself, or that would change the framing of the request."""

_LISTS = {"in", "not_in"}
_NUMBERS = {"gt", "gte", "lt", "lte"}


def check_outbound(
    outbound: OutboundConfig, postgres_url: str, *, has_way_out: bool
) -> Iterator[tuple[FieldPath, str]]:
    """Yield the problems of what holds for all endpoints: the path within the section, and the text."""
    for position, key in enumerate(outbound.key_texts()):
        if _size_of(key) != KEY_SIZE:
            yield (
                ("keys", position),
                f"is not base64 of {KEY_SIZE} bytes; make a key with `openssl rand -base64 {KEY_SIZE}`",
            )
    if has_way_out and postgres_url != EMBEDDED and not outbound.keys:
        yield (
            ("keys",),
            (
                "is empty, but postgres.url names a database for several machines, which must all read the endpoints' "
                f"secrets; make a key with `openssl rand -base64 {KEY_SIZE}`"
            ),
        )
    retention = outbound.retention
    if retention.held > retention.messages:
        yield (
            ("retention", "held"),
            f"must not be longer than outbound.retention.messages ({format_duration(retention.messages)})",
        )


def check_endpoint(
    endpoint: EndpointConfig, outbound: OutboundConfig, *, has_secrets: bool
) -> Iterator[tuple[FieldPath, str]]:
    """Yield the problems of one endpoint: the path within its block, and the text.

    Args:
        endpoint: The endpoint's block of the configuration.
        outbound: What holds for all endpoints.
        has_secrets: Whether URLs and secrets are real; placeholders are not checked.
    """
    yield from ((("where",), problem) for problem in where_problems(endpoint.where))
    headers = {name: value.get_secret_value() for name, value in endpoint.headers.items()}
    yield from ((("headers", *place), problem) for place, problem in header_problems(headers))
    if endpoint.sign_as and endpoint.sign_as not in registry.names():
        yield (
            ("sign_as",),
            f"there is no adapter {endpoint.sign_as!r}{suggest(endpoint.sign_as, registry.names())}",
        )
    elif endpoint.sign_as and endpoint.format != "original":
        yield ("sign_as",), "is for format: original; remove it, or set the format"
    if endpoint.on_dead == "hold" and endpoint.order == "none":
        yield ("on_dead",), "hold needs an order; set order to subject or to a JSON pointer"
    if has_secrets:
        yield from _check_url(endpoint, outbound)
        yield from _check_secrets(endpoint)


def _check_url(endpoint: EndpointConfig, outbound: OutboundConfig) -> Iterator[tuple[FieldPath, str]]:
    """Yield what is wrong with the scheme of a URL; :mod:`gateway.outbound.addresses` judges all of it."""
    if endpoint.url.startswith("http://"):
        if not outbound.allow_http:
            yield (
                ("url",),
                "is not encrypted; write https://, or set outbound.allow_http if the network is your own",
            )
    elif not endpoint.url.startswith("https://"):
        yield ("url",), "is not a URL; write https://host/path"


def where_problems(where: Sequence[Mapping[str, Mapping[Any, object]]]) -> Iterator[str]:
    """Yield what is wrong with the conditions of an endpoint, whose pointers and operators are known to be some."""
    conditions = [
        (pointer, operator, operand)
        for each in where
        for pointer, operands in each.items()
        for operator, operand in operands.items()
    ]
    if len(conditions) > MAX_CONDITIONS:
        yield f"has {len(conditions)} conditions; the most are {MAX_CONDITIONS}"
    for pointer, operator, operand in conditions:
        if problem := _problem_of_operand(operator, operand):
            yield f"{pointer}: {operator} {problem}"


def _problem_of_operand(operator: str, operand: object) -> str:
    if operator in _LISTS:
        is_fine = isinstance(operand, list) and 0 < len(operand) <= 100 and all(map(_is_plain, operand))
        return "" if is_fine else "needs a list of texts, numbers or booleans"
    if operator in _NUMBERS:
        is_number = isinstance(operand, int | float) and not isinstance(operand, bool)
        return "" if is_number else "needs a number"
    if operator == "exists":
        return "" if isinstance(operand, bool) else "needs true or false"
    if operator == "prefix":
        return "" if isinstance(operand, str) else "needs a text"
    return "" if _is_plain(operand) else "needs a text, a number, a boolean or null"


def _is_plain(operand: object) -> bool:
    return operand is None or isinstance(operand, str | int | float)


def header_problems(headers: Mapping[str, str]) -> Iterator[tuple[FieldPath, str]]:
    """Yield what is wrong with the further headers of an endpoint: the path below `headers`, and the text."""
    size = 0
    for name, value in headers.items():
        size += len(name) + len(value) + 4
        if name.lower() in _OF_THE_REQUEST or name.lower().startswith(("webhook-", "x-webhook-", "proxy-")):
            yield (name,), "is a header that the gateway writes itself; remove it"
        elif not re.fullmatch(r"[\x20-\x7e]*", value) or value != value.strip():
            yield (name,), "has characters that a header cannot have, or blanks around it"
    if size > MAX_HEADERS_SIZE:
        yield (), f"are larger than {MAX_HEADERS_SIZE} bytes"


def _check_secrets(endpoint: EndpointConfig) -> Iterator[tuple[FieldPath, str]]:
    is_original, kind = endpoint.format == "original", endpoint.signature
    is_keyed = not is_original and kind.startswith("ed25519")
    if is_keyed and endpoint.private_key is None:
        yield (), f"private_key is missing, which signature: {kind} signs with"
    elif endpoint.private_key is not None:
        if not is_keyed:
            yield ("private_key",), "is for signature: ed25519 and ed25519_only; remove it"
        elif _size_of(endpoint.private_key.get_secret_value().removeprefix("whsk_")) != KEY_SIZE:
            yield ("private_key",), f"is not whsk_ and base64 of {KEY_SIZE} bytes"
    needs_secret = is_original or kind != "ed25519_only"
    if needs_secret and not endpoint.secrets:
        yield (
            (),
            (
                "secrets is missing: a receiver could not tell your requests from anybody else's; make one with "
                '`echo "whsec_$(openssl rand -base64 32)"`'
            ),
        )
    is_standard = not is_original and kind in {"standard", "ed25519"}
    texts = endpoint.secret_texts()
    for position, text in enumerate(texts):
        problem = secret_problem(text, is_standard=is_standard)
        if not problem and text in texts[:position]:
            problem = "stands there twice; while rotating, list two different secrets"
        if problem:
            yield ("secrets", position), problem


def secret_problem(text: str, *, is_standard: bool) -> str | None:
    """Return why a text cannot be a secret of an endpoint; None if it can.

    Args:
        text: The secret.
        is_standard: Whether it signs as Standard Webhooks has it.
    """
    if problem := problem_of(text):
        return problem
    if is_standard and _size_of(text.removeprefix("whsec_")) not in SECRET_SIZES:
        return (
            f"is not whsec_ and base64 of {SECRET_SIZES.start} to {SECRET_SIZES.stop - 1} bytes; make one with "
            '`echo "whsec_$(openssl rand -base64 32)"`'
        )
    if length_of(text) < MIN_LENGTH:
        return f"is shorter than {MIN_LENGTH} characters; choose a longer one"
    return None


def _size_of(text: str) -> int:
    """Return the number of bytes that base64 stands for; 0 if it is none."""
    try:
        return len(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return 0
