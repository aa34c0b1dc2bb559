"""Finished claims in buckets: small, remembered for the retention and hardly longer, known in every older form."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.backends import open_claims
from gateway.claims import Standing, claim_key
from gateway.claims.generations import MAX_SKEW, MIN_BUCKETS, PREFIX, TARGET_CLAIMS
from gateway.claims.redis import RedisClaims
from gateway.claims.redis_packed import PackedRedisClaims
from gateway.config import Config
from support import claims_in_redis
from support.redis_server import RedisServer
from support.waiting import PATIENCE, wait_until_async

LEASE, RETENTION = 30.0, 86_400.0
KEY = claim_key("github", "1")
LIST = PREFIX + b"github"


class Clock:
    """Unix seconds that pass when the test says so; never behind those of Redis, by which keys expire."""

    def __init__(self, now: float | None = None) -> None:
        self.now = time.time() if now is None else now

    def __call__(self) -> float:
        """Return them."""
        return self.now


@asynccontextmanager
async def connected(claims: RedisClaims) -> AsyncIterator[RedisClaims]:
    """The store between its start and its stop."""
    await claims.start()
    try:
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "Redis is connected")
        yield claims
    finally:
        await claims.stop()


def packed(server: RedisServer, clock: Clock, retention: float = RETENTION) -> PackedRedisClaims:
    """A store by this clock."""
    return PackedRedisClaims(server.url, LEASE, retention, PATIENCE, clock=clock)


def never() -> None:
    """What is called when a commit fails, where none may."""
    raise AssertionError("the commit failed")


async def finish(server: RedisServer, clock: Clock, key: str, retention: float = RETENTION) -> None:
    """Claim and commit an event by a gateway of its own."""
    async with connected(packed(server, clock, retention)) as claims:
        claims.commit(key, never)


async def standing(server: RedisServer, clock: Clock, key: str = KEY) -> Standing:
    """What a gateway that has just started finds, and leaves as it was."""
    async with connected(packed(server, clock)) as claims:
        found = await claims.claim(key, "a token")
        claims.release(key, "a token")
        return found


async def test_a_finished_claim_takes_at_most_twenty_bytes(own_redis: RedisServer, raw: redis.Redis) -> None:
    """At the size that buckets have at the end of a generation, keys of buckets and their expiry included."""
    count = MIN_BUCKETS * TARGET_CLAIMS
    before = int(raw.info("memory")["used_memory"])
    async with connected(packed(own_redis, Clock())) as claims:
        for start in range(0, count, 1024):
            for number in range(start, start + 1024):
                claims.commit(claim_key("stripe", f"evt_{number}"), never)
            await claims.claim(KEY, "a")
    used = int(raw.info("memory")["used_memory"]) - before

    assert sum(raw.hlen(key) for key in raw.scan_iter(PREFIX + b"{*", count=5000)) == count
    assert used / count <= 20


@pytest.mark.parametrize("is_compact", [False, True])
def test_the_configuration_chooses(*, is_compact: bool) -> None:
    """Keys by default."""
    config = Config.model_validate(
        {
            "providers": {"github": {"adapter": "github", "secrets": ["a secret"]}},
            "redis": {"url": "redis://127.0.0.1/0"},
            "dedupe": {"compact": is_compact},
        }
    )

    assert isinstance(open_claims(config), PackedRedisClaims) is is_compact


async def test_a_bucket_expires_as_a_whole(own_redis: RedisServer, raw: redis.Redis) -> None:
    """And the list of generations with it: nothing stays for ever."""
    await finish(own_redis, Clock(), KEY)
    (bucket,) = raw.scan_iter(PREFIX + b"{*")

    for key in bucket, LIST:
        assert 2 * RETENTION < int(raw.ttl(key)) < 2.1 * RETENTION


async def test_a_claim_is_remembered_over_the_end_of_its_generation(
    own_redis: RedisServer, raw: redis.Redis
) -> None:
    """Committed at its very end, for the whole retention; and not much longer."""
    clock = Clock()
    await finish(own_redis, clock, claim_key("github", "the first"))
    clock.now += RETENTION - 1
    await finish(own_redis, clock, KEY)
    clock.now += 2
    await finish(own_redis, clock, claim_key("github", "of the next generation"))
    assert int(raw.hlen(LIST)) == 2
    clock.now += RETENTION - 3
    assert await standing(own_redis, clock) is Standing.DONE
    clock.now += RETENTION / 128 + 2 * MAX_SKEW

    assert await standing(own_redis, clock) is Standing.CLAIMED


async def test_a_changed_retention_forgets_nothing(own_redis: RedisServer) -> None:
    """What was finished under the old one is remembered for that."""
    clock = Clock()
    await finish(own_redis, clock, KEY)
    clock.now += 3600
    await finish(own_redis, clock, claim_key("github", "2"), retention=600)
    clock.now += 3600

    assert await standing(own_redis, clock) is Standing.DONE
    assert await standing(own_redis, clock, claim_key("github", "2")) is Standing.CLAIMED


@pytest.mark.parametrize("content", ["", "a content"])
async def test_what_an_earlier_version_finished_is_done(own_redis: RedisServer, content: str) -> None:
    """The key of a finished claim is that of a pending one now."""
    async with connected(RedisClaims(own_redis.url, LEASE, RETENTION)) as earlier:
        earlier.commit(KEY, never, content=content)
    async with connected(packed(own_redis, Clock())) as claims:
        assert await claims.claim(KEY, f"{content}/token") is Standing.DONE
        assert await claims.claim(KEY, "other/token") is (Standing.OTHER_DONE if content else Standing.DONE)


async def test_an_earlier_version_beside_it_sees_pending_claims(own_redis: RedisServer) -> None:
    """Also of what is finished, until the lease ends: then it publishes a copy."""
    async with (
        connected(RedisClaims(own_redis.url, LEASE, RETENTION)) as earlier,
        connected(packed(own_redis, Clock())) as claims,
    ):
        assert await claims.claim(KEY, "a") is Standing.CLAIMED
        assert await earlier.claim(KEY, "b") is Standing.IN_FLIGHT
        claims.commit(KEY, never)
        await claims.claim(KEY, "a")

        assert await earlier.claim(KEY, "b") is Standing.IN_FLIGHT


async def test_other_content_under_a_finished_id_is_another_event(own_redis: RedisServer) -> None:
    """The same content is a duplicate."""
    async with connected(packed(own_redis, Clock())) as claims:
        claims.commit(KEY, never, content="one")

        assert await claims.claim(KEY, "one/a") is Standing.DONE
        assert await claims.claim(KEY, "other/b") is Standing.OTHER_DONE


async def test_the_providers_have_buckets_of_their_own(own_redis: RedisServer) -> None:
    """One id of two providers, whose digests are equal."""
    async with connected(packed(own_redis, Clock())) as claims:
        claims.commit(KEY, never)

        assert await claims.claim(claim_key("gitlab", "1"), "a") is Standing.CLAIMED


async def test_a_lost_list_of_generations_is_put_back(own_redis: RedisServer, raw: redis.Redis) -> None:
    """By a gateway that knew it, when it reads it the next time."""
    async with connected(PackedRedisClaims(own_redis.url, 0.6, RETENTION, PATIENCE)) as claims:
        claims.commit(KEY, never)
        await claims.claim(KEY, "a")
        before = raw.hgetall(LIST)
        raw.delete(LIST)

        async def is_back() -> bool:
            return await claims.claim(KEY, "a") is Standing.DONE and raw.hgetall(LIST) == before

        condition: Callable[[], bool | Awaitable[bool]] = is_back
        await wait_until_async(condition, PATIENCE, "the list is back")
    assert claims_in_redis.value_of(raw, KEY) == b"done"


@pytest.mark.parametrize("fault", ["SCRIPT FLUSH", "no scripts"])
async def test_claims_need_no_scripts(own_redis: RedisServer, raw: redis.Redis, fault: str) -> None:
    """Whether they are forgotten or not permitted."""
    execute: Any = raw.execute_command
    execute("ACL", "SETUSER", "claims", "on", ">password", "~whgw:*", "+@read", "+@write")
    server = (
        f"redis://claims:password@127.0.0.1:{own_redis.port}/0" if fault == "no scripts" else own_redis.url
    )
    async with connected(PackedRedisClaims(server, LEASE, RETENTION)) as claims:
        raw.script_flush()
        assert await claims.claim(KEY, "a") is Standing.CLAIMED
        claims.commit(KEY, never)
        claims.release(KEY, "a")

        assert await claims.claim(KEY, "b") is Standing.DONE
        assert claims_in_redis.value_of(raw, KEY) == b"done"


async def test_a_user_without_hashes_keeps_claims_as_keys(own_redis: RedisServer, raw: redis.Redis) -> None:
    """It is said at the start what that costs, and which right is missing."""
    execute: Any = raw.execute_command
    rights = "+set", "+get", "+del", "+pexpire", "+eval"
    execute("ACL", "SETUSER", "claims", "on", ">password", "~whgw:*", *rights)
    claims = PackedRedisClaims(f"redis://claims:password@127.0.0.1:{own_redis.port}/0", LEASE, RETENTION)
    with capture_logs() as logs:
        async with connected(claims):
            claims.commit(KEY, never)
            assert await claims.claim(KEY, "b") is Standing.DONE
            assert raw.get(KEY) == b"done"
    (warning,) = (line["cause"] for line in logs if line["event"] == "deduplication store")

    assert "grant +hset" in warning
    assert "165 bytes" in warning


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["commit", "claim", "wait"]),
        st.integers(0, 2),
        st.integers(0, 1),
        st.floats(0, 1.2),
    ),
    max_size=20,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS, skew=st.floats(-MAX_SKEW, MAX_SKEW))
def test_done_means_committed_within_the_retention(
    redis_url: str, operations: list[tuple[str, int, int, float]], skew: float
) -> None:
    """Two gateways, whose clocks differ, over several generations: neither forgets too early nor remembers too long."""
    with redis.Redis.from_url(redis_url) as raw:
        raw.flushdb()
    asyncio.run(_compare_with_model(redis_url, operations, skew))


async def _compare_with_model(url: str, operations: list[tuple[str, int, int, float]], skew: float) -> None:
    clocks = Clock(), Clock(time.time() + skew)
    committed_at: dict[str, float] = {}
    for verb, number, gateway, part in operations:
        key = claim_key("github", str(number))
        if verb == "wait":
            for clock in clocks:
                clock.now += part * RETENTION
            continue
        # A process that starts reads the list; one that goes on does so within half a lease, which is no time here.
        claims = PackedRedisClaims(url, LEASE, RETENTION, PATIENCE, clock=clocks[gateway])
        async with connected(claims):
            if verb == "commit":
                claims.commit(key, never)
                committed_at[key] = clocks[0].now
                continue
            found = await claims.claim(key, "token")
            claims.release(key, "token")
        age = clocks[0].now - committed_at.get(key, float("-inf"))
        if age <= RETENTION - 1:
            assert found is Standing.DONE
        if age > RETENTION * (1 + 1 / 128) + 3 * MAX_SKEW:
            assert found is Standing.CLAIMED
