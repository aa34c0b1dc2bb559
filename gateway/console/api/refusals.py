"""The last requests that were refused, which are kept in memory alone."""

from __future__ import annotations

import asyncio
import base64

import msgspec

from gateway.console.api.operation import Call, Operation
from gateway.console.problems import Problem
from gateway.console.security.roles import Role
from gateway.devtools.explain import Capture, Explanation
from gateway.journal.capture import CapturedRequest
from gateway.journal.entry_ids import format_entry_id, parse_entry_id
from gateway.operations.explain import explain_refusal
from gateway.signatures.request import Headers

_explaining = asyncio.Semaphore(1)
"""One at a time: an explanation may compute for a minute, in a process that has pages to serve."""


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


OPERATIONS = (
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
