"""Work in multiples of known work, since seconds depend on what else the machine does."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from functools import cache
from math import inf

_ATTEMPTS = 10
"""Measurements after which work is too dear."""

_ROUNDS = 3
"""Measurements of which the least counts: other processes use the caches, too."""


def cost(work: Callable[[], object], enough: float) -> float:
    """Measure the processor time that this thread needs for ``work``, again until it is less than ``enough``.

    The unit is the time that writing and reading JSON of 1.5 MB takes, which is about 50 ms.
    """
    return least(lambda: in_known_work(_seconds(work, 1)), enough)


def least(measure: Callable[[], float], enough: float) -> float:
    """Return the least of several measurements, as soon as it is less than ``enough``.

    What else a machine does can only add: so one measurement below the limit is a verdict, and one above is none.
    """
    found = inf
    for _ in range(_ATTEMPTS):
        found = min(found, measure())
        if found < enough:
            break
    return found


def in_known_work(seconds: float) -> float:
    """Convert seconds of processor time, such as another process's, to the unit of :func:`cost`."""
    return seconds / _known_seconds()


def _seconds(work: Callable[[], object], rounds: int) -> float:
    measured = []
    gc.disable()  # a collection would walk through all that other tests have left
    try:
        for _ in range(rounds):
            began_at = time.thread_time()
            work()
            measured.append(time.thread_time() - began_at)
    finally:
        gc.enable()
    return min(measured)


@cache
def _known_seconds() -> float:
    document = [{"name": "x" * 20, "number": number, "list": [True, None, 1.5]} for number in range(20_000)]
    return _seconds(lambda: json.loads(json.dumps(document)), _ROUNDS)
