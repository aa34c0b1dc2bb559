"""The writer of the journal: what a process appends is on disk soon, or is counted, and nothing raises."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from errno import ENOSPC
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from gateway.journal import writer as module
from gateway.journal.entry import EPOCH_MS, SEQUENCE_BITS, Entry, Kind
from gateway.journal.writer import RAW_FOLDER, EntryIds, JournalWriter
from support.waiting import wait_until_async

HOSTILE = [
    "\x1b[31m\x00\u202e",
    '"],[\n{"',
    "</script>",
    "\ud800 half a pair",
    "x" * 100_000,
    "\U0001f4a9\u2028",
]


def entry(number: int, text: str = "") -> Entry:
    """One entry."""
    return Entry(number, Kind.RECEIVED, "accepted", text, "github", "push", f"evt_{number}")


def files_of(folder: Path) -> list[Path]:
    """All raw files of a journal, in the order in which they were made."""
    return sorted((folder / RAW_FOLDER).glob("*.jsonl"))


def read(folder: Path) -> list[Entry]:
    """All whole entries."""
    lines = [line for path in files_of(folder) for line in path.read_bytes().splitlines()]
    found = []
    for line in lines:
        try:
            found.append(msgspec.json.decode(line, type=Entry))
        except msgspec.DecodeError:
            continue
    return found


def has(folder: Path, count: int) -> bool:
    """Whether there are so many entries."""
    return len(read(folder)) == count


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[JournalWriter]:
    """A writer that runs."""
    made = JournalWriter(tmp_path)
    made.start()
    yield made
    made.stop()


async def test_entries_are_on_disk_soon(writer: JournalWriter, tmp_path: Path) -> None:
    """One line each, in a file that only its owner can read."""
    for number in range(3):
        writer.write(entry(number))
    await wait_until_async(lambda: len(read(tmp_path)) == 3)

    (path,) = files_of(tmp_path)
    assert read(tmp_path) == [entry(number) for number in range(3)]
    assert path.name.startswith("0-")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


async def test_many_entries_do_not_wait(writer: JournalWriter, tmp_path: Path) -> None:
    """They are handed over as soon as there are enough for one write."""
    for number in range(module.MAX_COLLECTED):
        writer.write(entry(number))
    await wait_until_async(lambda: len(read(tmp_path)) == module.MAX_COLLECTED)

    assert writer.dropped == dict.fromkeys(writer.dropped, 0)


async def test_the_end_writes_what_was_collected(tmp_path: Path) -> None:
    """And whatever comes later is ignored."""
    writer = JournalWriter(tmp_path)
    writer.write(entry(1))
    writer.start()
    writer.write(entry(2))
    writer.stop()
    writer.write(entry(3))

    assert read(tmp_path) == [entry(2)]


@pytest.mark.parametrize("text", HOSTILE)
async def test_no_text_breaks_a_line(writer: JournalWriter, tmp_path: Path, text: str) -> None:
    """Whatever a sender wrote."""
    writer.write(entry(1, text))
    writer.write(entry(2))
    await wait_until_async(lambda: len(read(tmp_path)) == 2)

    assert read(tmp_path)[0].reason == text.encode(errors="replace").decode()


async def test_a_file_that_is_full_or_gone_is_followed_by_another(
    writer: JournalWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a larger number."""
    monkeypatch.setattr(module, "MAX_FILE_SIZE", 1)
    for number in range(2):
        writer.write(entry(number))
        await wait_until_async(partial(has, tmp_path, number + 1))
    assert len(files_of(tmp_path)) == 2

    monkeypatch.setattr(module, "MAX_FILE_SIZE", 10**6)
    first, second = files_of(tmp_path)
    first.unlink()
    second.rename(second.with_suffix(".done"))
    writer.write(entry(9))
    await wait_until_async(lambda: read(tmp_path) == [entry(9)])


