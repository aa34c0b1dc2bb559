"""What claims cost Redis: memory per finished claim, and CPU time per event, packed and as keys.

Run ``PYTHONPATH=tests python -m bench.claims``. Time is virtual: the claims of several retentions are made within minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

from redis import Redis

from gateway.claims import Claims, Standing, claim_key, content_key
from gateway.claims.generations import PREFIX, parse
from gateway.claims.redis import RedisClaims
from gateway.claims.redis_packed import PackedRedisClaims
from gateway.observability.logs import silence_logs
from support.redis_server import RedisServer

RETENTION = 345_600
_LEASE = 30.0
_STEPS = 20
"""Moments in a retention at which claims are made, and memory is measured."""
_TURN = 500
"""Claims that are made in one turn of the loop."""
_CONNECTIONS = 64
_CONFIRM_INTERVAL = 0.002
_WORK = 50e-6
"""Seconds of other work before a claim, and again before its commit: about what the gateway does for an event."""


_TURN_DURATION = 8000
"""Milliseconds that a turn takes, about."""


class VirtualClock:
    """Unix seconds that pass when the program says so."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        """Return them."""
        return self.now


@asynccontextmanager
async def opened(claims: Claims) -> Any:
    """A store that is connected."""
    await claims.start()
    while claims.unavailable_reason:
        await asyncio.sleep(0.01)
    try:
        yield claims
    finally:
        await claims.stop()


def fail() -> None:
    """What is called when a commit fails."""
    raise RuntimeError("a commit failed")


async def commit(claims: Claims, numbers: Iterator[int], count: int) -> None:
    """Finish claims, without having made them: pending ones are measured nowhere here."""
    for _ in range(count // _TURN):
        for number in itertools.islice(numbers, _TURN):
            claims.commit(claim_key("stripe", f"evt_{number}"), fail)
        await claims.claim(claim_key("stripe", "probe"), "probe")


def batched_keys(store: Redis) -> Iterator[list[bytes]]:
    """Yield the keys of all buckets, some at a time."""
    cursor = 0
    while True:
        reply: Any = store.scan(cursor, match=PREFIX + b"{*", count=1000)
        cursor, keys = reply
        if keys:
            yield keys
        if not cursor:
            return


def each_of(store: Redis, command: str, keys: list[bytes]) -> list[int]:
    """Return the replies to a command for each key."""
    pipeline: Any = store.pipeline(transaction=False)
    for key in keys:
        pipeline.execute_command(command, key)
    replies: list[int] = pipeline.execute()
    return replies


def drop_expired(store: Redis, now: float) -> None:
    """Delete what has expired by the virtual clock."""
    for keys in batched_keys(store):
        expiries = each_of(store, "PEXPIRETIME", keys)
        if expired := [key for key, at in zip(keys, expiries, strict=True) if 0 < at <= now * 1000]:
            store.delete(*expired)


async def fill(server: RedisServer, clock: VirtualClock, per_retention: int, retentions: float) -> None:
    """Make claims at an even rate, and print the memory that they take."""
    numbers = itertools.count()
    step = per_retention // _STEPS
    with Redis.from_url(server.url) as store:
        empty = int(store.info("memory")["used_memory"])
        for turn in range(1, int(retentions * _STEPS) + 1):
            async with opened(PackedRedisClaims(server.url, _LEASE, RETENTION, 5.0, clock=clock)) as claims:
                await commit(claims, numbers, step)
            clock.now += RETENTION / _STEPS
            drop_expired(store, clock.now)
            used = int(store.info("memory")["used_memory"]) - empty
            kept = sum(sum(each_of(store, "HLEN", keys)) for keys in batched_keys(store))
            remembered = min(turn, _STEPS) * step
            listed = parse(store.hgetall(PREFIX + b"stripe"))
            print(
                f"after {turn / _STEPS:.2f} retentions: {kept:>9,} claims kept, {used / kept:5.2f} bytes each; "
                f"{used / remembered:5.2f} for each of the last retention; buckets {[each.buckets for each in listed]}",
                flush=True,
            )


def spin(seconds: float) -> None:
    """Be busy, as a gateway is with other things."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def cpu_of(store: Redis) -> float:
    """Return the processor time that Redis has used."""
    facts = store.info("cpu")
    return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])


