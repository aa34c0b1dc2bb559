"""What a worker reports when it starts: events that were published before its queue was bound."""

from __future__ import annotations

import asyncio

import structlog

from gateway.backends import open_dead_letters
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.publishers import UNROUTED_SUFFIX
from gateway.queues.unrouted import count_waiting, route_command
from gateway.worker import Worker

_TRIES = 5
"""Times that the broker is asked, because it may start after the worker."""

_RETRY_DELAY = 2.0
"""Seconds between them."""

log = structlog.get_logger()


async def report_unrouted(config: Config, worker: Worker) -> None:
    """Log how many unrouted events match the worker's patterns, and the command that takes them.

    Nothing is logged where there are none, no such queue, or no permission to read it.
    """
    queue = config.rabbitmq.exchange + UNROUTED_SUFFIX
    for _ in range(_TRIES):
        try:
            async with open_dead_letters(config, queue) as unrouted:
                waiting = await count_waiting(unrouted, worker.events)
            break
        except OperatorError:
            await asyncio.sleep(_RETRY_DELAY)
    else:
        return
    if waiting.matching != 0 and waiting.total:
        log.warning(
            "unrouted events wait",
            queue=worker.queue,
            unrouted=queue,
            total=waiting.total,
            matching=waiting.matching,
            command=route_command(worker.queue, worker.events),
        )
