"""Unrouted events: those that no queue was bound for."""

from __future__ import annotations

from starlette.responses import Response

from gateway.console.api.dropping import start_drop
from gateway.console.api.jobs import start_job
from gateway.console.api.operation import Call, Operation
from gateway.console.api.selections import FAILS, Dropping, Move, Word, filter_of, work_of
from gateway.console.security.roles import Role
from gateway.operations import unrouted
from gateway.operations.jobs import Job
from gateway.operations.unrouted import UnroutedGroups, unrouted_queue
from gateway.queues.filter import EventFilter


class Routing(Move, kw_only=True):
    """Unrouted events to route.

    Attributes:
        to: The worker's queue that gets them.
    """

    to: Word


async def _unrouted(call: Call) -> UnroutedGroups:
    return await unrouted.groups(call.services.config())


async def _route(call: Call) -> Response:
    body: Routing = call.body
    config = call.services.config()
    work = work_of(
        unrouted.route,
        config,
        body.to,
        filter_of(EventFilter, body),
        body.limit,
        actor=call.principal.name,
        dry_run=body.dry_run,
    )
    return await start_job(
        call, "route", work, queue=unrouted_queue(config), target=body.to, is_harmless=body.dry_run
    )


async def _drop_unrouted(call: Call) -> Response:
    queue = unrouted_queue(call.services.config())
    return await start_drop(call, unrouted.drop, selects=EventFilter, queue=queue)


OPERATIONS = (
    Operation(
        method="GET",
        path="/unrouted",
        role=Role.VIEWER,
        summary="Return the events that no queue was bound for, by type.",
        handler=_unrouted,
        result=UnroutedGroups,
        problems=(*FAILS, "not_found"),
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
