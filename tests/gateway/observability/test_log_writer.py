"""The sink of the log: whoever writes never waits, and what is lost is counted and told."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from gateway.observability import log_writer as sink_module
from gateway.observability.log_writer import MAX_WAITING, LineWriter
from support.waiting import wait_until

LINE = b"x" * 199 + b"\n"


class Pipe:
    """A pipe with a sink that writes to it, and a way to read what came."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.sink = LineWriter(self.writer, lambda lost: b"lost %d\n" % lost)
        self.received = bytearray()
        self._thread: threading.Thread | None = None

    def read(self) -> None:
        """Begin to read, until the pipe is closed."""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def lines(self) -> list[bytes]:
        """Whole lines that came so far."""
        return bytes(self.received).splitlines(keepends=True)

    def close(self) -> None:
        """End the sink, whether somebody reads or not."""
        if self._thread is None:
            os.close(self.reader)
        self.sink.close(10)
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
        pipe.sink.write(b"%d\n" % number)

    wait_until(lambda: len(pipe.lines()) == 1000, message="all lines came")
    assert [int(line) for line in pipe.lines()] == list(range(1000))
    assert pipe.sink.dropped == 0


def test_nobody_waits_for_a_reader_that_does_not_read(pipe: Pipe) -> None:
    """Lines beyond the room are lost; once it flows again, a line tells how many, and nothing else is missing."""
    count = 3 * MAX_WAITING // len(LINE)
    for _ in range(count):
        pipe.sink.write(LINE)

    lost = pipe.sink.dropped
    assert count / 2 < lost < count
    pipe.read()
    wait_until(lambda: len(pipe.lines()) > count - lost, message="all others came, and how many were lost")
    assert [line for line in pipe.lines() if line != LINE] == [b"lost %d\n" % lost]

    pipe.sink.write(b"again\n")
    wait_until(lambda: pipe.lines()[-1] == b"again\n", message="it goes on")
    assert pipe.sink.dropped == lost


def test_what_waits_at_the_end_is_written(pipe: Pipe) -> None:
    """Before the sink is closed."""
    pipe.read()
    pipe.sink.write(LINE)
    pipe.sink.close(10)

    wait_until(lambda: pipe.lines() == [LINE], message="it was written")


def test_the_end_does_not_wait_for_a_reader_that_does_not_read(pipe: Pipe) -> None:
    """Longer than its timeout: it returns while the lines still wait, and they come once they are read."""
    for _ in range(1000):
        pipe.sink.write(LINE)
    pipe.sink.close(0.1)

    assert not pipe.lines()
    pipe.read()
    wait_until(lambda: len(pipe.lines()) == 1000, message="all lines came")


def test_lines_for_a_reader_that_is_gone_are_lost(pipe: Pipe) -> None:
    """Nobody is told, as there is nobody, but they are counted."""
    os.close(pipe.reader)
    pipe.sink.write(LINE)

    wait_until(lambda: pipe.sink.dropped == 1, message="it was counted")
    pipe.reader = os.open(os.devnull, os.O_RDONLY)


def test_a_descriptor_that_does_not_block_is_waited_for(pipe: Pipe) -> None:
    """Some programs give such a one to those that they start."""
    os.set_blocking(pipe.writer, False)
    for _ in range(2000):
        pipe.sink.write(LINE)
    pipe.read()

    wait_until(lambda: len(pipe.lines()) == 2000, message="all lines came")
    assert pipe.sink.dropped == 0


@pytest.mark.parametrize("size", [50, 900, 4000])
def test_lines_of_several_workers_stay_whole(pipe: Pipe, size: int) -> None:
    """Two that write to one pipe, which is full all the time."""
    other = LineWriter(pipe.writer, lambda lost: b"")
    writers: list[tuple[Callable[[bytes], None], bytes]] = [(pipe.sink.write, b"a"), (other.write, b"b")]
    for write, letter in writers:
        for _ in range(400_000 // size):
            write(letter * size + b"\n")
    pipe.read()
    other.close(10)
    pipe.sink.close(10)

    wait_until(lambda: len(pipe.lines()) == 2 * (400_000 // size), message="all lines came")
    assert set(pipe.lines()) == {b"a" * size + b"\n", b"b" * size + b"\n"}


def test_a_write_fits_into_what_a_pipe_takes_whole() -> None:
    """Unless a single line does not; none is left out."""
    lines = [b"x" * size for size in (1, 4000, 200, 5000, 3, 4)]
    chunks = list(sink_module._chunks(lines))

    assert [[len(line) for line in chunk] for chunk in chunks] == [[1, 4000], [200], [5000], [3, 4]]
