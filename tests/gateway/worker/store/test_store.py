"""Sequences and rate limits: one contract for all stores."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.claims import Standing
from gateway.claims.redis_cluster import ClusterServers
from gateway.claims.redis_servers import OneServer
from gateway.transport.embedded import Database
from gateway.worker.store import Store, sequences
from gateway.worker.store import redis as redis_store
from gateway.worker.store.memory import MemoryStore
from gateway.worker.store.redis import RedisStore
from gateway.worker.store.sqlite import SqliteStore
from support.redis_cluster import RedisCluster
from support.requirements import require
from support.waiting import wait_until_async

LEASE = 30.0


@pytest.fixture(scope="module")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three primaries and their replicas."""
    require("redis-server")
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Return each store, connected."""
    found: Store
    if request.param == "memory":
        found = MemoryStore(LEASE)
    elif request.param == "sqlite":
        found = SqliteStore(Database(tmp_path), LEASE)
    elif request.param == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster")
        for primary in cluster.primaries:
            primary.flush()
        found = RedisStore(ClusterServers(cluster.urls), LEASE, timeout=5.0, needs_scripts=True)
    else:
        found = RedisStore(OneServer(request.getfixturevalue("redis_url")), LEASE)
    await found.start()
    try:
        await wait_until_async(lambda: not found.unavailable_reason, message="the store is connected")
        yield found
    finally:
        await found.stop()


async def test_what_is_done_has_the_result_that_it_was_committed_with(store: Store) -> None:
    """Nothing else has one, and it is forgotten with the rest."""

    def fail() -> None:
        raise AssertionError("the store is there")

    for key, result in (("step", '{"a": "ä"}'), ("plain", "")):
        await store.claim(key, "token")
        assert await store.result_of(key) is None
        store.commit(key, fail, content=result)

    assert await store.claim("step", "token 2") is Standing.DONE
    assert await store.result_of("step") == '{"a": "ä"}'
    assert await store.result_of("plain") is None
    assert await store.result_of("unknown") is None
    await store.forget("step")
    assert await store.result_of("step") is None


async def test_the_first_member_has_the_turn(store: Store) -> None:
    """It keeps its turn until it completes."""
    assert await store.take_turn("{q}sequence", "{q}one") == 0
    assert 0 < await store.take_turn("{q}sequence", "{q}two") <= LEASE
    assert 0 < await store.take_turn("{q}sequence", "{q}three") <= LEASE
    assert await store.take_turn("{q}sequence", "{q}one") == 0

    store.complete("{q}sequence", "{q}one")

    assert await store.take_turn("{q}sequence", "{q}three") > 0
    assert await store.take_turn("{q}sequence", "{q}two") == 0
    assert await store.take_turn("{q}another sequence", "{q}three") == 0


async def test_a_deferred_member_keeps_its_place(store: Store) -> None:
    """The members behind it learn how long that takes."""
    await store.take_turn("{q}sequence", "{q}one")
    await store.defer("{q}sequence", "{q}one", 500)

    assert 400 < await store.take_turn("{q}sequence", "{q}two") <= 500
    assert await store.take_turn("{q}sequence", "{q}one") == 0


async def test_a_member_that_released_its_turn_is_skipped(store: Store) -> None:
    """Its process was killed. A new member may not pass it, because it may be delivered again at once."""
    for member in ("{q}one", "{q}two"):
        await store.take_turn("{q}sequence", member)
    await store.defer("{q}sequence", "{q}one", None)

    assert 0 < await store.take_turn("{q}sequence", "{q}newcomer") <= 1
    assert await store.take_turn("{q}sequence", "{q}two") == 0


async def test_an_overdue_head_is_awaited_longer_and_longer(store: Store) -> None:
    """It may be waiting in a queue for hours."""
    await store.take_turn("{q}sequence", "{q}one")
    await store.defer("{q}sequence", "{q}one", -500)

    assert 490 < await store.take_turn("{q}sequence", "{q}two") <= 510


async def test_deferring_does_not_add_a_member(store: Store) -> None:
    """Not even by a request that arrives after it completed."""
    await store.take_turn("{q}sequence", "{q}one")
    store.complete("{q}sequence", "{q}one")
    await store.defer("{q}sequence", "{q}one", 500)

    assert await store.take_turn("{q}sequence", "{q}two") == 0


async def test_a_member_that_is_done_does_not_block(store: Store) -> None:
    """Its process was killed before it could complete."""
    for member in ("{q}one", "{q}two", "{q}three"):
        await store.take_turn("{q}sequence", member)
    await store.claim("{q}two", "token")
    store.commit("{q}one", lambda: None)

    assert await store.take_turn("{q}sequence", "{q}three") > 0
    assert await store.take_turn("{q}sequence", "{q}two") == 0


async def test_a_completed_member_joins_at_the_end_again(store: Store) -> None:
    """To the sequence it is another event."""
    await store.take_turn("{q}sequence", "{q}one")
    await store.take_turn("{q}sequence", "{q}two")
    store.complete("{q}sequence", "{q}one")

    assert await store.take_turn("{q}sequence", "{q}one") > 0


async def test_a_head_that_never_comes_back_is_skipped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a member that was due much later and is back; not by one due soon after it, nor by a new member."""
    for module in (sequences, redis_store):
        monkeypatch.setattr(module, "HEAD_OF_LINE_GRACE", 2.0)
    for member in ("{q}gone", "{q}early", "{q}late"):
        await store.take_turn("{q}sequence", member)
    await store.defer("{q}sequence", "{q}gone", 0.2)
    await store.defer("{q}sequence", "{q}early", 0.4)
    await store.defer("{q}sequence", "{q}late", 2.6)
    assert await store.take_turn("{q}sequence", "{q}newcomer") > 0
    deadline = time.monotonic() + 2.8

    await wait_until_async(lambda: time.monotonic() > deadline)

    assert await store.take_turn("{q}sequence", "{q}early") > 0
    assert await store.take_turn("{q}sequence", "{q}newcomer") > 0
    assert await store.take_turn("{q}sequence", "{q}late") == 0


