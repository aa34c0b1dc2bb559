"""Finished claims in hashes: what they cost, when they end, and what gateways that differ see of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs

from gateway.claims import ClaimsUnavailable, Standing, claim_key, redis_packed
from gateway.claims.packing import LAYOUT_KEY, MAX_RETENTION, MIN_BITS, hash_key, place_of, with_bits
from gateway.claims.redis import RedisClaims
from gateway.claims.redis_packed import PackedRedisClaims
from gateway.claims.redis_servers import OneServer
from support.redis_server import RedisServer
from support.waiting import PATIENCE, wait_until_async

LEASE, RETENTION = 30.0, 345_600.0
KEY = claim_key("stripe", "evt_1")
NOW = 1_796_000_000.0


class Clock:
    """A clock that moves only when the test moves it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """The time."""
        return self.now


@asynccontextmanager
async def connected(
    url: str, *, lease: float = LEASE, clock: Clock | None = None
) -> AsyncIterator[PackedRedisClaims]:
    """A gateway's claims on a Redis."""
    claims = PackedRedisClaims(OneServer(url), lease, RETENTION, 5.0, clock=clock or Clock())
    await claims.start()
    try:
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "Redis is connected")
        yield claims
    finally:
        await claims.stop()


def never() -> None:
    """What is called when a commit fails, where none may."""
    raise AssertionError("the commit failed")


def hash_of(key: str, bits: int = MIN_BITS) -> bytes:
    """The key of the hash that has an event."""
    return hash_key(bits, place_of(key)[0])


async def publish(claims: PackedRedisClaims, first: int, count: int) -> None:
    """Claim and commit some events."""
    for start in range(first, first + count, 500):
        keys = [claim_key("stripe", str(number)) for number in range(start, min(start + 500, first + count))]
        waiting = keys
        while waiting:  # again, if the layout has changed meanwhile
            standings = await asyncio.gather(*(claims.claim(key, "a") for key in waiting))
            assert Standing.DONE not in standings
            waiting = [
                key
                for key, standing in zip(waiting, standings, strict=True)
                if standing is not Standing.CLAIMED
            ]
        for key in keys:
            claims.commit(key, never)


