"""Events wait on disk while the broker does not take them, and none is lost or left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.events.message import Message
from gateway.publishers import PublishUnavailable
from gateway.publishers.spool.files import SpoolInUse, spool_path
from gateway.publishers.spool.inspect import summarize
from gateway.publishers.spool.records import OVERHEAD
from gateway.publishers.spool.store import Spool
from support.repository import ROOT
from support.spooling import LARGE, Broker, fill, make_message, spooling
from support.waiting import wait_until_async

SLOTS = 3


async def drained(folder: Path, broker: Broker) -> list[Message]:
    """What a gateway publishes of the spool in ``folder`` until nothing is left that it can."""
    async with spooling(folder, broker) as publisher:
        await wait_until_async(lambda: publisher.spooled == 0, message="the spool is drained")
    return broker.messages


async def test_nothing_is_spooled_while_the_broker_confirms(tmp_path: Path) -> None:
    """The disk is not on the normal path, and no file is left behind for nothing."""
    broker = Broker()
    async with spooling(tmp_path, broker) as publisher:
        await publisher.publish(make_message(1))

        assert (broker.messages, publisher.spooled, publisher.unavailable_reason) == (
            [make_message(1)],
            0,
            "",
        )
    assert not spool_path(tmp_path, 0).exists()


async def test_what_the_broker_refuses_is_spooled(tmp_path: Path) -> None:
    """Though it is in no trouble: what it did not confirm was not accepted yet."""
    broker = Broker()
    broker.refused = {"evt_1"}
    async with spooling(tmp_path, broker) as publisher:
        await publisher.publish(make_message(1))

        assert publisher.spooled == 1


async def test_events_that_are_not_confirmed_wait_and_are_drained_oldest_first(tmp_path: Path) -> None:
    """Every field of a message survives, and their order too."""
    broker = Broker("away")
    sent = [make_message(number) for number in range(450)]
    async with spooling(tmp_path, broker) as publisher:
        await asyncio.gather(*(publisher.publish(message) for message in sent))
        assert (publisher.spooled, publisher.unavailable_reason) == (
            450,
            "away; 450 events wait in the spool",
        )
        assert publisher.is_accepting
        broker.unavailable_reason = ""

        await wait_until_async(lambda: publisher.spooled == 0, message="the spool is drained")
        assert sent == broker.messages


async def test_live_events_never_wait_for_a_broker_in_trouble(tmp_path: Path) -> None:
    """They go to the spool at once; what asks the broker again is the oldest event in it, alone."""
    broker = Broker("away")
    async with spooling(tmp_path, broker) as publisher:
        for number in range(5):
            await publisher.publish(make_message(number))
        await wait_until_async(lambda: len(broker.attempts) > 2, message="the broker is asked again")

    assert set(broker.attempts) == {"evt_0"}


async def test_what_the_broker_refuses_holds_nothing_up_and_is_tried_again(tmp_path: Path) -> None:
    """In a later pass, until it is confirmed."""
    await fill(tmp_path, 250)
    broker = Broker()
    broker.refused = {"evt_0", "evt_7", "evt_210"}
    async with spooling(tmp_path, broker) as publisher:
        await wait_until_async(lambda: publisher.spooled == 3, message="all others are published")
        broker.refused.clear()
        await wait_until_async(lambda: publisher.spooled == 0, message="they are published too")

    assert [message.message_id for message in broker.messages[-3:]] == ["evt_0", "evt_7", "evt_210"]
    assert len(broker.messages) == 250


async def test_an_event_that_nobody_can_publish_is_set_aside(tmp_path: Path) -> None:
    """Counted, kept with the reason, and no obstacle to the others."""
    await fill(tmp_path, 5)
    broker = Broker()
    broker.poison = {"evt_2"}
    async with spooling(tmp_path, broker) as publisher:
        await wait_until_async(lambda: publisher.spooled == 0, message="the others are published")
        assert publisher.corrupt == 1

    assert [message.message_id for message in broker.messages] == ["evt_0", "evt_1", "evt_3", "evt_4"]
    with closing(sqlite3.connect(spool_path(tmp_path, 0))) as connection:
        ((body, reason),) = connection.execute("SELECT body, reason FROM corrupt").fetchall()
    assert (body, reason) == (make_message(2).body, "cannot be published: ValueError('no such thing')")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE spool SET body = zeroblob(10) WHERE id = 3",
        "UPDATE spool SET head = replace(head, 'acme', 'evil') WHERE id = 3",
        "UPDATE spool SET digest = x'00' WHERE id = 3",
        "UPDATE spool SET head = substr(head, 1, 9), body = substr(head, 10) || body WHERE id = 3",
        "UPDATE spool SET body = 7 WHERE id = 3",
    ],
)
async def test_a_row_that_was_changed_is_set_aside(tmp_path: Path, damage: str) -> None:
    """Whichever of its fields it was; the next start still tells of it."""
    await fill(tmp_path, 5)
    with closing(sqlite3.connect(spool_path(tmp_path, 0))) as connection, connection:
        connection.execute(damage)
    broker = Broker()
    await drained(tmp_path, broker)
    async with spooling(tmp_path, Broker()) as publisher:
        assert (publisher.corrupt, publisher.spooled) == (1, 0)

    assert [message.message_id for message in broker.messages] == ["evt_0", "evt_1", "evt_3", "evt_4"]


async def test_rows_that_were_set_aside_take_room(tmp_path: Path) -> None:
    """Otherwise a provider whose events are all too large could fill the disk."""
    broker = Broker()
    broker.poison = {"evt_0", "evt_1"}
    async with spooling(tmp_path, broker, max_size=2 * (OVERHEAD + 1000)) as publisher:
        broker.unavailable_reason = "away"
        for number in (0, 1):
            await publisher.publish(make_message(number, 1000))
        broker.unavailable_reason = ""
        await wait_until_async(lambda: publisher.corrupt == 2, message="both are set aside")
        broker.unavailable_reason = "away"
        with pytest.raises(PublishUnavailable, match="full"):
            await publisher.publish(make_message(2))

    assert summarize(spool_path(tmp_path, 0)).size == 2 * (OVERHEAD + 1000)


async def test_a_gateway_with_room_in_its_spool_is_ready_and_one_without_is_not(tmp_path: Path) -> None:
    """A full spool refuses, which the caller answers with 503, and readiness tells the balancer."""
    broker = Broker("away")
    async with spooling(tmp_path, broker, max_size=2 * (OVERHEAD + 1000)) as publisher:
        readiness = []
        for number in (1, 2):
            await publisher.publish(make_message(number, 1000))
            readiness.append(publisher.is_accepting)
        assert readiness == [True, False]
        assert "the spool is full" in publisher.unavailable_reason
        with pytest.raises(PublishUnavailable, match="full"):
            await publisher.publish(make_message(3))

        broker.unavailable_reason = ""
        await wait_until_async(lambda: publisher.spooled == 0, message="a full spool drains")
        await publisher.publish(make_message(4))
        assert publisher.is_accepting


async def test_many_at_once_cannot_overshoot_the_bound(tmp_path: Path) -> None:
    """Room is taken before it is written to."""
    async with spooling(tmp_path, Broker("away"), max_size=10 * (OVERHEAD + 100)) as publisher:
        answers = await asyncio.gather(
            *(publisher.publish(make_message(number, 100)) for number in range(50)), return_exceptions=True
        )

        assert answers.count(True) == 10
        assert publisher.spooled == 10


async def test_an_event_whose_confirm_may_still_come_is_not_drained(tmp_path: Path) -> None:
    """It is deleted when that comes, and drained when it no longer can."""
    broker = Broker()
    async with spooling(tmp_path, broker) as publisher:
        for number in range(4):
            broker.overdue[f"evt_{number}"] = asyncio.get_running_loop().create_future()
            await publisher.publish(make_message(number))
        await publisher.publish(make_message(4))
        assert publisher.spooled == 4
        overdue = [broker.overdue.pop(f"evt_{number}") for number in range(4)]
        overdue[0].set_result(None)
        overdue[1].cancel()
        await wait_until_async(lambda: publisher.spooled == 2, message="one is deleted and one drained")
        assert broker.attempts.count("evt_0") == 1
        assert broker.attempts.count("evt_1") == 2
        overdue[2].set_result(None)
        await wait_until_async(lambda: publisher.spooled == 1, message="another is deleted")
    async with spooling(tmp_path, broker) as publisher:  # nobody can tell any more whether it was confirmed
        await wait_until_async(lambda: publisher.spooled == 0, message="the last one is drained")

    assert [message.message_id for message in broker.messages] == ["evt_4", "evt_1", "evt_3"]


async def test_a_caller_who_gives_up_leaves_the_count_right(tmp_path: Path) -> None:
    """Its event is on disk all the same, and is drained without waiting for the next one."""
    broker = Broker("away")
    async with spooling(tmp_path, broker) as publisher:
        task = asyncio.ensure_future(publisher.publish(make_message(1)))
        await asyncio.sleep(0)
        task.cancel()
        await wait_until_async(lambda: publisher.spooled == 1, message="the event is on disk")
        broker.unavailable_reason = ""

        await wait_until_async(lambda: publisher.spooled == 0, message="the spool is drained")
    assert broker.messages == [make_message(1)]


async def test_a_second_gateway_on_the_same_spool_does_not_start(tmp_path: Path) -> None:
    """Two that drain one file would publish everything twice."""
    async with spooling(tmp_path, Broker()):
        with pytest.raises(SpoolInUse, match="belongs to another gateway"):
            await Spool(spool_path(tmp_path, 0), LARGE).start()


async def test_a_file_of_another_layout_is_left_alone(tmp_path: Path) -> None:
    """It is not damaged; the owner learns why, and can use it again at once."""
    path = spool_path(tmp_path, 0)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE spool (something INTEGER)")
    for _ in range(2):
        with pytest.raises(OSError, match=r"spool-0\.db: no such column"):
            await Spool(path, LARGE).start()


async def test_every_worker_has_a_spool_of_its_own(tmp_path: Path) -> None:
    """And its part of the room."""
    size = SLOTS * 2 * (OVERHEAD + 100)
    async with (
        spooling(tmp_path, Broker("away"), size, 0, SLOTS) as one,
        spooling(tmp_path, Broker("away"), size, 1, SLOTS) as other,
    ):
        for number in range(2):
            await one.publish(make_message(number, 100))
        with pytest.raises(PublishUnavailable, match="full"):
            await one.publish(make_message(3, 100))
        await other.publish(make_message(4, 100))

        assert (one.spooled, other.spooled) == (2, 1)


async def test_spools_of_slots_that_are_gone_are_drained_by_the_processes_that_remain(tmp_path: Path) -> None:
    """Each by one of them; what a live process owns is left alone."""
    for slot in range(6):
        async with spooling(tmp_path, Broker("away"), LARGE, slot, 6) as publisher:
            await publisher.publish(make_message(slot))
    brokers = [Broker(), Broker()]
    async with spooling(tmp_path, Broker("away"), LARGE, 5, 6) as alive:
        for slot, broker in enumerate(brokers):
            async with spooling(tmp_path, broker, LARGE, slot, 2) as publisher:
                await wait_until_async(lambda one=publisher: one.spooled == 0, message="all is drained")  # type: ignore[misc]
        assert alive.spooled == 1

    found = [sorted(message.message_id for message in broker.messages) for broker in brokers]
    assert found == [["evt_0", "evt_2", "evt_4"], ["evt_1", "evt_3"]]
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["spool-5.db"]


@pytest.mark.parametrize("moment", ["accepted", "published"])
async def test_events_in_the_spool_survive_kill_9(tmp_path: Path, moment: str) -> None:
    """After the commit; and between confirm and delete, when they are published again under the same ids."""
    program = """
