"""A primary of Redis dies, or its keys move: claims go on with the server that has them now."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.claims import Claims, ClaimsUnavailable, Standing
from gateway.claims.redis import RedisClaims
from gateway.claims.redis_cluster import ClusterServers
from gateway.claims.redis_sentinel import SentinelServers
from gateway.claims.redis_slots import slot_of
from support.redis_cluster import RedisCluster, WatchedRedis
from support.requirements import require
from support.waiting import PATIENCE, wait_until_async

LEASE = 30.0
PASSWORD = "of-the-primary"


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    """Three primaries and their replicas."""
    require("redis-server")
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture
def watched() -> Iterator[WatchedRedis]:
    """A primary and a replica behind three Sentinels."""
    require("redis-server")
    with WatchedRedis() as watched:
        yield watched


@asynccontextmanager
async def started(claims: Claims) -> AsyncIterator[Claims]:
    """Connect the store for the block."""
    await claims.start()
    try:
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "the store is connected")
        yield claims
    finally:
        await claims.stop()


async def claim_until_answered(claims: Claims, key: str, token: str) -> Standing:
    """Claim a key, as often as the store is unavailable."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await claims.claim(key, token)
        except ClaimsUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


def ignore() -> None:
    """Ignore that a commit failed."""


async def test_the_replica_takes_over_behind_sentinels(watched: WatchedRedis) -> None:
    """What it had received is remembered; the rest costs copies."""
    primary, replica = watched.servers
    async with started(RedisClaims(SentinelServers(watched.urls, watched.name), LEASE)) as claims:
        await claims.claim("whgw:1:one", "token")
        claims.commit("whgw:1:one", ignore)
        await wait_until_async(lambda: b"done" in _value(replica.url, "whgw:1:one"), PATIENCE, "it is copied")

        primary.kill()

        assert await claim_until_answered(claims, "whgw:1:two", "token") is Standing.CLAIMED
        assert await claim_until_answered(claims, "whgw:1:one", "other") is Standing.DONE
        assert not claims.unavailable_reason


async def test_sentinels_may_die_but_for_one(watched: WatchedRedis) -> None:
    """Any of them knows the primary."""
    dead = ["redis://127.0.0.1:1", "redis://127.0.0.1:2"]
    async with started(RedisClaims(SentinelServers([*dead, watched.urls[0]], watched.name))) as claims:
        assert await claims.claim("whgw:1:one", "token") is Standing.CLAIMED


async def test_an_unknown_name_is_said(watched: WatchedRedis) -> None:
    """With the setting to correct."""
    claims = RedisClaims(SentinelServers(watched.urls, "other"))
    await claims.start()
    try:
        await wait_until_async(lambda: claims.has_been_tried, PATIENCE, "it was tried")
        assert "no Sentinel names the primary 'other'" in claims.unavailable_reason
    finally:
        await claims.stop()


async def test_the_primary_behind_sentinels_has_a_password_of_its_own() -> None:
    """The Sentinels have none."""
    require("redis-server")
    options = ("--requirepass", PASSWORD, "--masterauth", PASSWORD)
    with WatchedRedis(*options, password=PASSWORD) as watched:
        servers = SentinelServers(watched.urls, watched.name, password=PASSWORD)
        async with started(RedisClaims(servers)) as claims:
            assert await claims.claim("whgw:1:one", "token") is Standing.CLAIMED


async def test_a_replica_takes_over_in_a_cluster(cluster: RedisCluster) -> None:
    """Keys of the other nodes are not affected; those of the dead one are claimed again from its replica."""
    async with started(RedisClaims(ClusterServers(cluster.urls), LEASE)) as claims:
        for number in range(30):
            assert await claims.claim(f"whgw:1:{number}", "token") is Standing.CLAIMED

        cluster.owner_of("whgw:1:0").kill()

        for number in range(30):
            standing = await claim_until_answered(claims, f"whgw:1:{number}", "other")
            assert standing in (Standing.IN_FLIGHT, Standing.CLAIMED)
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "all keys can be reached")


