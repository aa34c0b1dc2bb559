"""Checks of endpoints, which the models alone cannot see."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from contextlib import suppress

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.resigning import check_resigning, publishes_keys
from gateway.config.document import FieldPath
from gateway.config.error_messages import suggest
from gateway.config.models import Config
from gateway.config.outbound_models import EndpointConfig, OutboundConfig
from gateway.config.resolve import adapter_of
from gateway.config.secrets import MIN_LENGTH, length_of, problem_of
from gateway.config.value_checks import EMBEDDED
from gateway.signatures.schemes.base import NO_PARAMETERS
from gateway.signatures.secrets import SecretFormatError
from gateway.signatures.units import format_duration
from gateway.transport.custom_headers import header_problems

SECRET_SIZES = range(24, 65)
"""Bytes of a Standard Webhooks secret (specification, "Signature scheme")."""

KEY_SIZE = 32
"""Bytes of an Ed25519 key, and of a key that encrypts secrets."""


def check_outbound(
    outbound: OutboundConfig, postgres_url: str, *, has_way_out: bool, has_secrets: bool
) -> Iterator[tuple[FieldPath, str]]:
    """Yield the problems of what holds for all endpoints: the path within the section, and the text.

    Args:
        outbound: The section.
        postgres_url: The address of the database.
        has_way_out: Whether events are delivered.
        has_secrets: Whether keys are real; placeholders are not checked.
    """
    for position, key in enumerate(outbound.key_texts() if has_secrets else ()):
        if _size_of(key) != KEY_SIZE:
            yield (
                ("keys", position),
                f"is not base64 of {KEY_SIZE} bytes; make a key with `openssl rand -base64 {KEY_SIZE}`",
            )
    if has_secrets and has_way_out and postgres_url != EMBEDDED and not outbound.keys:
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
    endpoint: EndpointConfig, config: Config, *, has_secrets: bool
) -> Iterator[tuple[FieldPath, str]]:
    """Yield the problems of one endpoint: the path within its block, and the text.

    Args:
        endpoint: The endpoint's block of the configuration.
        config: The whole configuration.
        has_secrets: Whether URLs and secrets are real; placeholders are not checked.
    """
    headers = {name: value.get_secret_value() for name, value in endpoint.headers.items()}
    yield from ((("headers", *filter(None, [name])), text) for name, text in header_problems(headers))
    if endpoint.sign_as and endpoint.sign_as not in registry.names():
        yield (
            ("sign_as",),
            f"there is no adapter {endpoint.sign_as!r}{suggest(endpoint.sign_as, registry.names())}",
        )
    elif endpoint.sign_as and endpoint.format != "original":
        yield ("sign_as",), "is for format: original; remove it, or set the format"
    elif endpoint.format == "original":
        yield from _check_original(endpoint, config, has_secrets=has_secrets)
    if endpoint.on_dead == "hold" and endpoint.order == "none":
        yield ("on_dead",), "hold needs an order; set order to subject or to a JSON pointer"
    if has_secrets:
        yield from _check_url(endpoint, config.outbound)
        yield from _check_secrets(endpoint)


def _check_original(
    endpoint: EndpointConfig, config: Config, *, has_secrets: bool
) -> Iterator[tuple[FieldPath, str]]:
    """Yield why requests cannot be signed as a provider signs: one of those that are known by now."""
    for adapter, parameters in _imitated(endpoint, config):
        if publishes_keys(adapter):
            cause = (
                f"receivers of {adapter.name} fetch its public keys, so that nobody else can sign as it does"
            )
            if endpoint.sign_as:
                yield ("sign_as",), f"{cause}; set it to standard_webhooks"
            else:
                yield ("format",), f"{cause}; set sign_as: standard_webhooks, or format: json"
            return
        if not has_secrets:
            continue
        for position, text in enumerate(endpoint.secret_texts()):
            try:
                check_resigning(adapter, text, parameters)
            except SecretFormatError as error:
                yield ("secrets", position), f"cannot sign as {adapter.name}: it {error}"
                return


def _imitated(endpoint: EndpointConfig, config: Config) -> Iterator[tuple[Adapter, Mapping[str, str]]]:
    """Yield who signs, with the parameters: the adapter that is named, or that of each provider that a pattern begins with."""
    if endpoint.sign_as:
        if endpoint.sign_as != registry.GENERIC:  # whose description is that of each event's provider
            yield registry.load(endpoint.sign_as), NO_PARAMETERS
        return
    names = dict.fromkeys(pattern.partition(".")[0] for pattern in endpoint.events)
    for name in names.keys() & config.providers.keys():
        provider = config.providers[name]
        with suppress(ValueError):  # told by the checks of the provider
            if provider.adapter in registry.names():
                yield adapter_of(provider), provider.parameters


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
