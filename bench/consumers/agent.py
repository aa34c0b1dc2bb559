"""The worker of this program."""

from __future__ import annotations

import os
from typing import cast

from bench.consumers.notes import note
from gateway.worker import Event, Worker
from gateway.worker.worker import GuardMode

_QUEUE = os.environ["QUEUE"]

worker = Worker(
    queue=_QUEUE,
    events=[f"{_QUEUE}.#"],
    concurrency=int(os.environ["PREFETCH"]),
    guard=cast("GuardMode", os.environ["GUARD"]),
)


@worker.on("#")
async def handle(event: Event) -> None:
    """Handle it."""
    note(event.id)
