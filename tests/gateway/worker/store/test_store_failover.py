"""Leases, order and limits of workers through a failover: what the replica has is kept, and nothing waits for ever."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from gateway.claims import ClaimsUnavailable, Standing
from gateway.claims.redis_cluster import ClusterServers
from gateway.claims.redis_sentinel import SentinelServers
from gateway.claims.redis_servers import RedisServers
from gateway.worker.store.redis import RedisStore
from support.redis_cluster import RedisCluster, WatchedRedis, command, wait_caught_up
from support.redis_server import RedisServer
from support.requirements import require
from support.waiting import PATIENCE, wait_until_async

LEASE = 300.0
RATE = (3, 3600.0, 0.0)
"""Three in an hour, without waiting."""


@dataclass
class Pair:
    """A primary that has the keys of the queue ``q``, and its replica."""

    servers: RedisServers
    primary: RedisServer
    replica: RedisServer

    def cut_off(self) -> None:
        """Keep all that is written from now on from the replica."""
        self.replica.suspend()
        command(self.primary, "CLIENT", "KILL", "TYPE", "replica")

    def fail_over(self) -> None:
        """Let the replica take over with what it has."""
        self.primary.kill()
        self.replica.resume()


@pytest.fixture(params=["sentinel", "cluster"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Each way in which a replica takes over."""
    require("redis-server")
    with ExitStack() as stack:
        if request.param == "sentinel":
            watched = stack.enter_context(WatchedRedis())
            yield Pair(SentinelServers(watched.urls, watched.name), *watched.servers)
        else:
            cluster = stack.enter_context(RedisCluster())
            primary = cluster.owner_of("{q}")
            replica = cluster.replicas[cluster.primaries.index(primary)]
            yield Pair(ClusterServers(cluster.urls), primary, replica)


@pytest.fixture
async def store(pair: Pair) -> AsyncIterator[RedisStore]:
    """The store of a worker, connected."""
    found = RedisStore(pair.servers, LEASE, timeout=5.0, needs_scripts=True)
    await found.start()
    try:
        await wait_until_async(lambda: not found.unavailable_reason, PATIENCE, "the store is connected")
        yield found
    finally:
        await found.stop()


async def until_answered(ask: Callable[[], Awaitable[object]]) -> object:
    """Ask as often as the store is unavailable, as a strict worker does."""
    answers: list[object] = []

    async def has_answered() -> bool:
        answers.append(await ask())
        return True

    await wait_until_async(has_answered, PATIENCE, "the store answers", forgive=(ClaimsUnavailable,))
    return answers[0]


async def test_what_was_copied_is_kept(pair: Pair, store: RedisStore) -> None:
    """The lease of a handler that runs, the event whose turn it is, and what a limit has spent."""
    assert await store.claim("{q}running", "one") is Standing.CLAIMED
    await store.claim("{q}done", "one")
    store.commit("{q}done", lambda: None, content="result")
    assert await store.take_turn("{q}line", "{q}first") == 0
    assert await store.take_turn("{q}line", "{q}second") > 0
    assert [await store.reserve("{q}limit", *RATE) for _ in range(3)] == [0, 0, 0]
    wait_caught_up(pair.primary, pair.replica)

    pair.fail_over()

    assert await until_answered(lambda: store.claim("{q}running", "other")) is Standing.IN_FLIGHT
    assert await until_answered(lambda: store.claim("{q}done", "other")) is Standing.DONE
    assert await store.result_of("{q}done") == "result"
    assert await store.take_turn("{q}line", "{q}third") > 0
    assert await store.take_turn("{q}line", "{q}first") == 0
    assert await store.reserve("{q}limit", *RATE) > 0
    store.complete("{q}line", "{q}first")
    assert await store.take_turn("{q}line", "{q}third") > 0
    assert await store.take_turn("{q}line", "{q}second") == 0


async def test_what_was_not_copied_blocks_nobody(pair: Pair, store: RedisStore) -> None:
    """An event may be handled twice and a limit be exceeded, but no event waits for a turn that is forgotten."""
    wait_caught_up(pair.primary, pair.replica)
    pair.cut_off()
    assert await store.claim("{q}running", "one") is Standing.CLAIMED
    assert await store.take_turn("{q}line", "{q}first") == 0
    assert [await store.reserve("{q}limit", *RATE) for _ in range(3)] == [0, 0, 0]

    pair.fail_over()

    assert await until_answered(lambda: store.claim("{q}running", "other")) is Standing.CLAIMED
    lost: list[str] = []
    store.renew("{q}running", "one", lambda: lost.append("one"))
    await wait_until_async(lambda: lost == ["one"], PATIENCE, "the first holder is told")
    assert await store.take_turn("{q}line", "{q}second") == 0
    assert await store.reserve("{q}limit", *RATE) == 0
