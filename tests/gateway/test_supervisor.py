"""The supervisor: processes are replaced, and end with it; run in processes of their own, as it forks and takes signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.process import descendants, is_alive
from support.waiting import PATIENCE, wait_until

# What the two processes do is put in; lines tell what happens.
_PROGRAM = """
import asyncio, os, signal, sys, time
from gateway.errors import ConfigurationError, OperatorError
from gateway.supervisor import Supervisor

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

async def serve(process):
    stop = asyncio.Event()
    process.watch(stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, say, "hangup", process.slot)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    process.note_started()
    say("started", process.slot, process.predecessor)
    await stop.wait()
    say("stopped", process.slot)

def work(process):
    {work}

try:
    Supervisor(2, work, lambda: say("reload"), lambda: None).run()
except OperatorError as error:
    say("failed", error.exit_code, error)
say("ended")
"""

SERVE = "asyncio.run(serve(process))"
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN); say('started', process.slot); time.sleep(600)"
STARTING = "say('starting', process.slot); time.sleep(600)"
SHORT_LIVED = "process.note_started(); say('started', process.slot)"
MISCONFIGURED = "raise ConfigurationError('one mistake', 'another')"
WITHOUT_STORE = f"if process.slot: raise OperatorError('no store')\n    {SERVE}"
BROKEN = "raise RuntimeError('a bug')"
BROKEN_LATER = f"{SERVE} if process.predecessor else (process.note_started(), 1 / 0)"


class Family:
    """A supervisor and its processes."""

    def __init__(self, folder: Path, work: str) -> None:
        self._output = folder / "output"
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM.format(work=work)], stdout=output, start_new_session=True
            )

    def lines(self) -> list[str]:
        """What they said so far."""
        return [line.strip() for line in self._output.read_text().splitlines()]

    def wait_for(self, *lines: str) -> None:
        """Wait until they have said all of this, in whatever order."""
        wait_until(lambda: set(lines) <= set(self.lines()), message=f"they said {lines}, not {self.lines()}")

    def children(self) -> list[int]:
        """The processes that live."""
        return descendants(self.process.pid)

    def stop(self) -> int:
        """Ask the parent to end, and wait for that."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Callable[[str], Family]]:
    """Starts one; what is left of it afterwards is killed."""
    started: list[Family] = []

    def start(work: str) -> Family:
        started.append(Family(tmp_path, work))
        return started[-1]

    yield start
    for one in started:
        for pid in (one.process.pid, *one.children()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        one.process.wait(PATIENCE)


def test_a_signal_ends_all_in_good_order(family: Callable[[str], Family]) -> None:
    """Even when it comes to the processes as well, as from a terminal, and more than once."""
    parent = family(SERVE)
    parent.wait_for("started 0", "started 1")
    processes = parent.children()
    os.killpg(parent.process.pid, signal.SIGINT)
    for pid in 2 * processes:
        with suppress(ProcessLookupError):  # the first signal may have ended it
            os.kill(pid, signal.SIGINT)

    assert parent.process.wait(PATIENCE) == 0
    assert sorted(parent.lines()[2:-1])[-2:] == ["stopped 0", "stopped 1"]
    assert parent.lines()[-1] == "ended"


@pytest.mark.parametrize(
    ("number", "how"), [(signal.SIGKILL, "killed by signal 9"), (signal.SIGTERM, "ended with code 0")]
)
def test_a_worker_that_ends_is_replaced_and_its_heir_is_told(
    family: Callable[[str], Family], number: signal.Signals, how: str
) -> None:
    """In the same slot; the other one is left alone."""
    parent = family(SERVE)
    parent.wait_for("started 0", "started 1")
    first, second = parent.children()
    os.kill(first, number)

    wait_until(lambda: any(how in line for line in parent.lines()), message="it was replaced")
    (line,) = (line for line in parent.lines() if how in line)
    assert line in {f"started 0 {how}", f"started 1 {how}"}
    assert second in parent.children()
    assert len(parent.children()) == 2
    assert parent.stop() == 0


def test_workers_end_when_their_parent_is_killed(family: Callable[[str], Family]) -> None:
    """In good order, though nobody asks them to."""
    parent = family(SERVE)
    parent.wait_for("started 0", "started 1")
    processes = parent.children()
    parent.process.kill()

    parent.wait_for("stopped 0", "stopped 1")
    wait_until(lambda: not any(map(is_alive, processes)), message="they ended")


def test_workers_that_live_shortly_are_replaced_ever_more_slowly(family: Callable[[str], Family]) -> None:
    """So that a mistake does not take the whole machine."""
    parent = family(SHORT_LIVED)
    parent.wait_for("started 0", "started 1")
    began_at = time.monotonic()
    wait_until(lambda: len(parent.lines()) >= 10, message="each was started five times")

    assert time.monotonic() - began_at > 1  # 0.1 + 0.2 + 0.4 + 0.8 seconds
    assert parent.stop() == 0


def test_a_worker_that_is_still_starting_ends_at_once(family: Callable[[str], Family]) -> None:
    """It has accepted nothing yet."""
    parent = family(STARTING)
    parent.wait_for("starting 0", "starting 1")

    assert parent.stop() == 0


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (MISCONFIGURED, "failed 3 one mistake\nanother"),
        (WITHOUT_STORE, "failed 1 no store"),
        (BROKEN, "failed 1 RuntimeError('a bug')"),
    ],
)
def test_a_worker_that_cannot_start_ends_all_with_what_it_said(
    family: Callable[[str], Family], work: str, said: str
) -> None:
    """Once, and with its exit code; nothing is started again."""
    parent = family(work)

    assert parent.process.wait(PATIENCE) == 0  # of the program here, which catches the error
    text = "\n".join(parent.lines())
    assert text.count("failed") == 1
    assert text.endswith(f"{said}\nended")
    assert parent.children() == []


def test_a_worker_that_fails_later_is_replaced(family: Callable[[str], Family]) -> None:
    """Its heir is told the cause."""
    parent = family(BROKEN_LATER)
    cause = "ended with code 1: ZeroDivisionError('division by zero')"
    parent.wait_for(f"started 0 {cause}", f"started 1 {cause}")

    assert parent.stop() == 0


def test_a_second_signal_kills_those_that_do_not_end(family: Callable[[str], Family]) -> None:
    """And the parent."""
    parent = family(STUBBORN)
    parent.wait_for("started 0", "started 1")
    processes = parent.children()
    parent.process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        parent.process.wait(0.5)
    parent.process.send_signal(signal.SIGTERM)

    assert parent.process.wait(PATIENCE) == -signal.SIGTERM
    wait_until(lambda: not any(map(is_alive, processes)), message="they were killed")


def test_a_hangup_is_passed_on_after_the_parent_has_reloaded(family: Callable[[str], Family]) -> None:
    """So that a process which is forked afterwards has what the others have."""
    parent = family(SERVE)
    parent.wait_for("started 0", "started 1")
    parent.process.send_signal(signal.SIGHUP)

    parent.wait_for("reload", "hangup 0", "hangup 1")
    assert parent.lines().index("reload") == 2
    assert parent.stop() == 0
