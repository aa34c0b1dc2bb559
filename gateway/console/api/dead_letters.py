"""The dead letters of workers."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from gateway.console.api.dropping import start_drop
from gateway.console.api.jobs import start_job
from gateway.console.api.operation import Call, Operation
from gateway.console.api.selections import FAILS, Dropping, Move, Word, filter_of, work_of
from gateway.console.security.roles import Role
from gateway.errors import OperatorError
from gateway.events.message import DEAD_SUFFIX
from gateway.operations import dead_letters
from gateway.operations.dead_letters import DeadGroups, DeadLetterFilter
from gateway.operations.jobs import Job
from gateway.operations.status import status


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
    work = work_of(
        dead_letters.redrive,
        call.services.config(),
        queue,
        filter_of(DeadLetterFilter, body),
        body.limit,
        actor=call.principal.name,
        dry_run=body.dry_run,
    )
    return await start_job(
        call, "redrive", work, queue=queue + DEAD_SUFFIX, target=queue, is_harmless=body.dry_run
    )


async def _drop_dead(call: Call) -> Response:
    queue = call.path["queue"]
    return await start_drop(
        call, dead_letters.drop, queue, selects=DeadLetterFilter, queue=queue + DEAD_SUFFIX
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/dead-letters",
        role=Role.VIEWER,
        summary="Return the dead letters of workers, by cause.",
        handler=_dead_letters,
        parameters=DeadLetterParameters,
        result=DeadLetterList,
        problems=FAILS,
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
)
