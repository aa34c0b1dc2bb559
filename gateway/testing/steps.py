"""The steps of events that come from no worker: guarded in memory, for functions that are called by themselves."""

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

_LEASE = 30.0  # seconds; nobody else wants it


def bind_steps(event: Event) -> None:
    """Guard the steps of ``event``, of which none is done."""

    async def hold() -> None:
        event.bind(
            Idempotency(MemoryStore(_LEASE), "sample", _LEASE, "strict").lease_for(event.source, event.key)
        )

    run_aside(hold())


def run_aside(work: Coroutine[Any, Any, T]) -> T:
    """Run what never waits for long on a loop of its own, whether or not one is running here."""
    return asyncio.run_coroutine_threadsafe(work, _loop(os.getpid())).result()


@cache
def _loop(_process: int) -> asyncio.AbstractEventLoop:
    """The loop of this process; one that was forked from it has no thread to run it."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="gateway.testing", daemon=True).start()
    return loop