async def test_a_limit_allows_its_count_in_any_period(store: Store) -> None:
    """Others reserve a later moment, if it is near enough; each bucket is separate."""
    now = [await store.reserve("bucket", 3, 100, 0) for _ in range(3)]
    refused = [await store.reserve("bucket", 3, 100, 50) for _ in range(3)]
    next_period = [await store.reserve("bucket", 3, 100, 150) for _ in range(3)]
    after_next = await store.reserve("bucket", 3, 100, 150)

    assert now == [0, 0, 0]
    assert all(90 < wait <= 100 for wait in refused + next_period)
    assert 190 < after_next <= 200
    assert await store.reserve("other", 3, 100, 0) == 0


async def test_a_limit_is_free_again_after_its_period(store: Store) -> None:
    """Not before."""
    assert await store.reserve("bucket", 1, 0.3, 0) == 0
    assert await store.reserve("bucket", 1, 0.3, 0) > 0

    async def is_free() -> bool:
        return await store.reserve("bucket", 1, 0.3, 0) == 0

    await wait_until_async(is_free)


@given(
    arrivals=st.lists(st.floats(0, 30), min_size=1, max_size=60),
    count=st.integers(1, 5),
    max_wait=st.sampled_from([0.0, 5.0, 100.0]),
)
def test_no_window_has_more_than_the_limit(arrivals: list[float], count: int, max_wait: float) -> None:
    """Whatever moment the window begins at."""
    starts: list[float] = []
    begun: list[float] = []
    now = 0.0
    for step in arrivals:
        now += step
        wait = sequences.reserve(starts, count, 10.0, max_wait, now)
        if wait <= max_wait:
            begun.append(now + wait)
        assert len(starts) <= count

    assert begun == sorted(begun)
    assert all(later - earlier >= 10.0 - 1e-6 for earlier, later in zip(begun, begun[count:], strict=False))


@given(st.lists(st.tuples(st.sampled_from(["take_turn", "complete", "defer"]), st.sampled_from("abc"))))
def test_a_sequence_has_one_head(steps: list[tuple[str, str]]) -> None:
    """In any order of operations, members keep the order in which they came, and only the head has its turn."""
    sequence: sequences.Sequence = {}
    model: list[str] = []
    for now, (what, member) in enumerate(steps):
        if what == "take_turn":
            if member not in model:
                model.append(member)
            assert (sequences.take_turn(sequence, member, float(now), 30.0, lambda _: False) == 0) == (
                model[0] == member
            )
        elif what == "complete":
            sequence.pop(member, None)
            model = [other for other in model if other != member]
        elif member in sequence:
            sequence[member] = now + 40.0
        assert list(sequence) == model
        assert all(model.index(one) < model.index(other) for one, other in pairwise(sequence))
