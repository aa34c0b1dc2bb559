"""Providers, their secrets, and the requests that were refused."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.console.api.operation import Call, Operation
from gateway.console.problems import Problem
from gateway.console.security.headers import timed
from gateway.console.security.roles import Role
from gateway.devtools.explain import Capture, Explanation
from gateway.journal.capture import CapturedRequest
from gateway.journal.entry_ids import format_entry_id, parse_entry_id
from gateway.operations.explain import explain_refusal
from gateway.operations.providers import ProviderHealth, all_providers, provider_health
from gateway.operations.secrets import SecretEvidence, secret_evidence
from gateway.signatures.request import Headers
from gateway.signatures.units import parse_duration

_MAX_WINDOW = 400 * 86_400.0
"""Seconds for which the counters are kept by the hour."""

_explaining = asyncio.Semaphore(1)
"""One at a time: an explanation may compute for a minute, in a process that has pages to serve."""


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


class Refusal(msgspec.Struct):
    """A request that was refused and is kept in memory.

    Attributes:
        id: Names it: the id of its entry in the journal.
        at: When it was refused, in Unix seconds.
        provider: The provider's key.
        outcome: The outcome.
        reason: The precise fault.
        client: The client's address, as `journal.addresses` says.
        method: The method.
        path: The path, as it was sent.
        size: Bytes of the body.
    """

    id: str
    at: float
    provider: str
    outcome: str
    reason: str
    client: str
    method: str
    path: str
    size: int


class RefusalDetails(Refusal):
    """A refused request with its content. Nobody has proven who sent it.

    Attributes:
        query: The query, with its secrets masked.
        headers: The header fields, with their secrets masked.
        body: The body in base64; null if it was too large to be kept.
    """

    query: str
    headers: list[tuple[str, str]]
    body: str | None


class RefusalList(msgspec.Struct):
    """The last refused requests.

    Attributes:
        is_kept: Whether refused requests are kept at all.
        refusals: Of each provider the last twenty, newest first.
    """

    is_kept: bool
    refusals: list[Refusal]


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


async def _refusals(call: Call) -> RefusalList:
    refusals = call.services.refusals
    records = await asyncio.to_thread(refusals.records) if refusals else []
    return RefusalList(refusals is not None, [Refusal(*_head(record)) for record in records])


async def _refusal(call: Call) -> RefusalDetails:
    record = await _find(call)
    await asyncio.to_thread(call.audit, "refusal.view", f"{record.provider}/{call.path['id']}")
    return RefusalDetails(
        *_head(record),
        record.query.decode("latin-1"),
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in record.headers],
        None if record.body is None else base64.b64encode(record.body).decode(),
    )


async def _explain(call: Call) -> Explanation:
    record = await _find(call)
    if record.body is None:
        raise Problem(
            "operation_failed", "the body was too large to be kept, and nothing can be tried without it"
        )
    if record.provider not in call.services.config().providers:
        raise Problem("not_found", "the configuration has no such provider any more")
    if _explaining.locked():
        raise Problem("overloaded", "another refusal is being explained", {"retry-after": "5"})
    async with _explaining:
        return await asyncio.to_thread(
            explain_refusal,
            call.services.config(),
            record.provider,
            capture_of(record),
            now=call.now,
            arrived_at=record.at,
        )


def capture_of(record: CapturedRequest) -> Capture:
    """Return a kept request as the explanation wants it."""
    query = record.query.decode("latin-1")
    url = record.url or f"{record.path}?{query}" if query else record.url or record.path
    return Capture(record.method, url, Headers(record.headers), record.body or b"")


async def _find(call: Call) -> CapturedRequest:
    try:
        number = parse_entry_id(call.path["id"])
    except ValueError as error:
        raise Problem("not_found", str(error)) from None
    refusals = call.services.refusals
    for record in await asyncio.to_thread(refusals.records) if refusals else []:
        if record.entry == number:
            return record
    raise Problem("not_found", "the request is not kept any more: of each provider the last twenty are")


def _head(record: CapturedRequest) -> tuple[str, float, str, str, str, str, str, str, int]:
    return (
        format_entry_id(record.entry),
        record.at,
        record.provider,
        record.outcome,
        record.reason,
        record.client,
        record.method,
        record.path,
        record.size,
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
    Operation(
        method="GET",
        path="/refusals",
        role=Role.VIEWER,
        summary="List the last refused requests, without their content.",
        handler=_refusals,
        result=RefusalList,
    ),
    Operation(
        method="GET",
        path="/refusals/{id}",
        role=Role.OPERATOR,
        summary="Return a refused request with headers and body. The view is in the audit.",
        handler=_refusal,
        result=RefusalDetails,
        problems=("not_found",),
    ),
    Operation(
        method="GET",
        path="/refusals/{id}/explain",
        role=Role.VIEWER,
        summary="Try the common mistakes on a refused request, and say which it was and what to do.",
        handler=_explain,
        result=Explanation,
        problems=("not_found", "operation_failed", "overloaded"),
    ),
)