async def test_a_slot_moves_to_another_node(cluster: RedisCluster) -> None:
    """While it moves (ASK) and afterwards (MOVED) no claim fails, and none is lost."""
    key, other = "whgw:1:{moving}:1", "whgw:1:{moving}:2"
    async with started(RedisClaims(ClusterServers(cluster.urls), LEASE, timeout=5.0)) as claims:
        assert await claims.claim(key, "token") is Standing.CLAIMED

        source, target = cluster.begin_move(key)
        assert await claims.claim(key, "other") is Standing.IN_FLIGHT
        assert await claims.claim(other, "token") is Standing.CLAIMED

        cluster.finish_move(key, source, target)
        assert await claims.claim(key, "other") is Standing.IN_FLIGHT
        claims.commit(key, ignore)
        assert await claims.claim(key, "third") is Standing.DONE
        assert await claims.claim(other, "other") is Standing.IN_FLIGHT


async def test_a_replica_is_found_though_no_command_comes(cluster: RedisCluster) -> None:
    """The connection that ended is enough of a sign."""
    async with started(RedisClaims(ClusterServers(cluster.urls), LEASE)) as claims:
        cluster.primaries[0].kill()
        await wait_until_async(lambda: claims.unavailable_reason, PATIENCE, "the loss is noticed")
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "the replica is found")


async def test_a_cluster_without_all_of_its_slots_says_so_until_it_has_them(cluster: RedisCluster) -> None:
    """Its other nodes refuse commands too; nobody is told to correct a configuration that is right."""
    async with started(RedisClaims(ClusterServers(cluster.urls), LEASE)) as claims:
        dead = cluster.primaries[0]
        cluster.replicas[0].kill()
        dead.kill()
        key = next(
            f"whgw:1:{number}" for number in range(100) if cluster.owner_of(f"whgw:1:{number}") is not dead
        )

        async def is_refused() -> bool:
            try:
                await claims.claim(key, "token")
            except ClaimsUnavailable as error:
                return "takes no commands, because some slots have no primary" in str(error)
            return False

        await wait_until_async(is_refused, PATIENCE, "the cluster is down")
        assert "takes no commands" in claims.unavailable_reason

        dead.start()
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "the cluster is whole")
        assert await claim_until_answered(claims, "whgw:1:new", "token") is Standing.CLAIMED


async def test_a_sentinel_that_is_cut_off_is_not_believed(
    watched: WatchedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names a primary that is dead; the others are asked."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            writer.write(b"*2\r\n$9\r\n127.0.0.1\r\n$1\r\n1\r\n")
        writer.close()

    monkeypatch.setattr(random, "sample", lambda items, _: list(items))  # it is asked first
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    cut_off = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with started(RedisClaims(SentinelServers([cut_off, *watched.urls], watched.name))) as claims:
            assert await claims.claim("whgw:1:one", "token") is Standing.CLAIMED
        only = RedisClaims(SentinelServers([cut_off], watched.name))
        await only.start()
        try:
            await wait_until_async(lambda: only.has_been_tried, PATIENCE, "it was tried")
            assert "nothing listens at 127.0.0.1:1" in only.unavailable_reason
            assert "the primary 'claims' is 127.0.0.1:1" in only.unavailable_reason
        finally:
            await only.stop()
    finally:
        server.close()


async def test_nodes_that_are_away_at_the_start_are_found_later(cluster: RedisCluster) -> None:
    """One node of those configured is enough to find the others."""
    first = cluster.urls[0]
    async with started(RedisClaims(ClusterServers(["redis://127.0.0.1:1", first]), LEASE)) as claims:
        standings = {await claims.claim(f"whgw:1:{number}", "token") for number in range(30)}

    assert standings == {Standing.CLAIMED}


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 12739),
        (b"{user1000}.following", slot_of(b"user1000")),
        (b"foo{}{bar}", slot_of(b"foo{}{bar}")),
    ],
)
def test_slots_are_those_of_the_specification(key: bytes, slot: int) -> None:
    """The check value of its CRC, and what counts as a hash tag."""
    assert slot_of(key) == slot


def _value(url: str, key: str) -> bytes:
    import redis

    with redis.Redis.from_url(url) as raw:
        value = raw.get(key)
    return value if isinstance(value, bytes) else b""
