"""Work on large bodies, done by other threads: digests release the interpreter lock, so the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway.signatures.rejections import Rejection

_THREADS = 2
"""Threads that digest. Each holds a body meanwhile, and a machine has few cores for them."""

T = TypeVar("T")


class Aside:
    """Runs functions on a few threads, without keeping what they worked on in memory.

    Attributes:
        parsing: Held from the parsing of a body until its objects are no longer needed. They take several times its
            size, and threads that got ahead of the event loop would fill the memory with them.
    """

    def __init__(self) -> None:
        self.parsing = asyncio.Semaphore(_THREADS)
        self._threads = ThreadPoolExecutor(_THREADS, "verify")

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` on another thread, and return its result.

        The result is passed beside the future. A thread's future refers to itself, so a body in its result, or in
        the traceback of its exception, would stay in memory until the next garbage collection.

        Raises:
            Rejection: as ``work`` does.
        """
        waiting = [work]  # the thread may hold on to ``run`` for a moment, but not to this
        results: list[T] = []
        refused: list[Rejection] = []

        def run() -> None:
            try:
                results.append(waiting.pop()())
            except Rejection as rejection:
                rejection.__traceback__ = rejection.__cause__ = rejection.__context__ = None
                refused.append(rejection)

        await asyncio.get_running_loop().run_in_executor(self._threads, run)
        if refused:
            raise refused.pop()
        return results.pop()
