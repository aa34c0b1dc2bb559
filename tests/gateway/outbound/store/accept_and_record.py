"""A process that accepts deliveries and records attempts until it is killed: run as a script.

Arguments: `sqlite` with a data directory, or `postgresql` with a URL. It prints what it has been told is kept.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from gateway.outbound.ids import shard_of
from gateway.outbound.models import Delivery, DeliveryState
from gateway.outbound.store import Store
from gateway.outbound.store.postgresql import PostgresStore
from gateway.outbound.store.sqlite import SqliteStore
from support.outbound_records import a_delivery, a_message, a_record


def store_of(kind: str, place: str) -> Store:
    """Return the store that the arguments name."""
    keys = [bytes(range(32))]
    return SqliteStore(Path(place), keys) if kind == "sqlite" else PostgresStore(place, keys)


def say(word: str, delivery: Delivery) -> None:
    """Print what is kept."""
    sys.stdout.write(f"{word} {delivery.id}\n")
    sys.stdout.flush()


async def accept(store: Store, name: str) -> None:
    """Accept batches of five messages without end."""
    number = 0
    while True:
        now = time.time()
        batch = [
            (message, [a_delivery(message)])
            for message in (a_message(f"{name} {number + each}", at=now) for each in range(5))
        ]
        await store.accept(batch)
        number += 5
        for _, (delivery,) in batch:
            say("accepted", delivery)


async def record(store: Store, epoch: int) -> None:
    """Record that what is due was delivered, without end."""
    while True:
        ready = await store.due("ep_shop", time.time(), 7)
        await asyncio.sleep(0 if ready else 0.01)
        await store.record([a_record(each, DeliveryState.DELIVERED, epoch, at=time.time()) for each in ready])
        for each in ready:
            say("recorded", each)


async def main() -> None:
    """Do both at once."""
    store = store_of(*sys.argv[1:3])
    await store.start()
    leases = await store.lease(f"process {time.time()}", 0.5, want=256)
    while not leases:  # the process that was killed before still has them
        await asyncio.sleep(0.05)
        leases = await store.lease(f"process {time.time()}", 0.5, want=256)
    epoch = next(each.epoch for each in leases if each.shard == shard_of("ep_shop"))
    await asyncio.gather(
        accept(store, f"one {time.time()}"), accept(store, f"two {time.time()}"), record(store, epoch)
    )


if __name__ == "__main__":
    asyncio.run(main())
