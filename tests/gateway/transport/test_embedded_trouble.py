"""The embedded stores on a bad day: a disk that takes no more, a file that is gone, a clock that goes back, other people."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from gateway.claims import ClaimsUnavailable, Standing, claim_key
from gateway.claims.sqlite import SqliteClaims
from gateway.events.message import Message
from gateway.publishers import PublishUnavailable
from gateway.publishers.spool.store import Spool
from gateway.publishers.sqlite import SqlitePublisher
from gateway.queues.embedded import SqliteConsumer
from gateway.transport.embedded import Database
from gateway.transport.private_files import make_private_folder
from gateway.worker.store.sqlite import SqliteStore
from support.waiting import wait_until_async

EXCHANGE = "webhooks"
PATIENCE = 20.0
T = TypeVar("T")
NOON = 1_700_000_000.0
TWO_HOURS = 7200.0
LEASE = 30.0
KEY = claim_key("github", "1")


class Clock:
    """The clock of the system, which somebody sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        """The time."""
        return self.now


def message(number: int = 1, size: int = 2) -> Message:
    """An event that is told from others by its number."""
    return Message(EXCHANGE, "github.push", f"id-{number}", "com.github.push", {}, b"x" * size)


@asynccontextmanager
async def publishing(folder: Path, clock: Clock | None = None) -> AsyncIterator[SqlitePublisher]:
    """A publisher that is started."""
    publisher = SqlitePublisher(Database(folder), EXCHANGE, clock=clock or Clock())
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


@asynccontextmanager
async def consuming(
    folder: Path, clock: Clock, queue: str = "agent", **options: float
) -> AsyncIterator[SqliteConsumer]:
    """A consumer of a queue that gets all events."""
    consumer = SqliteConsumer(Database(folder), queue, [(EXCHANGE, "#")], clock=clock, **options)  # type: ignore[arg-type]
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def fill_up(publisher: SqlitePublisher) -> None:
    """Publish until that fails."""
    with suppress(PublishUnavailable):
        for number in range(1000):
            await publisher.publish(message(number, 100_000))
        raise AssertionError("the disk has no end")


# --- the disk ---------------------------------------------------------------------------------------------------


async def test_a_disk_that_takes_no_more_is_a_trouble_until_it_does(tmp_path: Path) -> None:
    """Also when no event comes to find that out, and though small commits succeed."""
    database = Database(tmp_path)
    publisher = SqlitePublisher(database, EXCHANGE)
    claims = SqliteClaims(database)
    await claims.start()
    await publisher.start()
    try:
        assert (publisher.unavailable_reason, publisher.is_accepting, claims.unavailable_reason) == (
            "",
            True,
            "",
        )
        with files_of_at_most(512 * 1024):
            await fill_up(publisher)

            assert str(tmp_path) in publisher.unavailable_reason
            assert claims.unavailable_reason == publisher.unavailable_reason
            for number in range(3):
                with pytest.raises(PublishUnavailable):
                    await publisher.publish(message(number, 100_000))
        await wait_until_async(lambda: publisher.is_accepting, PATIENCE, "it is tried again by itself")

        await publisher.publish(message(1, 100_000))
    finally:
        await publisher.stop()
        await claims.stop()
    with sqlite3.connect(tmp_path / "embedded.db") as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "tried" not in tables


