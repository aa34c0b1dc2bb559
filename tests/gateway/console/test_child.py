"""The console as a child: replaced, but never so often that a crash loop takes a core."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gateway.console import child as child_module
from gateway.console.child import ConsoleChild, ConsoleKeeper
from support.waiting import wait_until, wait_until_async

SERVE = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
CRASH = "raise SystemExit(7)"


class Launcher:
    """Starts a program in place of the console, and remembers what it was told."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.told: list[tuple[str, int]] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.fails = False

    def start(
        self, _: list[socket.socket], predecessor: str = "", starts: int = 0
    ) -> subprocess.Popen[bytes]:
        """Start one."""
        if self.fails:
            raise BlockingIOError(11, "no process left")
        self.told.append((predecessor, starts))
        self.processes.append(subprocess.Popen([sys.executable, "-c", self.program], stdout=subprocess.PIPE))
        return self.processes[-1]


@pytest.fixture
def launcher() -> Iterator[Launcher]:
    """Starts consoles that stay."""
    made = Launcher(SERVE)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """Return seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    """The clock of the child."""
    made = Time()
    monkeypatch.setattr(child_module, "time", made)
    return made


def end_of(launcher: Launcher) -> None:
    """Wait until the last console has ended, without taking its exit code."""
    os.waitid(os.P_PID, launcher.processes[-1].pid, os.WEXITED | os.WNOWAIT)


def test_a_crash_loop_becomes_slower(launcher: Launcher, clock: Time) -> None:
    """Each pause is twice as long as the one before, up to half a minute."""
    launcher.program = CRASH
    child = ConsoleChild(launcher, [])  # type: ignore[arg-type]
    pauses = []
    for _ in range(9):
        assert child.tend() is None
        end_of(launcher)
        pause = child.tend()
        assert pause is not None
        pauses.append(pause)
        clock.now += pause

    assert pauses == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30])
    assert launcher.told == [("", 0), *(("ended with code 7", number) for number in range(1, 9))]


def test_one_that_has_served_for_long_is_replaced_soon(launcher: Launcher, clock: Time) -> None:
    """However often that happens."""
    child = ConsoleChild(launcher, [])  # type: ignore[arg-type]
    pauses = []
    for _ in range(3):
        child.tend()
        clock.now += 3600
        launcher.processes[-1].kill()
        end_of(launcher)
        pauses.append(child.tend())
        clock.now += 1

    assert pauses == [pytest.approx(0.5)] * 3
    assert {how for how, _ in launcher.told[1:]} == {"killed by signal 9"}


def test_a_system_without_processes_is_asked_again(launcher: Launcher, clock: Time) -> None:
    """The gateway goes on meanwhile."""
    launcher.fails = True
    child = ConsoleChild(launcher, [])  # type: ignore[arg-type]
    pause = child.tend()
    assert pause == pytest.approx(0.5)
    launcher.fails = False
    clock.now += 0.5
    assert child.tend() is None

    assert launcher.told == [("cannot be started: [Errno 11] no process left", 0)]


def test_one_that_does_not_end_is_killed(launcher: Launcher, clock: Time) -> None:
    """After some seconds."""
    launcher.program = STUBBORN
    child = ConsoleChild(launcher, [])  # type: ignore[arg-type]
    child.tend()
    (process,) = launcher.processes
    assert process.stdout
    process.stdout.readline()
    assert child.end() == pytest.approx(3)
    assert process.poll() is None
    clock.now += 3
    child.end()

    wait_until(lambda: child.end() is None, message="it was killed")
    assert process.returncode == -signal.SIGKILL


def test_nothing_is_to_be_ended_where_none_runs(launcher: Launcher) -> None:
    """Because it never started, or waits for its next start."""
    assert ConsoleChild(launcher, []).end() is None  # type: ignore[arg-type]


async def test_a_keeper_replaces_it_and_ends_it(launcher: Launcher) -> None:
    """It notices the end by itself."""
    keeper = ConsoleKeeper(launcher)  # type: ignore[arg-type]
    keeper.start([])
    launcher.processes[0].kill()
    await wait_until_async(lambda: len(launcher.processes) == 2, message="it was replaced")
    await keeper.stop()

    assert launcher.processes[1].returncode == -signal.SIGTERM
    assert launcher.told == [("", 0), ("killed by signal 9", 1)]


async def test_a_keeper_works_where_the_system_reports_no_end(
    launcher: Launcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looks again and again."""

    def refuse(*_: object) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse, raising=False)
    keeper = ConsoleKeeper(launcher)  # type: ignore[arg-type]
    keeper.start([])
    launcher.processes[0].kill()
    await wait_until_async(lambda: len(launcher.processes) == 2, message="it was replaced")
    async with asyncio.timeout(10):
        await keeper.stop()

    assert launcher.processes[1].returncode == -signal.SIGTERM


async def test_a_keeper_that_was_not_started_stops(launcher: Launcher) -> None:
    """The gateway may fail before that."""
    keeper = ConsoleKeeper(launcher)  # type: ignore[arg-type]
    keeper.reload()
    await keeper.stop()

    assert launcher.processes == []
