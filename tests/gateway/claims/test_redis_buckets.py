"""Token buckets in Redis: one server, behind Sentinels, and in a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis

from gateway.claims.redis_buckets import RedisBuckets
from gateway.claims.redis_cluster import ClusterServers
from gateway.claims.redis_sentinel import SentinelServers
from gateway.claims.redis_servers import OneServer, RedisServers
from support.redis_cluster import RedisCluster, WatchedRedis
from support.redis_server import RedisServer
from support.requirements import require
from support.waiting import PATIENCE, wait_until_async


@asynccontextmanager
async def started(servers: RedisServers) -> AsyncIterator[RedisBuckets]:
    """Connect for the block."""
    buckets = RedisBuckets(servers, timeout=5.0)
    await buckets.start()
    try:
        await wait_until_async(lambda: not buckets.unavailable_reason, PATIENCE, "it is connected")
        yield buckets
    finally:
        await buckets.stop()


async def fill_and_wait(buckets: RedisBuckets) -> None:
    """Charge two buckets, and wait until one is full again."""
    assert 99 < await buckets.charge("acme", 100.0) <= 100
    assert 149 < await buckets.charge("acme", 50.0) <= 150
    assert await buckets.charge("other", 0.0) == 0
    assert 0.2 < await buckets.charge("other", 0.3) <= 0.3

    async def is_full() -> bool:
        return await buckets.charge("other", 0.0) == 0

    await wait_until_async(is_full, PATIENCE, "it is full again")


async def test_time_is_added_and_passes(own_redis: RedisServer, raw: redis.Redis) -> None:
    """By the clock of Redis; a full bucket needs no key."""
    async with started(OneServer(own_redis.url)) as buckets, started(OneServer(own_redis.url)) as others:
        await fill_and_wait(buckets)

        assert 149 < await others.charge("acme", 0.0) <= 150
        assert raw.keys() == [b"whgw:1:limit:acme"]
        assert 149_000 < raw.pttl("whgw:1:limit:acme") <= 150_000


async def test_buckets_are_in_a_cluster() -> None:
    """Each on the node that has its key."""
    require("redis-server")
    with RedisCluster() as cluster:
        async with started(ClusterServers(cluster.urls)) as buckets:
            await fill_and_wait(buckets)


async def test_a_failover_keeps_what_was_copied() -> None:
    """The rest is free: the limit is exceeded for a moment, and no event refused for nothing."""
    require("redis-server")
    with WatchedRedis() as watched:
        primary, replica = watched.servers
        async with started(SentinelServers(watched.urls, watched.name)) as buckets:
            await buckets.charge("acme", 1000.0)
            with redis.Redis.from_url(replica.url) as raw:
                await wait_until_async(lambda: raw.exists("whgw:1:limit:acme"), PATIENCE, "it is copied")
            primary.kill()
            levels: list[float] = []

            async def answers() -> bool:
                levels.append(await buckets.charge("acme", 0.0))
                return True

            await wait_until_async(answers, PATIENCE, "it answers", forgive=(OSError,))
            assert 1000 - PATIENCE < levels[0] <= 1000


async def test_a_user_who_may_not_run_scripts_is_told(own_redis: RedisServer, raw: redis.Redis) -> None:
    """And counts alone."""
    execute: Any = raw.execute_command
    execute("ACL", "SETUSER", "claims", "on", ">secret", "~whgw:*", "+@read", "+@write")
    buckets = RedisBuckets(OneServer(f"redis://claims:secret@127.0.0.1:{own_redis.port}/0"))
    await buckets.start()
    try:
        await wait_until_async(lambda: "EVAL" in buckets.unavailable_reason, PATIENCE, "it is said")
        with pytest.raises(ConnectionError, match="EVAL"):
            await buckets.charge("acme", 1.0)
    finally:
        await buckets.stop()
