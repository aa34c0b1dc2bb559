"""Checks of one provider against its adapter, which the models alone cannot see."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.config.document import FieldPath
from gateway.config.error_messages import describe, suggest
from gateway.config.models import Config, ProviderConfig
from gateway.config.resolve import adapter_of
from gateway.config.secrets import MIN_LENGTH, length_of, problem_of
from gateway.events.schemas import SchemaError, load_file
from gateway.signatures.schemes.canonical_json import MAX_BODY as MAX_REWRITTEN_BODY
from gateway.signatures.secrets import SecretFormatError
from gateway.signatures.units import format_duration, format_size


def check_provider(
    provider: ProviderConfig, config: Config, folder: Path, *, has_secrets: bool, is_local: bool
) -> Iterator[tuple[FieldPath, str]]:
    """Yield the problems of one provider: the path of each setting within its block, and the text.

    Args:
        provider: The provider's block of the configuration.
        config: The whole configuration.
        folder: The folder of the configuration file, which ``schema`` is relative to.
        has_secrets: Whether secrets and parameters are real; placeholders are not checked.
        is_local: Whether only this machine calls the gateway, so that it knows its own address.
    """
    if provider.adapter not in registry.names():
        yield (
            ("adapter",),
            f"there is no adapter {provider.adapter!r}{suggest(provider.adapter, registry.names())}",
        )
        return
    if (provider.signature is None) == (provider.adapter == registry.GENERIC):
        needed = provider.signature is None
        yield (
            ("signature",),
            "is needed by adapter hmac" if needed else f"is defined by adapter {provider.adapter}; remove it",
        )
        return
    try:
        adapter = adapter_of(provider)
    except ValueError as error:
        yield (), _text_of(error)
        return
    yield from _check_signed(provider, adapter, config)
    if has_secrets:
        problems = list(_check_parameters(provider, adapter))
        yield from problems
        yield from _check_secrets(provider, adapter, None if problems else provider.parameters)
        yield from _check_handshakes(provider, adapter)
        if not is_local and not provider.public_url and not config.server.trusted_proxies:
            yield from _check_address(adapter)
    unmasked = sorted(kind for kind, how in adapter.spec.content.items() if how in ("xml", "text"))
    if provider.redact and unmasked:
        yield (
            ("redact",),
            f"cannot mask anything in {', '.join(unmasked)}, which is published unchanged; remove it from content",
        )
    if provider.schema_file:
        try:
            load_file(folder / provider.schema_file)
        except SchemaError as error:
            yield from ((("schema",), problem) for problem in error.args)


def _check_address(adapter: Adapter) -> Iterator[tuple[FieldPath, str]]:
    if adapter.spec.needs_url:
        yield (
            (),
            (
                "public_url is missing: this provider's signature covers the URL that it calls; write the URL as the "
                "provider calls it, such as https://hooks.example.com/webhooks/NAME, or list in server.trusted_proxies the "
                "proxies that forward it in X-Forwarded-Proto and X-Forwarded-Host (see server.forwarded)"
            ),
        )


def _check_signed(
    provider: ProviderConfig, adapter: Adapter, config: Config
) -> Iterator[tuple[FieldPath, str]]:
    """Check what the provider's way of signing allows."""
    if provider.adapter == registry.GENERIC and (found := adapter.spec.ambiguity):
        first, second = found
        named = second if first == "timestamp" else first  # the alphabet of a timestamp is known
        yield (
            ("signature", "signed"),
            (
                f"does not say where {{{first}}} ends and {{{second}}} begins, so anyone who has seen a request can move "
                "characters from one to the other; if the provider signs like that, list under signature.alphabets the "
                f'characters of one of them, such as {{"{named}": A-Za-z0-9_-}}'
            ),
        )
    if adapter.spec.rewrites_json and provider.max_body and provider.max_body > MAX_REWRITTEN_BODY:
        yield (
            ("max_body",),
            f"must not be larger than {format_size(MAX_REWRITTEN_BODY)}, because the body is rewritten before it is verified",
        )
    tolerance = adapter.spec.signature.moment_tolerance
    if tolerance and tolerance > config.dedupe.retention:
        yield (
            ("tolerance",) if provider.tolerance is not None else (),
            (
                f"accepts requests that are {format_duration(tolerance)} old, longer than dedupe.retention "
                f"({format_duration(config.dedupe.retention)}), so one could be sent again as a new event; "
                "raise the retention"
            ),
        )


def _check_parameters(provider: ProviderConfig, adapter: Adapter) -> Iterator[tuple[FieldPath, str]]:
    known = adapter.spec.parameters
    for name in provider.parameters:
        if name not in known:
            yield (
                ("parameters", name),
                f"is not a parameter of adapter {adapter.name}{suggest(name, known)}",
            )
        elif not provider.parameters[name].strip():
            yield ("parameters", name), "is empty"
        elif (pattern := known[name].pattern) and not re.fullmatch(pattern, provider.parameters[name]):
            yield ("parameters", name), f"must match {pattern}"
    for name, parameter in known.items():
        if parameter.required and name not in provider.parameters:
            yield (
                ("parameters",) if provider.parameters else (),
                f"parameters.{name} is needed by adapter {adapter.name}: {parameter.description}",
            )


def _check_secrets(
    provider: ProviderConfig, adapter: Adapter, parameters: Mapping[str, str] | None
) -> Iterator[tuple[FieldPath, str]]:
    needs_secret = adapter.spec.signature.needs_secret and not (provider.enrol and adapter.spec.enrols)
    if not provider.secrets and needs_secret:
        yield ("secrets",), "is empty"
    for position, secret in enumerate(provider.secret_texts()):
        problem = problem_of(secret)
        if not problem and parameters is not None:
            problem = _problem_of_key(secret, adapter, parameters)
        if problem:
            yield ("secrets", position), problem


def _problem_of_key(secret: str, adapter: Adapter, parameters: Mapping[str, str]) -> str | None:
    if length_of(secret) < MIN_LENGTH:
        return f"is shorter than {MIN_LENGTH} characters; choose a longer one at the provider"
    try:
        adapter.bind([secret], parameters)
    except SecretFormatError as error:
        return str(error)
    return None


def _check_handshakes(provider: ProviderConfig, adapter: Adapter) -> Iterator[tuple[FieldPath, str]]:
    token = provider.handshake_token_text()
    if any(handshake.needs_token for handshake in adapter.spec.handshakes):
        problem = (
            "is missing; it is the token that you enter at the provider"
            if token is None
            else problem_of(token)
        )
        if problem:
            yield ("handshake_token",), problem
    elif token is not None:
        yield ("handshake_token",), f"is not used by adapter {adapter.name}"
    if provider.enrol and not adapter.spec.enrols:
        yield ("enrol",), f"is not for adapter {adapter.name}, whose provider sends no secret in a handshake"


def _text_of(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(text for _, text in describe(error))
    return str(error)
