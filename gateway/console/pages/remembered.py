"""Answers that several pages show and that change slowly: asked once in a few seconds, however many people look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from gateway.journal.sampler import SAMPLE_INTERVAL

FRESH = SAMPLE_INTERVAL
"""Seconds for which an answer is shown again: the counters that charts are made of are sampled no more often."""

_MAX_ANSWERS = 64
"""Answers that are remembered."""

Result = TypeVar("Result")


class Remembered:
    """The last answers, by what was asked. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: dict[Hashable, tuple[float, Any]] = {}
        self._locks: dict[Hashable, asyncio.Lock] = {}

    async def get(self, key: Hashable, ask: Callable[[], Awaitable[Result]]) -> Result:
        """Return the answer to a question, which is asked if nobody has asked it lately.

        A failure is not remembered: what ``ask`` raises is raised here.
        """
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            asked_at, answer = self._answers.get(key, (float("-inf"), None))
            if self._clock() - asked_at > FRESH:
                answer = await ask()
                if len(self._answers) >= _MAX_ANSWERS:
                    self._answers.clear()
                    self._locks = {key: lock}
                self._answers[key] = (self._clock(), answer)
            found: Result = answer
            return found