import asyncio, os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.spooling import Broker, make_message
from gateway.publishers.spool.publisher import SpoolingPublisher
class Mortal(Broker):
    async def publish(self, message):
        await super().publish(message)
        os.kill(os.getpid(), signal.SIGKILL)
async def main():
    broker = Mortal("away")
    publisher = SpoolingPublisher(broker, Path(sys.argv[1]), 10**6)
    await publisher.start()
    await publisher.publish(make_message(1))
    print("accepted", flush=True)
    if sys.argv[3] == "published":
        broker.unavailable_reason = ""
    await asyncio.sleep(60)
asyncio.run(main())
"""
    arguments = [sys.executable, "-c", program, str(tmp_path), str(ROOT / "tests"), moment]
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"accepted\n"
        if moment == "accepted":
            os.kill(process.pid, signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL

    assert await drained(tmp_path, Broker()) == [make_message(1)]


def fill_pages(connection: sqlite3.Connection) -> None:
    """Let the file grow no further, as on a full disk."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


def failing(operation: str) -> Callable[[sqlite3.Connection], object]:
    """Let every INSERT or DELETE fail, as on a disk that has an error."""
    return lambda connection: connection.execute(
        f"CREATE TRIGGER fault BEFORE {operation} ON spool BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
    )


def _mend(connection: sqlite3.Connection) -> None:
    connection.execute("DROP TRIGGER IF EXISTS fault")
    connection.execute("PRAGMA max_page_count = 1000000")


