"""Wait until something that connects in the background is ready."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

_POLL_INTERVAL = 0.02
"""Seconds between two looks; short beside the time that a connection takes."""


async def wait_ready(is_ready: Callable[[], bool], timeout: float) -> bool:
    """Wait until ``is_ready()`` is true, and return whether it was within ``timeout`` seconds.

    It asks again and again, because readiness has many causes: a connection, a circuit breaker, a full disk.
    A ``timeout`` of ``math.inf`` waits for ever.
    """
    try:
        async with asyncio.timeout(timeout if timeout < math.inf else None):
            while not is_ready():
                await asyncio.sleep(_POLL_INTERVAL)
    except TimeoutError:
        return is_ready()
    return True
