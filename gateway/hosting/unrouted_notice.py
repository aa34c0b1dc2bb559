"""What a worker reports when it starts: events that were published before its queue was bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

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

_END_TIMEOUT = 1.0
"""Seconds that the end of a worker waits for a look that is under way."""

log = structlog.get_logger()


@asynccontextmanager
async def unrouted_reported(config: Config, worker: Worker) -> AsyncIterator[None]:
    """Report unrouted events beside the block; the end of the block interrupts that."""
    ending = asyncio.Event()
    reporting = asyncio.create_task(_report(config, worker, ending), name="reporting unrouted events")
    try:
        yield
    finally:
        # Cancelled only if it does not end by itself: the thread of a database must not outlive the event loop.
        ending.set()
        await asyncio.wait([reporting], timeout=_END_TIMEOUT)
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


async def _report(config: Config, worker: Worker, ending: asyncio.Event) -> None:
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
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_DELAY):
                    await ending.wait()
                    return
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
