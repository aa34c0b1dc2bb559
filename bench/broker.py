"""The broker's consumer side: a quorum queue, counted and emptied between rounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel

QUEUE = "bench"


class Queue:
    """One queue. Each call connects anew: nothing of ours is open while something is measured."""

    def __init__(self, url: str, name: str = QUEUE) -> None:
        self._url = url
        self._name = name

    def bind(self, exchange: str, pattern: str = "#") -> None:
        """Route what `exchange` gets, all or what matches a pattern, to the queue."""
        asyncio.run(self._bind(exchange, pattern))

    def drain(self, expected: int, timeout: float = 30.0) -> int:
        """Wait for `expected` messages, empty the queue, and return how many there were."""
        return asyncio.run(self._drain(expected, timeout))

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        connection = await aio_pika.connect(self._url)
        async with connection:
            yield await connection.channel()

    async def _bind(self, exchange: str, pattern: str) -> None:
        async with self._channel() as channel:
            queue = await channel.declare_queue(
                self._name, durable=True, arguments={"x-queue-type": "quorum"}
            )
            await queue.bind(exchange, pattern)

    async def _drain(self, expected: int, timeout: float) -> int:
        async with self._channel() as channel:
            deadline = time.monotonic() + timeout
            while True:
                queue = await channel.declare_queue(self._name, passive=True)
                count = queue.declaration_result.message_count or 0
                if count >= expected or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.05)
            await queue.purge()
            return count