async def mend_writes(spool: Spool) -> None:
    """Undo the faults; as often as that is committed together with a write that still meets one."""

    async def is_mended() -> bool:
        try:
            await spool.file.run(_mend)
        except sqlite3.DatabaseError:
            return False
        return True

    condition: Callable[[], bool | Awaitable[bool]] = is_mended
    await wait_until_async(condition, message="the faults are undone")


@pytest.mark.parametrize("fault", [fill_pages, failing("INSERT")], ids=["full", "error"])
async def test_a_spool_that_cannot_be_written_refuses_and_is_tried_again(
    tmp_path: Path, fault: Callable[[sqlite3.Connection], object]
) -> None:
    """An error of the disk is no acceptance: not ready, with a reason, and no event is lost."""
    broker = Broker("away")
    async with spooling(tmp_path, broker) as publisher:
        await publisher.publish(make_message(1))
        await publisher.spool.file.run(fault)
        with pytest.raises(PublishUnavailable, match="cannot be written"):
            await publisher.publish(make_message(2, 50_000))
        assert not publisher.is_accepting
        assert "the spool cannot be written" in publisher.unavailable_reason
        await mend_writes(publisher.spool)

        await wait_until_async(lambda: publisher.is_accepting, message="it is tried again")
        await publisher.publish(make_message(3))
        broker.unavailable_reason = ""
        await wait_until_async(lambda: publisher.spooled == 0, message="it is drained")
    assert broker.messages == [make_message(1), make_message(3)]


async def test_what_cannot_be_deleted_is_not_published_again_and_again(tmp_path: Path) -> None:
    """On a disk that fails, a drain that did not remember would send the same events for ever."""
    await fill(tmp_path, 3)
    broker = Broker("away")
    async with spooling(tmp_path, broker) as publisher:
        await publisher.spool.file.run(failing("DELETE"))
        broker.unavailable_reason = ""
        await wait_until_async(lambda: publisher.unavailable_reason, message="the delete has failed")
        await mend_writes(publisher.spool)
        await wait_until_async(lambda: publisher.spooled == 0, message="they are deleted")

    assert broker.messages == [make_message(number) for number in range(3)]
