"""Reading the configuration: the file, its models, and what models cannot see.

All problems are reported at once, each in one line: the file and line, the path of the field, what is wrong
and what to do. A secret's value is never part of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec, DeliverySpec
from gateway.config.cross_checks import conflicts
from gateway.config.document import Document, FieldPath
from gateway.config.error_messages import describe, suggest
from gateway.config.models import Config, ProviderConfig
from gateway.config.secrets import SHORTEST, length_of, problem_of
from gateway.errors import ConfigurationError
from gateway.events.schemas import SchemaError, load_file
from gateway.signatures.schemes.canonical_json import MAX_BODY as MAX_REWRITTEN
from gateway.signatures.secrets import SecretFormatError
from gateway.signatures.units import format_duration, format_size

_HEADROOM = 0.5  # seconds of a sender's patience that are left to the network


def load_config(
    path: Path,
    environment: Mapping[str, str] | None = None,
    missing: Callable[[str], str | None] = lambda _: None,
    *,
    has_secrets: bool = True,
    is_local: bool = False,
    supplies_all: bool = False,
) -> Config:
    """The configuration in ``path``.

    Args:
        path: the YAML file.
        environment: the variables; those of the process when left out.
        missing: supplies a value for an unset variable of a provider, given its name, or None for a problem.
        has_secrets: whether the secrets and parameters are real ones, to be checked; else they stand in for them.
        is_local: whether only this machine calls the gateway, so that it knows by which address.
        supplies_all: whether ``missing`` is asked for variables of other sections, too. Only where no data are looked
            for: a command must not look elsewhere than the gateway, for want of a variable.

    Raises:
        ConfigurationError: with every problem in it.
    """
    variables = os.environ if environment is None else environment
    document = Document(path, variables, missing, supplies_all=supplies_all)
    if document.problems:
        raise ConfigurationError(*document.problems)
    try:
        config = Config.model_validate(document.content)
    except ValidationError as error:
        raise ConfigurationError(*(document.locate(*problem) for problem in describe(error))) from None
    problems = [document.locate(*problem) for problem in conflicts(config)]
    problems += [
        document.locate(("providers", name, *place), text)
        for name, provider in config.providers.items()
        for place, text in _check_provider(
            provider, config, path.parent, has_secrets=has_secrets, is_local=is_local
        )
    ]
    if problems:
        raise ConfigurationError(*problems)
    return config


def adapter_of(provider: ProviderConfig) -> Adapter:
    """The adapter of a configured provider, with what the configuration says of its deliveries.

    Raises:
        KeyError: there is none of that name.
        ValueError: what the configuration says does not fit together.
    """
    stated = {
        name: getattr(provider, name)
        for name in DeliverySpec.model_fields
        if name in provider.model_fields_set
    }
    if provider.adapter == registry.GENERIC:
        if provider.tolerance is not None:
            raise ValueError("tolerance is for adapters; write it under signature.timestamp")
        return Adapter(registry.GENERIC, AdapterSpec(signature=provider.signature, any_2xx=True, **stated))  # type: ignore[arg-type]
    adapter = registry.load(provider.adapter)
    if provider.summary:
        stated["summary"] = {**(adapter.spec.summary or {}), **provider.summary}
    if provider.tolerance is not None:
        stated["signature"] = adapter.spec.signature.with_tolerance(provider.tolerance)
    return (
        Adapter(adapter.name, adapter.spec.model_copy(update=stated), adapter.family) if stated else adapter
    )


def max_body_of(config: Config, provider: ProviderConfig, adapter: Adapter) -> int:
    """The largest body of a provider, in bytes: its own setting, that of the server, or what its sender documents."""
    server = config.server
    limit = provider.max_body
    if limit is None:
        is_stated = "max_body" in server.model_fields_set
        limit = server.max_body if is_stated else max(server.max_body, adapter.spec.max_body or 0)
    return min(limit, server.max_buffered, MAX_REWRITTEN if adapter.spec.rewrites_json else limit)


def deadline_of(config: Config, adapter: Adapter) -> float:
    """Seconds for a whole request of a sender: ``server.deadline``, or less where it waits for less."""
    deadline, patience = config.server.deadline, adapter.spec.patience
    return min(deadline, max(patience - _HEADROOM, patience / 2)) if patience else deadline


def retention_of(config: Config, provider: ProviderConfig, adapter: Adapter) -> float:
    """Return the seconds that an event of a provider is remembered: by default as long as it is repeated."""
    return provider.dedupe.retention or max(config.dedupe.retention, adapter.spec.retry_horizon or 0.0)


def _check_provider(
    provider: ProviderConfig, config: Config, folder: Path, *, has_secrets: bool, is_local: bool
) -> Iterator[tuple[FieldPath, str]]:
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
            "is needed by adapter hmac" if needed else f"is already known to adapter {provider.adapter}",
        )
        return
    try:
        adapter = adapter_of(provider)
    except ValueError as error:
        yield (), _text_of(error)
        return
    yield from _check_signed(provider, adapter, config)
    if has_secrets:
        mistakes = list(_check_parameters(provider, adapter))
        yield from mistakes
        yield from _check_secrets(provider, adapter, None if mistakes else provider.parameters)
        yield from _check_handshakes(provider, adapter)
        if not is_local and not provider.public_url and not config.server.trusted_proxies:
            yield from _check_address(adapter)
    unmasked = sorted(kind for kind, how in adapter.spec.content.items() if how in ("xml", "text"))
    if provider.redact and unmasked:
        yield (
            ("redact",),
            f"cannot mask anything in {', '.join(unmasked)}, which goes out as it came; leave that out of content",
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
                "public_url is missing: what this sender signs includes the address that it calls; write that as the "
                "sender has it, such as https://hooks.example.com/webhooks/NAME, or name in server.trusted_proxies the "
                "proxies that tell it by X-Forwarded-Proto and X-Forwarded-Host (see server.forwarded)"
            ),
        )


def _check_signed(
    provider: ProviderConfig, adapter: Adapter, config: Config
) -> Iterator[tuple[FieldPath, str]]:
    """What does not fit the way in which a sender signs."""
    if provider.adapter == registry.GENERIC and (found := adapter.spec.ambiguity):
        first, second = found
        named = second if first == "timestamp" else first  # a moment is not made of letters
        yield (
            ("signature", "signed"),
            (
                f"nobody can say where {{{first}}} ends and {{{second}}} begins, so that who has seen a delivery can move "
                "characters from one to the other; if the sender signs like that, say under signature.alphabets what one "
                f'of them is made of, such as {{"{named}": A-Za-z0-9_-}}'
            ),
        )
    if adapter.spec.rewrites_json and provider.max_body and provider.max_body > MAX_REWRITTEN:
        yield (
            ("max_body",),
            f"must not be larger than {format_size(MAX_REWRITTEN)}, since the body is read before it is proven",
        )
    tolerance = adapter.spec.signature.timestamp_tolerance
    if tolerance and tolerance > config.dedupe.retention:
        yield (
            ("tolerance",) if provider.tolerance is not None else (),
            (
                f"a delivery may be {format_duration(tolerance)} old, longer than dedupe.retention "
                f"({format_duration(config.dedupe.retention)}), so that it could be sent again as a new event; "
                "raise the retention"
            ),
        )


def _check_parameters(provider: ProviderConfig, adapter: Adapter) -> Iterator[tuple[FieldPath, str]]:
    known = adapter.spec.parameters
    for name in provider.parameters:
        if name not in known:
            yield (
                ("parameters", name),
                f"is no parameter of adapter {adapter.name}{suggest(name, known)}",
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
    if length_of(secret) < SHORTEST:
        return f"is shorter than {SHORTEST} characters; choose a longer one at the sender"
    try:
        adapter.bind([secret], parameters)
    except SecretFormatError as error:
        return str(error)
    return None


def _check_handshakes(provider: ProviderConfig, adapter: Adapter) -> Iterator[tuple[FieldPath, str]]:
    token = provider.handshake_token_text()
    if any(handshake.needs_token for handshake in adapter.spec.handshakes):
        problem = "is missing; it is what you tell the sender to show" if token is None else problem_of(token)
        if problem:
            yield ("handshake_token",), problem
    elif token is not None:
        yield ("handshake_token",), f"is not used by adapter {adapter.name}"
    if provider.enrol and not adapter.spec.enrols:
        yield ("enrol",), f"is not for adapter {adapter.name}, whose sender tells no secret"


def _text_of(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(text for _, text in describe(error))
    return str(error)
