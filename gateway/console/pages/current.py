"""How the gateway is, asked at most once in a few seconds however many pages are looked at."""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request

from gateway.console.services import Services
from gateway.errors import OperatorError
from gateway.operations.status import QueueKind, Status, status

_FRESH = 5.0
"""Seconds for which an answer is shown again: brokers are asked no more often."""

_PATIENCE = 1.0
"""Seconds that the first page waits for an answer; later ones show the last."""

_PAGES: dict[QueueKind, str] = {
    "quarantine": "/quarantine",
    "dead_letters": "/dead-letters",
    "unrouted": "/unrouted",
}


class Current:
    """The last known status.

    Args:
        services: What is asked.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._status: Status | None = None
        self._task: asyncio.Task[None] | None = None

    async def status(self, request: Request | None = None, *, is_fresh: bool = False) -> Status | None:
        """Return how everything is; None while nobody has answered.

        Args:
            request: The request that asks, for its `Server-Timing`.
            is_fresh: Whether to wait for an answer of now, as the page of the queues does.
        """
        if self._status is None or time.time() - self._status.at > _FRESH:
            if self._task is None or self._task.done():
                self._task = asyncio.create_task(self._ask())
            if is_fresh or self._status is None:
                await asyncio.wait({self._task}, timeout=None if is_fresh else _PATIENCE)
        return self._status

    async def _ask(self) -> None:
        services = self._services
        try:
            self._status = await status(
                services.config(), services.journal, now=time.time(), processes=services.processes()
            )
        except (OSError, OperatorError):
            self._status = None

    @property
    def waiting(self) -> dict[str, int]:
        """Events that wait for somebody, by page."""
        counts: dict[str, int] = {}
        for queue in self._status.queues if self._status else ():
            if page := _PAGES.get(queue.kind):
                counts[page] = counts.get(page, 0) + (queue.ready or 0)
        return counts