class CountingDatabase(Database):
    """Counts the operations that it is asked for."""

    operations = 0

    @override
    def run(self, operation: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        self.operations += 1
        return super().run(operation)


async def test_while_the_disk_takes_no_more_it_stays_a_trouble(tmp_path: Path) -> None:
    """Each trial write fails as the events did."""
    database = CountingDatabase(tmp_path)
    publisher = SqlitePublisher(database, "webhooks")
    await publisher.start()
    try:
        with files_of_at_most(512 * 1024):
            await fill_up(publisher)
            begun = database.operations
            await wait_until_async(lambda: database.operations >= begun + 2, PATIENCE, "it was tried twice")

            assert publisher.unavailable_reason
    finally:
        await publisher.stop()


async def test_a_mistake_in_one_operation_is_no_trouble_of_the_file(tmp_path: Path) -> None:
    """The store works."""
    database = Database(tmp_path)
    await database.start()
    try:
        with pytest.raises(sqlite3.IntegrityError):
            await database.run(
                lambda connection: connection.execute("INSERT INTO bindings VALUES ('x', 'no queue', '#')")
            )

        assert database.unavailable_reason == ""
    finally:
        await database.stop()


@pytest.mark.parametrize("is_replaced", [False, True])
async def test_a_file_that_is_gone_takes_no_events(tmp_path: Path, *, is_replaced: bool) -> None:
    """What is written into it then is lost with the process."""
    async with publishing(tmp_path) as publisher:
        (tmp_path / "embedded.db").rename(tmp_path / "aside.db")
        if is_replaced:
            (tmp_path / "embedded.db").touch()

        assert "was removed or replaced" in publisher.unavailable_reason
        assert not publisher.is_accepting
        with pytest.raises(PublishUnavailable, match="removed"):
            await publisher.publish(message())
        (tmp_path / "aside.db").replace(tmp_path / "embedded.db")
        await wait_until_async(lambda: not publisher.unavailable_reason, PATIENCE, "it is back")
        await publisher.publish(message())


async def test_a_spool_whose_file_is_gone_takes_no_events(tmp_path: Path) -> None:
    """But still gives out what it has."""
    spool = Spool(tmp_path / "spool-0.db", 1024**2)
    await spool.start()
    await spool.append(message(1))
    (tmp_path / "spool-0.db").unlink()
    with pytest.raises(PublishUnavailable, match="removed"):
        await spool.append(message(2))

    assert [each.message.message_id for each in await spool.read(0, 10)] == ["id-1"]
    await spool.stop()


# --- the clock --------------------------------------------------------------------------------------------------


async def test_events_published_before_the_clock_went_back_are_not_invisible(tmp_path: Path) -> None:
    """Nor are those after them, and they keep their order."""
    clock = Clock()
    async with publishing(tmp_path, clock) as publisher, consuming(tmp_path, clock) as consumer:
        await publisher.publish(message(1))
        clock.now -= TWO_HOURS
        await publisher.publish(message(2))

        assert [each.message_id for each in await consumer.receive(10)] == ["id-1", "id-2"]


async def test_a_process_that_starts_after_the_clock_went_back_sees_them_too(tmp_path: Path) -> None:
    """It never saw the other time."""
    ahead, right = Clock(), Clock()
    ahead.now += TWO_HOURS
    async with consuming(tmp_path, ahead):
        pass
    async with publishing(tmp_path, ahead) as publisher:
        await publisher.publish(message(1))
    async with publishing(tmp_path, right) as publisher, consuming(tmp_path, right) as consumer:
        await publisher.publish(message(2))

        assert [each.message_id for each in await consumer.receive(10)] == ["id-1", "id-2"]


async def test_a_delay_lasts_as_long_as_it_was_to_though_the_clock_goes_back(tmp_path: Path) -> None:
    """The rungs of the ladder do not become hours."""
    clock = Clock()
    async with publishing(tmp_path, clock) as publisher, consuming(tmp_path, clock) as consumer:
        await publisher.publish(message(1))
        (delivery,) = await consumer.receive()
        await consumer.move(delivery, "agent", {}, delay=60)
        clock.now -= TWO_HOURS
        assert await consumer.receive() == []
        clock.now += 59
        assert await consumer.receive() == []
        clock.now += 2

        assert [each.message_id for each in await consumer.receive()] == ["id-1"]


async def test_what_a_dead_consumer_had_comes_again_though_the_clock_goes_back(tmp_path: Path) -> None:
    """After the visibility timeout, and not hours later."""
    clock = Clock()
    async with (
        publishing(tmp_path, clock) as publisher,
        consuming(tmp_path, clock, visibility_timeout=30) as consumer,
    ):
        await publisher.publish(message(1))
        await consumer.receive()
        clock.now -= TWO_HOURS
        assert await consumer.receive() == []
        clock.now += 31

        assert len(await consumer.receive()) == 1


async def test_set_right_again_the_clock_is_followed(tmp_path: Path) -> None:
    """There and back nothing is added up: a lease that began meanwhile is not ended by the way back."""
    clock = Clock()
    claims = SqliteClaims(Database(tmp_path), LEASE, 3600, clock)
    await claims.start()
    try:
        for number in range(3):
            assert await claims.claim(claim_key("github", f"before {number}"), "a") is Standing.CLAIMED
            clock.now -= TWO_HOURS
            assert await claims.claim(claim_key("github", f"behind {number}"), "a") is Standing.CLAIMED
            clock.now += TWO_HOURS + 1
            assert await claims.claim(claim_key("github", f"before {number}"), "b") is Standing.IN_FLIGHT
            assert await claims.claim(claim_key("github", f"behind {number}"), "b") is Standing.IN_FLIGHT
    finally:
        await claims.stop()


@pytest.mark.parametrize("set_back", [1.5, 60.0, TWO_HOURS, 5 * 86_400.0])
async def test_a_lease_lasts_as_long_as_it_was_to_though_the_clock_goes_back(
    tmp_path: Path, set_back: float
) -> None:
    """Else an event whose gateway died would be in flight for hours."""
    clock = Clock()
    claims = SqliteClaims(Database(tmp_path), LEASE, 3600, clock)
    await claims.start()
    try:
        assert await claims.claim(KEY, "a") is Standing.CLAIMED
        clock.now -= set_back
        assert await claims.claim(KEY, "b") is Standing.IN_FLIGHT
        clock.now += LEASE - 2
        assert await claims.claim(KEY, "b") is Standing.IN_FLIGHT
        clock.now += 5

        assert await claims.claim(KEY, "b") is Standing.CLAIMED
    finally:
        await claims.stop()


async def test_lines_and_limits_of_workers_go_on_though_the_clock_goes_back(tmp_path: Path) -> None:
    """Nobody waits for hours."""
    clock = Clock()
    store = SqliteStore(Database(tmp_path), LEASE, 3600, clock)
    await store.start()
    try:
        assert await store.reserve("bucket", 1, 10.0, 60.0) == 0.0
        assert await store.take_turn("sequence", "first") == 0.0
        clock.now -= TWO_HOURS

        assert 0 < await store.reserve("bucket", 1, 10.0, 60.0) <= 11.0
        assert 0 < await store.take_turn("sequence", "second") <= LEASE + 1
    finally:
        await store.stop()


# --- other people -----------------------------------------------------------------------------------------------


@pytest.fixture
def wide_umask() -> Iterator[None]:
    """As most systems have it."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """The rights of all that is in a folder."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.usefixtures("wide_umask")
async def test_what_is_written_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The folder, the files, and what SQLite keeps beside them; spools as well."""
    folder = tmp_path / "var"
    spool = Spool(folder / "spool-0.db", 1024**2)
    await spool.start()
    await spool.append(message())
    async with publishing(folder) as publisher:
        await publisher.publish(message())
        found = modes(folder)
    await spool.stop()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {"embedded.db", "embedded.db-wal", "embedded.db-shm", "spool-0.db", "spool-0.lock"} <= found.keys()
    assert set(found.values()) == {0o600}


@pytest.mark.usefixtures("wide_umask")
async def test_what_was_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    """As an earlier version, or somebody, left it."""
    folder = tmp_path / "var"
    folder.mkdir()
    async with publishing(folder):
        for file in folder.iterdir():
            file.chmod(0o644)
        folder.chmod(0o755)
        async with publishing(folder):
            found = modes(folder)

    assert set(found.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("where", ["here", "above", "shared"])
def test_a_folder_that_is_not_only_ours_stays_as_it_is_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """The working directory, one above it, or one like /tmp."""
    folder = tmp_path / where
    (folder / "project").mkdir(parents=True)
    folder.chmod(0o1777 if where == "shared" else 0o755)
    if where != "shared":
        monkeypatch.chdir(folder if where == "here" else folder / "project")
    before = folder.stat().st_mode
    with capture_logs() as logs:
        make_private_folder(folder)

    assert folder.stat().st_mode == before
    assert [line["path"] for line in logs] == [str(folder)]


async def test_a_file_that_cannot_be_made_is_told_with_its_name(tmp_path: Path) -> None:
    """One line, at the start."""
    (tmp_path / "embedded.db").mkdir()
    publisher = SqlitePublisher(Database(tmp_path), EXCHANGE)
    with pytest.raises(OSError, match=r"embedded\.db"):
        await publisher.start()


async def test_claims_of_a_full_disk_are_unavailable(tmp_path: Path) -> None:
    """Never a duplicate."""
    claims = SqliteClaims(Database(tmp_path))
    await claims.start()
    try:
        with files_of_at_most(1024):
            with pytest.raises(ClaimsUnavailable):
                await asyncio.gather(*(claims.claim(f"key {number}", "a") for number in range(1000)))
            assert claims.unavailable_reason
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE)
    finally:
        await claims.stop()
