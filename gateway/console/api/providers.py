"""Providers and their secrets."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.console.api.operation import Call, Operation
from gateway.console.problems import Problem
from gateway.console.security.headers import timed
from gateway.console.security.roles import Role
from gateway.operations.providers import ProviderHealth, all_providers, provider_health
from gateway.operations.secrets import SecretEvidence, secret_evidence
from gateway.signatures.units import parse_duration

_MAX_WINDOW = 400 * 86_400.0
"""Seconds for which the counters are kept by the hour."""


class WindowParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which time.

    Attributes:
        window: How far back, such as `24h` or `14d`.
    """

    window: Annotated[str, Meta(max_length=20)] = "24h"


class SecretParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose secrets.

    Attributes:
        provider: The provider's key; by default those of all providers.
    """

    provider: Annotated[str, Meta(max_length=255)] = ""


class ProviderList(msgspec.Struct):
    """All providers.

    Attributes:
        providers: How each is; those with problems first.
    """

    providers: list[ProviderHealth]


class SecretList(msgspec.Struct):
    """The configured secrets.

    Attributes:
        secrets: What the journal knows of each; the secret itself is nowhere in it.
    """

    secrets: list[SecretEvidence]


async def _providers(call: Call) -> ProviderList:
    window = _window_of(call)
    with timed(call.request, "journal"):
        return ProviderList(
            await asyncio.to_thread(
                all_providers, call.services.config(), call.services.journal, now=call.now, window=window
            )
        )


async def _provider(call: Call) -> ProviderHealth:
    name, config, window = call.path["name"], call.services.config(), _window_of(call)
    if name not in config.providers:
        raise Problem("not_found", "the configuration has no such provider")
    with timed(call.request, "journal"):
        return await asyncio.to_thread(
            provider_health, config, call.services.journal, name, now=call.now, window=window
        )


async def _secrets(call: Call) -> SecretList:
    config, name = call.services.config(), call.parameters.provider
    if name and name not in config.providers:
        raise Problem("not_found", "the configuration has no such provider")
    with timed(call.request, "journal"):
        return SecretList(
            await asyncio.to_thread(
                secret_evidence, config, call.services.journal, now=call.now, provider=name
            )
        )


def _window_of(call: Call) -> float:
    try:
        window = parse_duration(call.parameters.window)
    except ValueError as error:
        raise Problem("malformed_request", f"window {error}") from None
    if not 60 <= window <= _MAX_WINDOW:
        raise Problem("malformed_request", "window must be between 1m and 400d")
    return window


OPERATIONS = (
    Operation(
        method="GET",
        path="/providers",
        role=Role.VIEWER,
        summary="Return how each provider is: rates, refusals, latency, silence.",
        handler=_providers,
        parameters=WindowParameters,
        result=ProviderList,
        problems=("journal_unavailable",),
    ),
    Operation(
        method="GET",
        path="/providers/{name}",
        role=Role.VIEWER,
        summary="Return how one provider is.",
        handler=_provider,
        parameters=WindowParameters,
        result=ProviderHealth,
        problems=("not_found", "journal_unavailable"),
    ),
    Operation(
        method="GET",
        path="/secrets",
        role=Role.VIEWER,
        summary="Return which secrets providers still sign with, and which can be removed.",
        handler=_secrets,
        parameters=SecretParameters,
        result=SecretList,
        problems=("not_found", "journal_unavailable"),
    ),
)
