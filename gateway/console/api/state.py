"""How the gateway is: its parts, its queues and its workers."""

from __future__ import annotations

import asyncio

import msgspec

from gateway.console.api.operation import Call, Operation
from gateway.console.security.headers import timed
from gateway.console.security.roles import Role
from gateway.journal.reports import Heartbeat
from gateway.operations.queue_status import live_workers
from gateway.operations.status import status
from gateway.operations.status_models import QueueStatus, Status


class QueueList(msgspec.Struct):
    """The queues that are known.

    Attributes:
        queues: The queues; those of workers first.
    """

    queues: list[QueueStatus]


class WorkerList(msgspec.Struct):
    """The workers that are alive.

    Attributes:
        workers: The last word of each process.
    """

    workers: list[Heartbeat]


async def _status(call: Call) -> Status:
    services = call.services
    with timed(call.request, "status"):
        return await status(services.config(), services.journal, now=call.now, processes=services.processes())


async def _queues(call: Call) -> QueueList:
    return QueueList(list((await _status(call)).queues))


async def _workers(call: Call) -> WorkerList:
    workers = call.services.workers
    if workers is None:
        return WorkerList(await live_workers(call.services.config(), call.now))
    return WorkerList(await asyncio.to_thread(workers.alive, call.now))


OPERATIONS = (
    Operation(
        method="GET",
        path="/status",
        role=Role.VIEWER,
        summary="Return how everything is: processes, spool, queues, stores, and what is wrong.",
        handler=_status,
        result=Status,
        problems=("journal_unavailable",),
    ),
    Operation(
        method="GET",
        path="/queues",
        role=Role.VIEWER,
        summary="Return the queues: what waits, what is being worked on, by how many consumers.",
        handler=_queues,
        result=QueueList,
        problems=("journal_unavailable",),
    ),
    Operation(
        method="GET",
        path="/workers",
        role=Role.VIEWER,
        summary="Return the workers that are alive, by queue, host and process.",
        handler=_workers,
        result=WorkerList,
        problems=("journal_unavailable",),
    ),
)
