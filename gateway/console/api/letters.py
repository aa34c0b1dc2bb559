"""Events that wait for somebody: dead letters, the quarantine, and unrouted events."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from starlette.responses import Response

from gateway.console.api.jobs import start_job
from gateway.console.api.operation import Call, Operation
from gateway.console.problems import Problem
from gateway.console.security.roles import Role
from gateway.errors import OperatorError
from gateway.events.message import DEAD_SUFFIX
from gateway.operations import dead_letters, quarantine, unrouted
from gateway.operations.dead_letters import DeadGroups, DeadLetterFilter
from gateway.operations.jobs import Job, Work
from gateway.operations.letters import OnProgress
from gateway.operations.quarantine import Proposal, QuarantineFilter, QuarantineGroups, quarantine_queue
from gateway.operations.status import status
from gateway.operations.unrouted import UnroutedGroups, unrouted_queue
from gateway.queues.filter import EventFilter

Word = Annotated[str, Meta(min_length=1, max_length=255)]
Ids = Annotated[list[Annotated[str, Meta(min_length=1, max_length=2048)]], Meta(max_length=1000)]
Number = Annotated[int, Meta(ge=1)]
Filter = TypeVar("Filter", bound=EventFilter)


class Selection(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The events that something is done with: those that meet all conditions.

    Attributes:
        group: The id of their group.
        ids: Their ids.
        provider: Their provider.
        type: A pattern of their types.
        reason: A text within their reason.
        since: The earliest time of receipt, in Unix seconds.
        until: The latest time of receipt, in Unix seconds.
    """

    group: Word | None = None
    ids: Ids = []
    provider: Word | None = None
    type: Word | None = None
    reason: Word | None = None
    since: float | None = None
    until: float | None = None


class Move(Selection, kw_only=True):
    """Events to move.

    Attributes:
        limit: The number of events at most.
        dry_run: Whether they only are to be counted.
    """

    limit: Number | None = None
    dry_run: bool = False


class Release(Move, kw_only=True):
    """Quarantined events to release.

    Attributes:
        force: Whether events that still break their schema are released, too.
    """

    force: bool = False


class Routing(Move, kw_only=True):
    """Unrouted events to route.

    Attributes:
        to: The worker's queue that gets them.
    """

    to: Word


class Checking(Selection, kw_only=True):
    """Quarantined events to validate again.

    Attributes:
        schema: A schema in JSON or YAML to validate them with; by default those in force.
    """

    schema: Annotated[str, Meta(max_length=512 * 1024)] | None = None


class Dropping(Selection, kw_only=True):
    """Events to delete.

    Attributes:
        confirmed: Their number. If there are more or fewer by now, none is deleted.
    """

    confirmed: Number


class DeadLetterParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose dead letters.

    Attributes:
        queue: The worker's queue; by default all queues that are known and have dead letters.
    """

    queue: Word | None = None


class DeadLetterList(msgspec.Struct):
    """Dead letters.

    Attributes:
        queues: The dead letters of each queue, by cause.
    """

    queues: list[DeadGroups]


def _work(act: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Work:
    """Return an act as the work of a job."""

    def work(on_progress: OnProgress) -> Awaitable[Any]:
        return act(*arguments, **named, on_progress=on_progress)

    return work


def _filter(kind: type[Filter], body: Selection) -> Filter:
    conditions: dict[str, Any] = {
        "provider": body.provider,
        "pattern": body.type,
        "ids": frozenset(body.ids),
        "reason": body.reason,
        "since": -math.inf if body.since is None else body.since,
        "until": math.inf if body.until is None else body.until,
        "group": body.group,
    }
    known = {each.name for each in fields(kind)}
    if body.group and "group" not in known:
        raise Problem("invalid_body", "unrouted events have no groups; give provider and type")
    return kind(**{name: value for name, value in conditions.items() if name in known})


async def _dead_letters(call: Call) -> DeadLetterList:
    config, services = call.services.config(), call.services
    if call.parameters.queue:
        return DeadLetterList([await dead_letters.groups(config, call.parameters.queue)])
    state = await status(config, services.journal, now=call.now, processes=services.processes())
    names = [
        queue.name.removesuffix(DEAD_SUFFIX)
        for queue in state.queues
        if queue.kind == "dead_letters" and queue.ready != 0
    ]
    found = []
    for name in names:
        try:
            found.append(await dead_letters.groups(config, name))
        except OperatorError:  # it was deleted meanwhile
            continue
    return DeadLetterList([each for each in found if each.total])


async def _redrive(call: Call) -> Response:
    body: Move = call.body
    queue = call.path["queue"]
    work = _work(
        dead_letters.redrive,
        call.services.config(),
        queue,
        _filter(DeadLetterFilter, body),
        body.limit,
        actor=call.principal.name,
        dry_run=body.dry_run,
    )
    return await start_job(
        call, "redrive", work, queue=queue + DEAD_SUFFIX, target=queue, is_harmless=body.dry_run
    )


async def _drop_dead(call: Call) -> Response:
    body: Dropping = call.body
    queue = call.path["queue"]
    work = _work(
        dead_letters.drop,
        call.services.config(),
        queue,
        _filter(DeadLetterFilter, body),
        confirmed=body.confirmed,
        actor=call.principal.name,
    )
    return await start_job(
        call, "drop", work, queue=queue + DEAD_SUFFIX, target=f"{queue} ({body.confirmed})"
    )


async def _quarantine(call: Call) -> QuarantineGroups:
    return await quarantine.groups(call.services.config())


async def _proposal(call: Call) -> Proposal:
    return await quarantine.proposal(call.services.config(), call.services.folder, call.path["group"])


async def _check(call: Call) -> Response:
    body: Checking = call.body
    config = call.services.config()
    work = _work(
        quarantine.check,
        config,
        call.services.folder,
        _filter(QuarantineFilter, body),
        body.schema,
    )
    return await start_job(call, "check", work, queue=quarantine_queue(config), is_harmless=True)


async def _release(call: Call) -> Response:
    body: Release = call.body
    config = call.services.config()
    work = _work(
        quarantine.release,
        config,
        call.services.folder,
        _filter(QuarantineFilter, body),
        body.limit,
        force=body.force,
        dry_run=body.dry_run,
        actor=call.principal.name,
    )
    return await start_job(
        call,
        "release",
        work,
        queue=quarantine_queue(config),
        target=body.group or body.provider or "all",
        is_harmless=body.dry_run,
    )


async def _drop_quarantined(call: Call) -> Response:
    body: Dropping = call.body
    config = call.services.config()
    work = _work(
        quarantine.drop,
        config,
        _filter(QuarantineFilter, body),
        confirmed=body.confirmed,
        actor=call.principal.name,
    )
    queue = quarantine_queue(config)
    return await start_job(call, "drop", work, queue=queue, target=f"{queue} ({body.confirmed})")


async def _unrouted(call: Call) -> UnroutedGroups:
    return await unrouted.groups(call.services.config())


async def _route(call: Call) -> Response:
    body: Routing = call.body
    config = call.services.config()
    work = _work(
        unrouted.route,
        config,
        body.to,
        _filter(EventFilter, body),
        body.limit,
        actor=call.principal.name,
        dry_run=body.dry_run,
    )
    return await start_job(
        call, "route", work, queue=unrouted_queue(config), target=body.to, is_harmless=body.dry_run
    )


async def _drop_unrouted(call: Call) -> Response:
    body: Dropping = call.body
    config = call.services.config()
    work = _work(
        unrouted.drop,
        config,
        _filter(EventFilter, body),
        confirmed=body.confirmed,
        actor=call.principal.name,
    )
    queue = unrouted_queue(config)
    return await start_job(call, "drop", work, queue=queue, target=f"{queue} ({body.confirmed})")


_FAILS = ("operation_failed",)

OPERATIONS = (
    Operation(
        method="GET",
        path="/dead-letters",
        role=Role.VIEWER,
        summary="Return the dead letters of workers, by cause.",
        handler=_dead_letters,
        parameters=DeadLetterParameters,
        result=DeadLetterList,
        problems=_FAILS,
    ),
    Operation(
        method="POST",
        path="/dead-letters/{queue}/redrive",
        role=Role.OPERATOR,
        summary="Return dead letters to their worker's queue, as if they had never failed.",
        handler=_redrive,
        body=Move,
        result=Job,
        status=202,
    ),
    Operation(
        method="POST",
        path="/dead-letters/{queue}/drop",
        role=Role.ADMIN,
        summary="Delete dead letters.",
        handler=_drop_dead,
        body=Dropping,
        result=Job,
        status=202,
    ),
    Operation(
        method="GET",
        path="/quarantine",
        role=Role.VIEWER,
        summary="Return the quarantined events, by the rule that they break.",
        handler=_quarantine,
        result=QuarantineGroups,
        problems=_FAILS,
    ),
    Operation(
        method="GET",
        path="/quarantine/{group}/proposal",
        role=Role.OPERATOR,
        summary="Propose a schema that the events of a group pass, and its difference to the present one.",
        handler=_proposal,
        result=Proposal,
        problems=_FAILS,
    ),
    Operation(
        method="POST",
        path="/quarantine/check",
        role=Role.OPERATOR,
        summary="Count the quarantined events that would pass now, or with another schema.",
        handler=_check,
        body=Checking,
        result=Job,
        status=202,
    ),
    Operation(
        method="POST",
        path="/quarantine/release",
        role=Role.OPERATOR,
        summary="Publish quarantined events that pass their schema now.",
        handler=_release,
        body=Release,
        result=Job,
        status=202,
    ),
    Operation(
        method="POST",
        path="/quarantine/drop",
        role=Role.ADMIN,
        summary="Delete quarantined events.",
        handler=_drop_quarantined,
        body=Dropping,
        result=Job,
        status=202,
    ),
    Operation(
        method="GET",
        path="/unrouted",
        role=Role.VIEWER,
        summary="Return the events that no queue was bound for, by type.",
        handler=_unrouted,
        result=UnroutedGroups,
        problems=_FAILS,
    ),
    Operation(
        method="POST",
        path="/unrouted/route",
        role=Role.OPERATOR,
        summary="Move unrouted events to a worker's queue.",
        handler=_route,
        body=Routing,
        result=Job,
        status=202,
    ),
    Operation(
        method="POST",
        path="/unrouted/drop",
        role=Role.ADMIN,
        summary="Delete unrouted events.",
        handler=_drop_unrouted,
        body=Dropping,
        result=Job,
        status=202,
    ),
)
