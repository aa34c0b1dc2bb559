"""Leases: every endpoint has one owner at a time, and processes share them."""

from __future__ import annotations

import pytest

from gateway.outbound.ids import shard_of
from gateway.outbound.models import SHARDS
from gateway.outbound.ownership import LEASE, Ownership
from gateway.outbound.store import StoreUnavailable
from gateway.outbound.store.memory import MemoryStore


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return seconds."""
        return self.now


async def test_one_process_owns_everything_until_its_lease_ends() -> None:
    """A process that hangs stops by itself: its clock says that the lease has ended."""
    time = Time()
    owner = Ownership(MemoryStore(time), "one", time)
    assert owner.epoch_of("ep_a") is None
    await owner.renew()
    assert owner.shards == SHARDS
    assert owner.epoch_of("ep_a") is not None
    time.now += LEASE

    assert owner.shards == 0
    assert owner.epoch_of("ep_a") is None


async def test_processes_share_and_take_over() -> None:
    """The second one gets half of them at the next renewals, and all of them when the first has ended."""
    time = Time()
    store = MemoryStore(time)
    one, two = Ownership(store, "one", time), Ownership(store, "two", time)
    await one.renew()
    epoch = one.epoch_of("ep_a")
    for _ in range(3):
        await two.renew()
        await one.renew()
    await two.renew()
    assert (one.shards, two.shards) == (SHARDS // 2, SHARDS // 2)
    assert not set(one.owned) & set(two.owned)

    await one.release()
    for _ in range(2):
        await two.renew()
    assert two.shards == SHARDS
    assert one.epoch_of("ep_a") is None
    assert two.epoch_of("ep_a") != epoch or shard_of("ep_a") in two.owned


async def test_shards_with_an_attempt_are_given_up_last() -> None:
    """What is under way can still be recorded."""
    time = Time()
    store = MemoryStore(time)
    one, two = Ownership(store, "one", time), Ownership(store, "two", time)
    await one.renew()
    await two.renew()
    busy = range(200)
    await one.renew(busy)

    assert set(one.owned) >= set(busy)
    await one.renew()
    assert one.shards == SHARDS // 2


async def test_a_database_that_is_away_ends_no_lease_before_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It ends when nobody could renew it."""
    time = Time()
    store = MemoryStore(time)
    owner = Ownership(store, "one", time)
    await owner.renew()

    async def away(*_: object, **__: object) -> list[object]:
        raise StoreUnavailable("away")

    monkeypatch.setattr(store, "lease", away)
    with pytest.raises(StoreUnavailable):
        await owner.renew()
    assert owner.shards == SHARDS
    time.now += LEASE
    assert owner.shards == 0
