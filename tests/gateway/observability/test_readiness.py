"""The readiness that processes share: one answer for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from gateway.observability.readiness import ReadinessBoard, ReadinessWriter, SharedReadiness
from support.waiting import wait_until_async

WELL = {"publisher": "", "claims": ""}
READER = """
import sys
from gateway.observability.readiness import ReadinessBoard
print(ReadinessBoard(2, int(sys.argv[1])).read()[1].reasons)
"""


@pytest.fixture
def board() -> ReadinessBoard:
    """The states of two processes."""
    return ReadinessBoard(2)


def test_it_is_ready_while_one_process_is(board: ReadinessBoard) -> None:
    """The reasons name the process that says so, if not all do."""
    shared = SharedReadiness(board)
    board.write(0, is_ready=True, reasons=WELL)
    board.write(1, is_ready=False, reasons={**WELL, "publisher": "connection lost"})
    assert shared.is_ready()
    assert shared.reasons() == {"publisher": "process 1: connection lost", "claims": ""}

    board.write(0, is_ready=False, reasons={**WELL, "publisher": "connection lost"})
    assert not shared.is_ready()
    assert shared.reasons() == {"publisher": "connection lost", "claims": ""}


def test_a_process_that_is_silent_shows(board: ReadinessBoard) -> None:
    """It does not make the others unready; all silent are."""
    board.write(0, is_ready=True, reasons=WELL)
    assert SharedReadiness(board).is_ready()
    assert "process 1: has not reported" in SharedReadiness(board).reasons()["process"]

    later = SharedReadiness(board, clock=lambda: time.monotonic() + 60)
    assert not later.is_ready()
    assert later.reasons()["process"].startswith("has not reported")


def test_a_record_that_is_being_written_is_not_read(board: ReadinessBoard) -> None:
    """A process may be killed at any moment."""
    board.write(0, is_ready=True, reasons=WELL)
    assert board.read()[0]
    os.pwrite(board.descriptor, b"\0", 12)

    assert board.read() == [None, None]


def test_long_and_hostile_reasons_fit(board: ReadinessBoard) -> None:
    """The neighbour's record stays whole."""
    board.write(1, is_ready=True, reasons=WELL)
    parts = ("publisher", "claims", "clock", "process")
    board.write(0, is_ready=False, reasons=dict.fromkeys(parts, "\x00💩" * 10000))
    first, second = board.read()

    assert first
    assert second
    assert set(first.reasons) == set(parts)
    assert second.reasons == WELL


def test_another_program_reads_it(board: ReadinessBoard) -> None:
    """By the descriptor that it inherits."""
    board.write(1, is_ready=False, reasons={"clock": "is off"})
    command = [sys.executable, "-c", READER, str(board.descriptor)]
    done = subprocess.run(command, pass_fds=[board.descriptor], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "{'clock': 'is off'}"


def test_memory_of_another_size_is_refused(board: ReadinessBoard) -> None:
    """It was made by another version."""
    with pytest.raises(ValueError, match="bytes of shared memory"):
        ReadinessBoard(3, board.descriptor)


async def test_a_writer_writes_what_has_changed(board: ReadinessBoard) -> None:
    """Soon, and again as a sign of life."""
    state = {"publisher": ""}
    writer = ReadinessWriter(board, 0, lambda: not state["publisher"], lambda: dict(state))
    writer.start()
    first, _ = board.read()
    assert first
    assert first.is_ready
    state["publisher"] = "blocked"
    await wait_until_async(lambda: not SharedReadiness(board).is_ready(), message="the change was written")
    changed, _ = board.read()
    assert changed
    await wait_until_async(
        lambda: (found := board.read()[0]) is not None and found.at > changed.at, message="it was repeated"
    )
    writer.stop()