async def test_a_finished_claim_takes_20_bytes(own_redis: RedisServer, raw: redis.Redis) -> None:
    """With all that Redis needs beside it: a key, an expiry and a mark for each hash. Hashes are half full."""
    bits = MIN_BITS - 1
    raw.set(LAYOUT_KEY, with_bits(None, bits, int(NOW // 3600)))
    before = raw.info("memory")["used_memory"]
    async with connected(own_redis.url) as claims:
        with raw.pipeline(transaction=False) as pipeline:
            for number in range(2**bits):
                pipeline.hset(hash_key(bits, number << 160 - bits), "", "-1000")
                pipeline.expire(hash_key(bits, number << 160 - bits), int(RETENTION))
            pipeline.execute()
        for number in range(200_000):
            claims.commit(claim_key("stripe", str(number)), never)
            if not number % 1000:  # which waits for the commits before it
                await claims.look_up(KEY)
    after = raw.info("memory")["used_memory"]

    assert raw.object("encoding", hash_of(KEY, bits)) == b"listpack"
    assert (after - before) / 200_000 <= 20.5


async def test_an_event_costs_redis_three_commands(own_redis: RedisServer, raw: redis.Redis) -> None:
    """And no script, once the hashes are there."""
    async with connected(own_redis.url) as claims:
        keys = [claim_key("stripe", str(number)) for number in range(50)]
        for key in keys:
            await claims.claim(key, "a")
            await claims.forget(key)
        raw.config_resetstat()
        for key in keys:
            await claims.claim(key, "a")
            claims.commit(key, never)
        await claims.look_up(KEY)
    stats: dict[str, Any] = raw.info("commandstats")

    assert [stats[f"cmdstat_{name}"]["calls"] for name in ("set", "hmget", "hset")] == [50, 50, 50]
    assert "cmdstat_eval" not in stats


async def test_a_hash_expires_as_a_whole(own_redis: RedisServer, raw: redis.Redis) -> None:
    """Some time after the last event in it is forgotten, and not before."""
    async with connected(own_redis.url) as claims:
        await publish(claims, 0, 1000)
    hashes = raw.keys(f"whgw:2:{MIN_BITS}:*")

    assert len(hashes) > 500
    for key in hashes:
        assert 1.5 * RETENTION < raw.ttl(key) < 1.6 * RETENTION


async def test_events_are_forgotten_after_their_retention_and_removed_later(
    own_redis: RedisServer, raw: redis.Redis
) -> None:
    """Each after its own; those that are remembered stay."""
    clock = Clock()
    async with connected(own_redis.url, clock=clock) as claims:
        for name, retention in (("short", 3600.0), ("usual", None), ("long", 2 * RETENTION)):
            await claims.claim(claim_key("stripe", name), "a")
            claims.commit(claim_key("stripe", name), never, retention=retention)
            assert await claims.look_up(claim_key("stripe", name)) is Standing.DONE
        raw.delete(*raw.keys("whgw:1:*"))
        expected = {"short": Standing.CLAIMED, "usual": Standing.DONE, "long": Standing.DONE}
        for seconds in (2 * 3600.0, RETENTION):
            clock.now += seconds
            for name, standing in expected.items():
                assert await claims.claim(claim_key("stripe", name), "b") is standing
            expected["usual"] = Standing.CLAIMED
        await claims.look_up(KEY)

    assert [raw.hlen(hash_of(claim_key("stripe", name))) for name in expected] == [1, 1, 2]


async def test_other_content_under_a_known_id_is_another_event(own_redis: RedisServer) -> None:
    """The hash has the content, too, where the id alone does not identify an event."""
    async with connected(own_redis.url) as claims:
        await claims.claim(KEY, "one/a")
        claims.commit(KEY, never, content="one")

        assert await claims.claim(KEY, "one/b") is Standing.DONE
        assert await claims.claim(KEY, "two/c") is Standing.OTHER_DONE


async def test_what_the_version_before_wrote_is_found(own_redis: RedisServer, raw: redis.Redis) -> None:
    """Published events and those in flight: keys of their own."""
    raw.set(KEY, b"done")
    raw.set(claim_key("stripe", "evt_2"), b"pending:old")
    async with connected(own_redis.url) as claims:
        assert await claims.claim(KEY, "a") is Standing.DONE
        assert await claims.look_up(KEY) is Standing.DONE
        assert await claims.claim(claim_key("stripe", "evt_2"), "a") is Standing.IN_FLIGHT
        assert await claims.forget(KEY)
        assert await claims.claim(KEY, "a") is Standing.CLAIMED


async def test_the_version_before_sees_an_event_in_flight_for_the_rest_of_the_lease(
    own_redis: RedisServer,
) -> None:
    """It cannot read hashes: it publishes a copy of what is sent again after that."""
    before = RedisClaims(OneServer(own_redis.url), LEASE, RETENTION)
    await before.start()
    async with connected(own_redis.url) as claims:
        await wait_until_async(lambda: not before.unavailable_reason, PATIENCE)
        await claims.claim(KEY, "a")
        claims.commit(KEY, never)
        assert await claims.claim(KEY, "a") is Standing.DONE

        assert await before.claim(KEY, "b") is Standing.IN_FLIGHT
    await before.stop()


async def test_more_hashes_are_used_when_they_become_long_and_every_gateway_learns_of_them(
    own_redis: RedisServer, raw: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it does, the key of the lease tells it that an event is in flight; nothing is forgotten."""
    monkeypatch.setattr(redis_packed, "MAX_LENGTH", 0.5)
    clock = Clock()
    late = claim_key("stripe", "late")
    async with connected(own_redis.url, clock=clock) as first, connected(own_redis.url) as other:
        await publish(first, 0, 4000)
        layout: Any = raw.get(LAYOUT_KEY)
        await first.claim(late, "a")
        first.commit(late, never)
        assert await first.claim(late, "b") is Standing.DONE
        assert await other.claim(late, "c") is Standing.IN_FLIGHT
        clock.now += 60
        raw.delete(late)
        async with connected(own_redis.url, clock=clock) as third:
            for claims in (first, third):
                for number in range(0, 4000, 100):
                    assert await claims.claim(claim_key("stripe", str(number)), "d") is Standing.DONE
                assert await claims.claim(late, "e") is Standing.DONE

    assert layout
    assert raw.exists(hash_of(late, bits=int(layout.decode().split()[-1].partition("@")[0])))


async def test_a_gateway_reads_the_layout_again_in_a_third_of_the_lease(
    own_redis: RedisServer, raw: redis.Redis
) -> None:
    """A claim during which it learns of new hashes is to be sent again, which then asks them."""
    clock = Clock()
    async with connected(own_redis.url, clock=clock) as claims:
        await claims.claim(KEY, "a")
        await claims.forget(KEY)
        number, field = place_of(KEY)
        layout: Any = raw.get(LAYOUT_KEY)
        raw.set(LAYOUT_KEY, with_bits(layout, 14, int(clock.now // 3600)))
        raw.hset(hash_key(14, number), field, str(int((clock.now + RETENTION) // 3600) % 8192 - 4096))
        assert await claims.claim(KEY, "b") is Standing.CLAIMED
        clock.now += LEASE / 3

        assert await claims.claim(KEY, "b") is Standing.IN_FLIGHT
        assert await claims.claim(KEY, "b") is Standing.DONE


async def test_a_retention_that_cannot_be_packed_has_a_key_of_its_own(
    own_redis: RedisServer, raw: redis.Redis
) -> None:
    """Half a year, and longer."""
    async with connected(own_redis.url) as claims:
        await claims.claim(KEY, "a")
        claims.commit(KEY, never, retention=MAX_RETENTION + 3600)

        assert await claims.claim(KEY, "b") is Standing.DONE
    assert raw.get(KEY) == b"done"
    assert raw.ttl(KEY) > MAX_RETENTION


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        (("~whgw:*", "+@read", "+@write"), "grant +eval"),
        (("~whgw:*", "+set", "+get", "+del", "+pexpire", "+eval", "+time", "+info"), "+@hash"),
    ],
    ids=str,
)
async def test_without_scripts_or_hashes_claims_are_keys_of_their_own(
    own_redis: RedisServer, raw: redis.Redis, rights: tuple[str, ...], expected: str
) -> None:
    """It is said at the start what is missing, and what that costs."""
    execute: Any = raw.execute_command
    execute("ACL", "SETUSER", "claims", "on", ">secret", *rights)
    with capture_logs() as logs:
        async with connected(f"redis://claims:secret@127.0.0.1:{own_redis.port}/0") as claims:
            await claims.claim(KEY, "a")
            claims.commit(KEY, never)
            assert await claims.claim(KEY, "b") is Standing.DONE
    causes = [str(line["cause"]) for line in logs if line["event"] == "deduplication store"]

    assert raw.get(KEY) == b"done"
    assert [cause for cause in causes if expected in cause and "165 bytes" in cause]


async def test_a_hash_that_is_no_hash_makes_claims_unavailable(
    own_redis: RedisServer, raw: redis.Redis
) -> None:
    """Somebody else wrote there: nobody knows whether the event is published, and nothing is taken for a duplicate."""
    raw.set(hash_of(KEY), b"something")
    async with connected(own_redis.url) as claims:
        with pytest.raises(ClaimsUnavailable, match="packed"):
            await claims.claim(KEY, "a")
        assert await claims.claim(claim_key("stripe", "evt_3"), "a") is Standing.CLAIMED
