"""Acts on events: deliver one again, replay many from the archive, erase one, send a test event."""

from __future__ import annotations

import asyncio
import math
from typing import Literal

import msgspec
from starlette.responses import Response

from gateway.console.api.jobs import start_job
from gateway.console.api.operation import Call, Operation
from gateway.console.api.selections import FAILS, Ids, Number, Word, work_of
from gateway.console.problems import Problem
from gateway.console.security.roles import Role
from gateway.operations import forget, redeliver, replay, test_events
from gateway.operations.event_view import event_view
from gateway.operations.jobs import Job
from gateway.operations.redeliver import Redelivered
from gateway.operations.test_events import TestEvent
from gateway.queues.filter import EventFilter


class Redelivery(msgspec.Struct, forbid_unknown_fields=True):
    """Where to deliver an event again.

    Attributes:
        to: The worker's queue.
        force: Whether a worker handles it though it has handled it before, and whether it leaves the quarantine though it
            still breaks its schema.
    """

    to: Word
    force: bool = False


class Erasure(msgspec.Struct, forbid_unknown_fields=True):
    """What to forget of an event.

    Attributes:
        journal: Whether its texts are erased from the journal: its id, subject, account, summary and the like.
        claim: Whether it is removed from the deduplication store, so that it is accepted if the provider sends it again.
    """

    journal: bool = False
    claim: bool = False


class Erased(msgspec.Struct):
    """What was forgotten.

    Attributes:
        entries: The number of entries of the journal whose texts were erased.
        was_claimed: Whether the deduplication store had the event.
    """

    entries: int
    was_claimed: bool


class ReplayRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Archived events to deliver again.

    Attributes:
        to: The queue that gets them; not needed for a dry run.
        provider: Their provider.
        type: A pattern of their types.
        ids: Their ids.
        since: The earliest time of receipt, in Unix seconds.
        until: The latest time of receipt, in Unix seconds.
        limit: The number of events at most.
        force: Whether workers handle events that they have handled before.
        dry_run: Whether they only are to be counted; the result has the first ten.
    """

    to: Word | None = None
    provider: Word | None = None
    type: Word | None = None
    ids: Ids = []
    since: float | None = None
    until: float | None = None
    limit: Number | None = None
    force: bool = False
    dry_run: bool = False


class TestRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The test event to send.

    Attributes:
        provider: The provider that it is to come from.
        type: The type of one of its samples; by default the first.
        tamper: What to forge, to see it refused; `replay` sends the same request twice.
    """

    provider: Word
    type: Word | None = None
    tamper: Literal["body", "signature", "timestamp", "replay"] | None = None


class SampleList(msgspec.Struct):
    """The samples that can be sent.

    Attributes:
        types: The event types by provider.
    """

    types: dict[str, list[str]]


async def _redeliver(call: Call) -> Redelivered:
    services, body = call.services, call.body
    config, provider, event_id = services.config(), call.path["provider"], call.path["id"]
    view = await asyncio.to_thread(event_view, config, services.journal, event_id, provider, now=call.now)
    await asyncio.to_thread(call.audit, "redeliver", f"{provider}/{event_id} to {body.to}")
    return await redeliver.redeliver(
        config,
        services.folder,
        provider,
        event_id,
        body.to,
        force=body.force,
        dead_queues=view.queues if view else (),
        received_at=view.first_at if view else None,
        actor=call.principal.name,
    )


async def _forget(call: Call) -> Erased:
    body: Erasure = call.body
    if not (body.journal or body.claim):
        raise Problem("invalid_body", "set journal, claim, or both")
    services, provider, event_id = call.services, call.path["provider"], call.path["id"]
    # What is erased on request must not be kept in the audit for a year.
    await asyncio.to_thread(call.audit, "forget", provider if body.journal else f"{provider}/{event_id}")
    was_claimed, entries = False, 0
    if body.claim:
        was_claimed = await forget.forget_claim(
            services.config(), provider, event_id, actor=call.principal.name
        )
    if body.journal:
        entries = await forget.forget_texts(
            services.config(), provider, event_id, journal=services.journal, actor=call.principal.name
        )
    return Erased(entries, was_claimed)


async def _replay(call: Call) -> Response:
    body: ReplayRequest = call.body
    config = call.services.config()
    selected = EventFilter(
        provider=body.provider,
        pattern=body.type,
        ids=frozenset(body.ids),
        since=-math.inf if body.since is None else body.since,
        until=math.inf if body.until is None else body.until,
    )
    if body.dry_run:
        return await start_job(
            call, "replay", work_of(replay.plan, config, selected, body.limit), is_harmless=True
        )
    if body.to is None:
        raise Problem("invalid_body", "say which queue gets the events: to")
    work = work_of(
        replay.run, config, selected, body.to, body.limit, force=body.force, actor=call.principal.name
    )
    return await start_job(call, "replay", work, queue=body.to, target=body.to)


async def _send(call: Call) -> TestEvent:
    body: TestRequest = call.body
    await asyncio.to_thread(call.audit, "test-event.send", f"{body.provider} {body.type or ''}".strip())
    return await test_events.send(
        call.services.config(), body.provider, body.type, tamper=body.tamper, actor=call.principal.name
    )


async def _samples(call: Call) -> SampleList:
    return SampleList(await asyncio.to_thread(test_events.sample_types, call.services.config()))


OPERATIONS = (
    Operation(
        method="POST",
        path="/events/{provider}/{id}/redeliver",
        role=Role.OPERATOR,
        summary="Deliver an event to a queue again, from wherever it is kept.",
        handler=_redeliver,
        body=Redelivery,
        result=Redelivered,
        problems=("not_found", *FAILS, "journal_unavailable"),
    ),
    Operation(
        method="POST",
        path="/events/{provider}/{id}/forget",
        role=Role.ADMIN,
        summary="Erase the texts of an event from the journal, or remove it from the deduplication store.",
        handler=_forget,
        body=Erasure,
        result=Erased,
        problems=FAILS,
    ),
    Operation(
        method="POST",
        path="/replay",
        role=Role.OPERATOR,
        summary="Deliver archived events to a queue again.",
        handler=_replay,
        body=ReplayRequest,
        result=Job,
        status=202,
    ),
    Operation(
        method="GET",
        path="/test-events",
        role=Role.VIEWER,
        summary="List the signed samples that can be sent.",
        handler=_samples,
        result=SampleList,
    ),
    Operation(
        method="POST",
        path="/test-events",
        role=Role.OPERATOR,
        summary="Send a signed sample to the gateway, intact or forged, and return how it answered.",
        handler=_send,
        body=TestRequest,
        result=TestEvent,
        problems=FAILS,
    ),
)
