"""Ordering within one process: events with one ordering key are handled first in, first out; others run beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Ordering:
    """One FIFO lock per ordering key; at most ``concurrency`` handlers run at once."""

    def __init__(self, concurrency: int) -> None:
        self._handlers = asyncio.Semaphore(concurrency)
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, key: str | None) -> AsyncIterator[None]:
        """Wait until every earlier caller with ``key`` has left the block; None waits for nobody."""
        if key is None:
            async with self._handlers:
                yield
            return
        lock, users = self._locks.get(key) or (asyncio.Lock(), 0)
        self._locks[key] = lock, users + 1
        try:
            async with lock, self._handlers:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = lock, users - 1
