"""Outcomes are written in batches, and wait while the database is away."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from gateway.outbound import recorder as recorder_module
from gateway.outbound.models import Attempt, Delivery, Trigger
from gateway.outbound.recorder import BATCH_SIZE, MAX_WAITING, Recorder
from gateway.outbound.store import Record, StoreUnavailable
from gateway.outbound.store.memory import MemoryStore
from support.waiting import wait_until_async


class Database(MemoryStore):
    """A store whose writes can be held up, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.has_bug = False
        self.may_write = asyncio.Event()
        self.may_write.set()
        self.batches: list[list[str]] = []

    async def record(self, records: Sequence[Record]) -> list[bool]:
        """Note what is written."""
        await self.may_write.wait()
        if self.is_away:
            raise StoreUnavailable("away")
        if self.has_bug:
            raise KeyError("a bug")
        self.batches.append([each.delivery.id for each in records])
        return [True] * len(records)


def record(number: int) -> Record:
    """The end of one attempt."""
    delivery = Delivery(id=f"dlv_{number}", endpoint="ep_a", message="msg_a", due_at=1.0, created_at=1.0)
    attempt = Attempt(
        id=f"att_{number}",
        delivery=delivery.id,
        endpoint="ep_a",
        message="msg_a",
        trigger=Trigger.AUTO,
        number=1,
        at=1.0,
        outcome="delivered",
    )
    return Record(delivery, attempt, 1)


async def test_what_ends_during_a_write_goes_into_the_next_one() -> None:
    """So a slow database makes larger batches, up to a limit, in the order of the ends."""
    store = Database()
    told: list[str] = []
    recorder = Recorder(store, lambda records, held: told.extend(each.delivery.id for each in records))
    recorder.start()
    store.may_write.clear()
    recorder.put(record(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in range(1, BATCH_SIZE + 2):
        recorder.put(record(number))
    store.may_write.set()
    await recorder.stop(30)

    assert [len(batch) for batch in store.batches] == [1, BATCH_SIZE, 1]
    assert told == [f"dlv_{number}" for number in range(BATCH_SIZE + 2)]


async def test_outcomes_wait_for_the_database_and_nothing_begins_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An attempt that begins could not be recorded."""
    monkeypatch.setattr(recorder_module, "_RETRY_DELAY", 0.001)
    store = Database()
    recorder = Recorder(store, lambda *_: None)
    assert recorder.may_begin
    recorder.start()
    store.is_away = True
    with capture_logs() as logs:
        recorder.put(record(0))
        await wait_until_async(lambda: not recorder.may_begin)
        await asyncio.sleep(0.01)
        store.is_away = False
        await wait_until_async(lambda: recorder.may_begin)
    await recorder.stop(30)

    assert store.batches == [["dlv_0"]]
    assert [line["event"] for line in logs] == ["attempts wait for the database"]


async def test_a_bug_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes wait until they can be written, and meanwhile nothing begins."""
    monkeypatch.setattr(recorder_module, "_RETRY_DELAY", 0.001)
    store = Database()
    recorder = Recorder(store, lambda *_: None)
    recorder.start()
    store.has_bug = True
    with capture_logs() as logs:
        recorder.put(record(0))
        await wait_until_async(lambda: not recorder.may_begin)
        store.has_bug = False
        await wait_until_async(lambda: recorder.may_begin)
    await recorder.stop(30)

    assert store.batches == [["dlv_0"]]
    assert {line["event"] for line in logs} == {"recording failed"}


async def test_so_many_outcomes_may_wait() -> None:
    """Beyond that nothing begins."""
    recorder = Recorder(Database(), lambda *_: None)
    for number in range(MAX_WAITING):
        assert recorder.may_begin
        recorder.put(record(number))

    assert not recorder.may_begin
    assert recorder.waiting == MAX_WAITING


async def test_what_cannot_be_written_at_the_end_is_told() -> None:
    """The next owner sends it again."""
    store = Database()
    store.may_write.clear()
    recorder = Recorder(store, lambda *_: None)
    recorder.start()
    recorder.put(record(0))
    with capture_logs() as logs:
        await recorder.stop(0.01)

    assert logs == [{"event": "attempts not recorded", "attempts": 1, "log_level": "warning"}]
