"""What the console does beside serving pages: tasks that are started again when they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

_FIRST_PAUSE = 1.0
"""Seconds before a task that has failed runs again; each further pause is twice as long."""

_MAX_PAUSE = 60.0
"""Seconds. A task that fails again and again says so once a minute."""

log = structlog.get_logger()


class Tasks:
    """Runs tasks until :meth:`stop`; none of them can end the process."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run ``work`` until it returns, and again after each failure.

        Args:
            name: What the task is called in the log.
            work: Runs until it has nothing more to do, or for ever.
        """
        self._tasks.append(asyncio.create_task(_keep_running(name, work), name=name))

    async def stop(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


async def repeat(work: Callable[[], None], delay: float) -> None:
    """Call ``work`` on a thread for ever, with ``delay`` seconds between two calls."""
    while True:
        await asyncio.to_thread(work)
        await asyncio.sleep(delay)


async def _keep_running(name: str, work: Callable[[], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    pause = _FIRST_PAUSE
    while True:
        began_at = loop.time()
        try:
            await work()
        except Exception as error:
            if loop.time() - began_at > _MAX_PAUSE:
                pause = _FIRST_PAUSE
            if isinstance(error, OSError):  # the disk is full, or a server is away
                log.warning("console task failed", task=name, cause=str(error), seconds=pause)
            else:
                log.exception("console task failed", task=name, seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE)
        else:
            return