async def load(claims: Claims, store: Redis, events: int, prefix: str, *, marks: bool) -> float:
    """Claim and commit events of many connections, and return the microseconds of Redis for each."""
    loop = asyncio.get_running_loop()
    unconfirmed: list[asyncio.Future[None]] = []

    def confirm() -> None:
        confirmed = unconfirmed.copy()
        unconfirmed.clear()
        for each in confirmed:
            each.set_result(None)
        timer[0] = loop.call_later(_CONFIRM_INTERVAL, confirm)

    timer = [loop.call_soon(confirm)]
    numbers = iter(range(events))

    async def connection() -> None:
        for number in numbers:
            spin(_WORK)
            event_id, token = f"{prefix}{number}", f"{number:x}"
            key = claim_key("stripe", event_id)
            if marks:
                mark = content_key("stripe", hashlib.sha256(event_id.encode()).hexdigest())
                claims.mark(mark, key.rpartition(":")[2].encode(), fail)
            if await claims.claim(key, token) is not Standing.CLAIMED:
                raise RuntimeError("an event was known")
            confirmed = loop.create_future()
            unconfirmed.append(confirmed)
            await confirmed
            spin(_WORK)
            claims.commit(key, fail)

    before = cpu_of(store)
    await asyncio.gather(*(connection() for _ in range(_CONNECTIONS)))
    await claims.claim(claim_key("stripe", "probe"), "probe")
    timer[0].cancel()
    return (cpu_of(store) - before) / events * 1e6


def let_expire(store: Redis, count: int) -> None:
    """Add keys that expire while as many claims are made: at a steady rate each claim is the end of another.

    Packed claims need none: what expires there are the keys of pending claims, made by the turns before.
    """
    pipeline = store.pipeline(transaction=False)
    for number in range(count):
        key = claim_key("stripe", f"old {number}")
        pipeline.set(key, b"done", px=random.randrange(1, _TURN_DURATION))
    pipeline.execute()


async def compare(
    old: RedisServer, new: RedisServer, clock: VirtualClock, filled: int, pairs: int, events: int
) -> None:
    """Compare the processor time of both forms, by turns, each over as many claims."""
    with Redis.from_url(old.url) as keys, Redis.from_url(new.url) as packed:
        async with opened(RedisClaims(old.url, _LEASE, RETENTION, 5.0)) as claims:
            await commit(claims, itertools.count(), filled)
        # One store for all turns, as a gateway has: it sets a bucket to expire once.
        async with (
            opened(RedisClaims(old.url, _LEASE, RETENTION, 5.0)) as first,
            opened(PackedRedisClaims(new.url, _LEASE, RETENTION, 5.0, clock=clock)) as second,
        ):
            for marks in (False, True):
                ratios = []
                for pair in range(-1, pairs):
                    spent = {}
                    forms = ("keys", first, keys), ("packed", second, packed)
                    for name, claims, store in forms if pair % 2 else reversed(forms):
                        if store is keys:
                            let_expire(keys, events)
                        spent[name] = await load(claims, store, events, f"{marks} {pair} ", marks=marks)
                    if pair < 0:  # the caches are cold
                        continue
                    ratios.append(spent["packed"] / spent["keys"])
                    print(
                        f"marks {marks}: keys {spent['keys']:5.2f} us, packed {spent['packed']:5.2f} us, "
                        f"{ratios[-1]:.2f} times",
                        flush=True,
                    )
                print(f"marks {marks}: median {statistics.median(ratios):.2f} times", flush=True)


async def main() -> None:
    """Measure as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=1_200_000, help="claims in one retention")
    parser.add_argument("--retentions", type=float, default=2.5)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--events", type=int, default=10_000)
    options = parser.parse_args()
    silence_logs()
    clock = VirtualClock()
    with RedisServer() as old, RedisServer() as new:
        await fill(new, clock, options.claims, options.retentions)
        await compare(old, new, clock, options.claims, options.pairs, options.events)


if __name__ == "__main__":
    asyncio.run(main())