async def test_only_the_file_that_is_written_is_locked(
    writer: JournalWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that its reader knows which one to keep."""
    monkeypatch.setattr(module, "MAX_FILE_SIZE", 1)
    for number in range(2):
        writer.write(entry(number))
        await wait_until_async(partial(has, tmp_path, number + 1))

    def is_locked(path: Path) -> bool:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    assert [is_locked(path) for path in files_of(tmp_path)] == [False, True]
    writer.stop()
    assert not any(map(is_locked, files_of(tmp_path)))


async def test_two_processes_write_to_files_of_their_own(tmp_path: Path) -> None:
    """Also if they have the same number, as an old and a new gateway have for a moment."""
    writers = [JournalWriter(tmp_path, slot) for slot in (0, 0, 1)]
    for number, each in enumerate(writers):
        each.start()
        each.write(entry(number))
    for each in writers:
        each.stop()

    assert len(files_of(tmp_path)) == 3
    assert len(read(tmp_path)) == 3


@pytest.fixture
def break_writes(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """Let each write take some bytes and fail then; None to mend it."""
    real = os.write

    def break_writes(room: int | None) -> None:
        left = room

        def write(descriptor: int, data: bytes) -> int:
            nonlocal left
            if left is None:
                return real(descriptor, data)
            if not left:
                raise OSError(ENOSPC, "no space left on device")
            written = real(descriptor, data[:left])
            left -= written
            return written

        monkeypatch.setattr(os, "write", write)

    return break_writes


async def test_a_full_disk_costs_entries_and_one_torn_line(
    writer: JournalWriter, tmp_path: Path, break_writes: Callable[[int | None], None]
) -> None:
    """All of which are counted; what comes later is whole."""
    break_writes(20)
    writer.write(entry(1))
    writer.write(entry(2))
    await wait_until_async(lambda: writer.dropped["disk"] == 2)
    break_writes(0)
    writer.write(entry(3))
    await wait_until_async(lambda: writer.dropped["disk"] == 3)
    break_writes(None)
    writer.write(entry(4))
    await wait_until_async(lambda: entry(4) in read(tmp_path))

    assert read(tmp_path) == [entry(4)]
    assert b"\n" in files_of(tmp_path)[0].read_bytes()


async def test_a_folder_that_is_none_costs_entries(tmp_path: Path) -> None:
    """Until it is one."""
    (tmp_path / "journal").write_bytes(b"")
    writer = JournalWriter(tmp_path / "journal")
    writer.start()
    writer.write(entry(1))
    await wait_until_async(lambda: writer.dropped["disk"] == 1)
    (tmp_path / "journal").unlink()
    writer.write(entry(2))
    await wait_until_async(lambda: read(tmp_path / "journal") == [entry(2)])
    writer.stop()


@pytest.fixture
def immediate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the disk at each write."""
    monkeypatch.setattr(module, "_CHECK_INTERVAL", 0.0)


@pytest.mark.usefixtures("immediate")
@pytest.mark.parametrize(
    ("free", "total"), [(module.MIN_FREE_SPACE - 1, 10 * 1024**3), (10 * 1024**3, 1024**4)]
)
async def test_the_disk_keeps_room_for_the_spool(
    writer: JournalWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, total: int
) -> None:
    """A number of bytes, and a share of it."""
    state = SimpleNamespace(f_bavail=free, f_frsize=1, f_blocks=total)
    monkeypatch.setattr(os, "statvfs", lambda _: state)
    writer.write(entry(1))
    await wait_until_async(lambda: writer.dropped["disk"] == 1)

    state.f_bavail = total
    writer.write(entry(2))
    await wait_until_async(lambda: read(tmp_path) == [entry(2)])


@pytest.mark.usefixtures("immediate")
async def test_files_that_nobody_reads_do_not_grow_for_ever(
    writer: JournalWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files of all processes count."""
    monkeypatch.setattr(module, "MAX_BACKLOG", 10)
    other = tmp_path / RAW_FOLDER / "7-1.jsonl"
    other.parent.mkdir()
    other.write_bytes(b"x" * 11)
    writer.write(entry(1))
    await wait_until_async(lambda: writer.dropped["backlog"] == 1)

    other.unlink()
    writer.write(entry(2))
    await wait_until_async(lambda: read(tmp_path) == [entry(2)])


async def test_a_disk_that_hangs_fills_the_memory_up_to_a_limit(
    writer: JournalWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for it."""
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(module, "MAX_MEMORY", 10_000)
    try:
        for number in range(3):
            writer.write(entry(number, "x" * 4_000))
            writer.flush()
        assert writer.dropped["memory"] == 1
    finally:
        gate.set()
    await wait_until_async(lambda: len(read(tmp_path)) == 2)


def clock(*moments: float) -> Iterator[float]:
    """Moments in a row, the last one for ever."""
    yield from moments
    while True:
        yield moments[-1]


@pytest.mark.parametrize(
    "moments", [(1_800_000_000.0,), (1_800_000_000.0, 1_700_000_000.0), (1_800_000_000.0, 1_800_000_000.001)]
)
def test_ids_grow_whatever_the_clock_does(moments: tuple[float, ...]) -> None:
    """Standing still, or going back by years."""
    ids = EntryIds(clock(*moments).__next__)
    made = [ids.next() for _ in range(20_000)]

    assert made == sorted(set(made))
    assert made[-1] < 2**63


def test_an_id_has_its_moment() -> None:
    """In milliseconds."""
    made = EntryIds(lambda: 1_800_000_000.123).next()

    assert (made >> SEQUENCE_BITS) + EPOCH_MS == 1_800_000_000_123
    assert Entry(made, Kind.RECEIVED, "").at == pytest.approx(1_800_000_000.123)


def test_processes_have_different_ids() -> None:
    """Also if they make them in the same millisecond."""
    made = {EntryIds(lambda: 1_800_000_000.0).next() for _ in range(200)}

    assert len(made) > 190
