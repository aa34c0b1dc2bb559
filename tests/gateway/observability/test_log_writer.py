"""The writer of log lines: nobody who logs ever waits, and lines that are lost are counted and reported."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.observability.log_writer import MAX_WAITING, LineWriter, chunks_of
from support.waiting import wait_until

LINE = b"x" * 199 + b"\n"


class Pipe:
    """A pipe, a writer of lines to it, and a way to read what arrived."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.log = LineWriter(self.writer, lambda lost: b"lost %d\n" % lost)
        self.received = bytearray()
        self._thread: threading.Thread | None = None

    def read(self) -> None:
        """Start reading, until the pipe is closed."""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def lines(self) -> list[bytes]:
        """Return the whole lines that arrived so far."""
        return bytes(self.received).splitlines(keepends=True)

    def close(self) -> None:
        """Close the writer, whether somebody reads or not."""
        if self._thread is None:
            os.close(self.reader)
        self.log.close(10)
        os.close(self.writer)
        if self._thread:
            self._thread.join()
            os.close(self.reader)

    def _read(self) -> None:
        while part := os.read(self.reader, 65_536):
            self.received += part


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """A pipe that nobody reads at first."""
    pipe = Pipe()
    yield pipe
    pipe.close()


def test_lines_are_written_in_order_and_soon(pipe: Pipe) -> None:
    """Without anybody asking for it."""
    pipe.read()
    for number in range(1000):
        pipe.log.write(b"%d\n" % number)

    wait_until(lambda: len(pipe.lines()) == 1000, message="all lines came")
    assert [int(line) for line in pipe.lines()] == list(range(1000))
    assert pipe.log.dropped == 0


def test_nobody_waits_for_a_reader_that_does_not_read(pipe: Pipe) -> None:
    """Lines beyond the limit are lost. Once somebody reads, a line reports how many, and no other line is missing."""
    count = 3 * MAX_WAITING // len(LINE)
    for _ in range(count):
        pipe.log.write(LINE)

    lost = pipe.log.dropped
    assert count / 2 < lost < count
    pipe.read()
    wait_until(lambda: len(pipe.lines()) > count - lost, message="all others came, and how many were lost")
    assert [line for line in pipe.lines() if line != LINE] == [b"lost %d\n" % lost]

    pipe.log.write(b"again\n")
    wait_until(lambda: pipe.lines()[-1] == b"again\n", message="it goes on")
    assert pipe.log.dropped == lost


def test_what_waits_at_the_end_is_written(pipe: Pipe) -> None:
    """Before the writer is closed."""
    pipe.read()
    pipe.log.write(LINE)
    pipe.log.close(10)

    wait_until(lambda: pipe.lines() == [LINE], message="it was written")


def test_the_end_does_not_wait_for_a_reader_that_does_not_read(pipe: Pipe) -> None:
    """Longer than its timeout: it returns while the lines still wait, and they come once they are read."""
    for _ in range(1000):
        pipe.log.write(LINE)
    pipe.log.close(0.1)

    assert not pipe.lines()
    pipe.read()
    wait_until(lambda: len(pipe.lines()) == 1000, message="all lines came")


def test_lines_for_a_reader_that_is_gone_are_lost(pipe: Pipe) -> None:
    """There is nobody to report to, but they are counted."""
    os.close(pipe.reader)
    pipe.log.write(LINE)

    wait_until(lambda: pipe.log.dropped == 1, message="it was counted")
    pipe.reader = os.open(os.devnull, os.O_RDONLY)


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    """A parent process may have made it non-blocking."""
    os.set_blocking(pipe.writer, False)
    for _ in range(2000):
        pipe.log.write(LINE)
    pipe.read()

    wait_until(lambda: len(pipe.lines()) == 2000, message="all lines came")
    assert pipe.log.dropped == 0


