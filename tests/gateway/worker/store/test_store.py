"""Lines and limits: every store keeps the same promises."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.embedded import Database
from gateway.worker.store import Store, sequences
from gateway.worker.store import redis as redis_store
from gateway.worker.store.memory import MemoryStore
from gateway.worker.store.redis import RedisStore
from gateway.worker.store.sqlite import SqliteStore
from support.waiting import wait_until_async

LEASE = 30.0


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each of them, connected."""
    found: Store
    if request.param == "memory":
        found = MemoryStore(LEASE)
    elif request.param == "sqlite":
        found = SqliteStore(Database(tmp_path), LEASE)
    else:
        found = RedisStore(request.getfixturevalue("redis_url"), LEASE)
    await found.start()
    try:
        await wait_until_async(lambda: not found.unavailable_reason, message="the store is connected")
        yield found
    finally:
        await found.stop()


async def test_who_comes_first_goes_first(store: Store) -> None:
    """And keeps its place for as long as it does not leave."""
    assert await store.take_turn("sequence", "one") == 0
    assert 0 < await store.take_turn("sequence", "two") <= LEASE
    assert 0 < await store.take_turn("sequence", "three") <= LEASE
    assert await store.take_turn("sequence", "one") == 0

    store.complete("sequence", "one")

    assert await store.take_turn("sequence", "three") > 0
    assert await store.take_turn("sequence", "two") == 0
    assert await store.take_turn("another sequence", "three") == 0


async def test_who_is_put_off_keeps_its_place(store: Store) -> None:
    """Those behind are told how long it is."""
    await store.take_turn("sequence", "one")
    await store.defer("sequence", "one", 500)

    assert 400 < await store.take_turn("sequence", "two") <= 500
    assert await store.take_turn("sequence", "one") == 0


async def test_who_is_about_to_leave_is_passed_by_if_it_does_not(store: Store) -> None:
    """Its process was killed; but not by a newcomer, for it may be delivered again at once."""
    for member in ("one", "two"):
        await store.take_turn("sequence", member)
    await store.defer("sequence", "one", None)

    assert 0 < await store.take_turn("sequence", "newcomer") <= 1
    assert await store.take_turn("sequence", "two") == 0


async def test_who_is_overdue_is_looked_for_less_and_less_often(store: Store) -> None:
    """It may wait in a queue for hours."""
    await store.take_turn("sequence", "one")
    await store.defer("sequence", "one", -500)

    assert 490 < await store.take_turn("sequence", "two") <= 510


async def test_who_is_not_in_the_line_is_not_put_into_it(store: Store) -> None:
    """By a word that comes after it has left."""
    await store.take_turn("sequence", "one")
    store.complete("sequence", "one")
    await store.defer("sequence", "one", 500)

    assert await store.take_turn("sequence", "two") == 0


async def test_who_is_done_is_not_waited_for(store: Store) -> None:
    """It was killed before it could leave."""
    for member in ("one", "two", "three"):
        await store.take_turn("sequence", member)
    await store.claim("two", "token")
    store.commit("one", lambda: None)

    assert await store.take_turn("sequence", "three") > 0
    assert await store.take_turn("sequence", "two") == 0


async def test_who_left_stands_at_the_end_again(store: Store) -> None:
    """It is another event to the line."""
    await store.take_turn("sequence", "one")
    await store.take_turn("sequence", "two")
    store.complete("sequence", "one")

    assert await store.take_turn("sequence", "one") > 0


async def test_who_never_comes_back_is_passed_by(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """By one that was due so much later and is here; not by one that was due soon after, nor by a newcomer."""
    for module in (sequences, redis_store):
        monkeypatch.setattr(module, "HEAD_OF_LINE_GRACE", 2.0)
    for member in ("gone", "early", "late"):
        await store.take_turn("sequence", member)
    await store.defer("sequence", "gone", 0.2)
    await store.defer("sequence", "early", 0.4)
    await store.defer("sequence", "late", 2.6)
    assert await store.take_turn("sequence", "newcomer") > 0
    deadline = time.monotonic() + 2.8

    await wait_until_async(lambda: time.monotonic() > deadline)

    assert await store.take_turn("sequence", "early") > 0
    assert await store.take_turn("sequence", "newcomer") > 0
    assert await store.take_turn("sequence", "late") == 0


async def test_a_limit_lets_so_many_begin_in_any_period(store: Store) -> None:
    """The others get their moment, if it is not too far; each bucket has its own."""
    now = [await store.reserve("bucket", 3, 100, 0) for _ in range(3)]
    refused = [await store.reserve("bucket", 3, 100, 50) for _ in range(3)]
    next_period = [await store.reserve("bucket", 3, 100, 150) for _ in range(3)]
    after_next = await store.reserve("bucket", 3, 100, 150)

    assert now == [0, 0, 0]
    assert all(90 < wait <= 100 for wait in refused + next_period)
    assert 190 < after_next <= 200
    assert await store.reserve("other", 3, 100, 0) == 0


async def test_a_limit_is_free_again_after_its_period(store: Store) -> None:
    """And not before."""
    assert await store.reserve("bucket", 1, 0.3, 0) == 0
    assert await store.reserve("bucket", 1, 0.3, 0) > 0

    async def is_free() -> bool:
        return await store.reserve("bucket", 1, 0.3, 0) == 0

    await wait_until_async(is_free)  # type: ignore[arg-type]


@given(
    arrivals=st.lists(st.floats(0, 30), min_size=1, max_size=60),
    count=st.integers(1, 5),
    max_wait=st.sampled_from([0.0, 5.0, 100.0]),
)
def test_no_window_has_more_than_the_limit(arrivals: list[float], count: int, max_wait: float) -> None:
    """Wherever it begins; and who waited long enough was refused only while it was full."""
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
def test_a_line_has_one_first(steps: list[tuple[str, str]]) -> None:
    """Whatever is done to it: its order is that in which its members came, and the first alone may go."""
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
