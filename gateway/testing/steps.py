"""Steps in memory, for events that come from no worker: so that a test can simply call a handler with one."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

from gateway.worker import Event
from gateway.worker.idempotency import Idempotency
from gateway.worker.store.memory import MemoryStore

T = TypeVar("T")

_LEASE = 30.0
"""Seconds of the lease on an event; no other worker ever competes for it."""


def bind_steps(event: Event) -> None:
    """Give ``event`` fresh in-memory steps."""

    async def bind() -> None:
        idempotency = Idempotency(MemoryStore(_LEASE), "sample", _LEASE, "strict")
        event.bind(idempotency.lease_for(event.source, event.key))

    run_in_background(bind())


def run_in_background(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that does not wait for long on a loop of its own, and return its result.

    So a function without ``async`` can use it, whether or not its caller has a running loop.
    """
    return asyncio.run_coroutine_threadsafe(work, _loop(os.getpid())).result()


@cache
def _loop(_process: int) -> asyncio.AbstractEventLoop:
    """Return the background loop of this process: a forked one inherits the loop, but not the thread that runs it."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="gateway.testing", daemon=True).start()
    return loop