@pytest.mark.parametrize("size", [50, 900, 4000])
def test_lines_of_several_processes_stay_whole(pipe: Pipe, size: int) -> None:
    """Two writers share a pipe that is always full."""
    other = LineWriter(pipe.writer, lambda lost: b"")
    writers: list[tuple[Callable[[bytes], None], bytes]] = [(pipe.log.write, b"a"), (other.write, b"b")]
    for write, letter in writers:
        for _ in range(400_000 // size):
            write(letter * size + b"\n")
    pipe.read()
    other.close(10)
    pipe.log.close(10)

    wait_until(lambda: len(pipe.lines()) == 2 * (400_000 // size), message="all lines came")
    assert set(pipe.lines()) == {b"a" * size + b"\n", b"b" * size + b"\n"}


def test_a_write_is_no_larger_than_a_pipe_takes_atomically() -> None:
    """Unless a single line is larger; no line is left out."""
    lines = [b"x" * size for size in (1, 4000, 200, 5000, 3, 4)]
    chunks = list(chunks_of(lines))

    assert [[len(line) for line in chunk] for chunk in chunks] == [[1, 4000], [200], [5000], [3, 4]]


# --- in an event loop, which writes by itself -------------------------------------------------------


@pytest.fixture(params=["file", "pipe", "socket"])
def descriptor(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, Callable[[], bytes]]]:
    """What standard output may be, and a function that returns what arrived there so far."""
    if request.param == "file":
        path = tmp_path / "log"
        with path.open("wb") as file:
            yield file.fileno(), path.read_bytes
        return
    received = bytearray()
    if request.param == "pipe":
        reader, writer = os.pipe()
    else:
        ours, theirs = socket.socketpair()
        reader, writer = ours.detach(), theirs.detach()

    def read() -> None:
        while part := os.read(reader, 65_536):
            received.extend(part)

    thread = threading.Thread(target=read)
    thread.start()
    yield writer, lambda: bytes(received)
    os.close(writer)
    thread.join()
    os.close(reader)


@pytest.fixture
def writing_threads(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the threads that have written to a file or a pipe."""
    names: set[str] = set()
    write = os.write

    def note(descriptor: int, text: bytes) -> int:
        names.add(threading.current_thread().name)
        return write(descriptor, text)

    monkeypatch.setattr(os, "write", note)
    return names


async def until(is_true: Callable[[], bool]) -> None:
    """Let the loop run until something is true."""
    async with asyncio.timeout(60):
        while not is_true():
            await asyncio.sleep(0.001)


async def test_the_loop_writes_lines_in_order_and_soon(
    descriptor: tuple[int, Callable[[], bytes]], writing_threads: set[str]
) -> None:
    """Without the thread, for as long as the descriptor takes them."""
    log = LineWriter(descriptor[0], lambda lost: b"lost %d\n" % lost)
    expected = b""
    for number in range(200):
        expected += b"%d\n" % number
        log.write(b"%d\n" % number)
        if number % 10 == 0:
            await asyncio.sleep(0.001)

    await until(lambda: descriptor[1]() == expected)
    log.close(10)
    assert "log" not in writing_threads


async def test_what_others_share_stays_as_it_is(descriptor: tuple[int, Callable[[], bytes]]) -> None:
    """Other processes that write to the descriptor expect their writes to wait."""
    log = LineWriter(descriptor[0], lambda lost: b"")
    log.write(LINE)
    await until(lambda: descriptor[1]() == LINE)

    assert os.get_blocking(descriptor[0])
    log.close(10)


async def test_the_loop_does_not_wait_for_a_reader_that_does_not_read(pipe: Pipe) -> None:
    """The thread does. Once somebody reads, all that was not dropped arrives, in order, and what follows as well."""
    count = 3 * MAX_WAITING // len(LINE)
    lines = [b"%0199d\n" % number for number in range(count)]
    for line in lines:
        pipe.log.write(line)
    await asyncio.sleep(0.05)

    lost = pipe.log.dropped
    assert count / 2 < lost < count
    pipe.read()
    await until(lambda: len(pipe.lines()) > count - lost)
    arrived = pipe.lines()
    assert arrived.pop(arrived.index(b"lost %d\n" % lost))
    assert arrived == lines[: count - lost]

    pipe.log.write(b"again\n")
    await until(lambda: pipe.lines()[-1] == b"again\n")
    assert pipe.log.dropped == lost


async def test_a_line_that_the_descriptor_takes_in_parts_arrives_whole(pipe: Pipe) -> None:
    """The loop writes the first part, the thread the rest; other lines come before it and after it."""
    lines = [b"before\n", b"x" * 300_000 + b"\n", b"after\n"]
    for line in lines:
        pipe.log.write(line)
    await asyncio.sleep(0.05)
    pipe.log.write(b"later\n")
    pipe.read()

    await until(lambda: pipe.lines() == [*lines, b"later\n"])


async def test_lines_of_several_loops_stay_whole(pipe: Pipe) -> None:
    """Two writers share a pipe that is read slowly."""
    other = LineWriter(pipe.writer, lambda lost: b"")
    expected = {b"a" * 900 + b"\n": pipe.log, b"b" * 900 + b"\n": other}
    for _ in range(20):
        for line, writer in expected.items():
            for _ in range(10):
                writer.write(line)
        await asyncio.sleep(0.006)
    pipe.read()

    await until(lambda: len(pipe.lines()) == 400)
    assert set(pipe.lines()) == set(expected)
    other.close(10)


async def test_the_loop_counts_lines_for_a_reader_that_is_gone(pipe: Pipe) -> None:
    """As the thread does."""
    os.close(pipe.reader)
    pipe.log.write(LINE)

    await until(lambda: pipe.log.dropped == 1)
    pipe.reader = os.open(os.devnull, os.O_RDONLY)


def test_lines_of_a_loop_that_has_ended_are_written(pipe: Pipe) -> None:
    """With the next line, or at the latest when the writer is closed."""

    async def log(line: bytes) -> None:
        pipe.log.write(line)

    asyncio.run(log(b"one\n"))
    asyncio.run(log(b"two\n"))
    pipe.log.write(b"three\n")
    pipe.read()
    wait_until(lambda: pipe.lines() == [b"one\n", b"two\n", b"three\n"], message="they were written")

    asyncio.run(log(b"four\n"))
    pipe.log.close(10)
    wait_until(lambda: pipe.lines()[-1] == b"four\n", message="the last was written")


async def test_lines_of_threads_and_of_the_loop_are_all_written(pipe: Pipe) -> None:
    """Those of each in their order."""
    pipe.read()

    def log() -> None:
        for number in range(500):
            pipe.log.write(b"thread %d\n" % number)

    threads = asyncio.gather(*(asyncio.to_thread(log) for _ in range(2)))
    for number in range(500):
        pipe.log.write(b"loop %d\n" % number)
        await asyncio.sleep(0)
    await threads

    await until(lambda: len(pipe.lines()) == 1500)
    assert [line for line in pipe.lines() if line.startswith(b"loop")] == [
        b"loop %d\n" % n for n in range(500)
    ]
