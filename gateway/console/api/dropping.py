"""Start the jobs that delete events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.responses import Response

from gateway.console.api.jobs import start_job
from gateway.console.api.operation import Call
from gateway.console.api.selections import Dropping, filter_of, work_of
from gateway.queues.filter import EventFilter


async def start_drop(
    call: Call,
    drop: Callable[..., Awaitable[Any]],
    *owner: str,
    selects: type[EventFilter],
    queue: str,
) -> Response:
    """Start to delete the events that the body selects, if there are as many as it confirms.

    Args:
        call: The call, whose body is a :class:`~gateway.console.api.selections.Dropping`.
        drop: Deletes them.
        owner: The worker's queue, where they are the dead letters of one.
        selects: The filter for them.
        queue: The queue that they are in.

    Raises:
        OperatorError: It cannot be started now.
    """
    body: Dropping = call.body
    work = work_of(
        drop,
        call.services.config(),
        *owner,
        filter_of(selects, body),
        confirmed=body.confirmed,
        actor=call.principal.name,
    )
    name = owner[0] if owner else queue
    return await start_job(call, "drop", work, queue=queue, target=f"{name} ({body.confirmed})")
