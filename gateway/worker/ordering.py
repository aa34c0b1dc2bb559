"""Ordering: what is of one subject goes one after another, first come first, while others go beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Ordering:
    """As many lanes as there are subjects at the moment, of which ``width`` at a time have somebody going."""

    def __init__(self, width: int) -> None:
        self._places = asyncio.Semaphore(width)
        self._lanes: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, subject: str | None) -> AsyncIterator[None]:
        """The caller's turn in the lane of ``subject``; of None there is no lane, and all go at once."""
        if subject is None:
            async with self._places:
                yield
            return
        lock, users = self._lanes.get(subject) or (asyncio.Lock(), 0)
        self._lanes[subject] = lock, users + 1
        try:
            async with lock, self._places:
                yield
        finally:
            lock, users = self._lanes.pop(subject)
            if users > 1:
                self._lanes[subject] = lock, users - 1
