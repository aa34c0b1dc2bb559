"""Work in multiples of known work, since seconds depend on what else the machine does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import cache

_ROUNDS = 3
"""Measurements of which the least counts: other processes use the caches, too."""


def cost(work: Callable[[], object], rounds: int = 1) -> float:
    """Measure the processor time that this thread needs for ``work``.

    The unit is the time that writing and reading JSON of 1.5 MB takes, which is about 50 ms.
    """
    return in_known_work(_seconds(work, rounds))


def in_known_work(seconds: float) -> float:
    """Convert seconds of processor time, such as another process's, to the unit of :func:`cost`."""
    return seconds / _known_seconds()


def _seconds(work: Callable[[], object], rounds: int) -> float:
    measured = []
    for _ in range(rounds):
        began_at = time.thread_time()
        work()
        measured.append(time.thread_time() - began_at)
    return min(measured)


@cache
def _known_seconds() -> float:
    document = [{"name": "x" * 20, "number": number, "list": [True, None, 1.5]} for number in range(20_000)]
    return _seconds(lambda: json.loads(json.dumps(document)), _ROUNDS)
