"""A child process that cannot outlive its owner, and whose end takes its own children along."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGTERM, Signals
from typing import TypedDict

from support.waiting import wait_until

# The guard blocks on a pipe whose other end only we hold. However we end, by an exception or by SIGKILL, the
# kernel closes it. PR_SET_PDEATHSIG would need no process, but it follows the *thread* that forked: a server
# restarted from a worker thread would die with that thread.
_GUARD = 'read -r _; kill -9 "$0" 2>/dev/null'

_LOG_TAIL = 2_000


def is_alive(pid: int) -> bool:
    """Return whether `pid` runs. A zombie does not: it waits for its exit code to be read."""
    return _state_and_parent(pid)[0] not in ("", "Z", "X")


def descendants(pid: int) -> list[int]:
    """Return every living process below `pid`, nearest first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            state, parent = _state_and_parent(int(entry.name))
            if state not in ("", "Z", "X"):
                children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    level = [pid]
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        found += level
    return found


def is_console(pid: int) -> bool:
    """Return whether a process is the console of a gateway."""
    try:
        return b"gateway.console" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False


def receivers(pid: int) -> list[int]:
    """Return the receiving processes below ``pid``: all but the console."""
    return [each for each in descendants(pid) if not is_console(each)]


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    # The name in parentheses may contain anything, parentheses and blanks included.
    state, parent, *_ = text.rpartition(")")[2].split()
    return state, int(parent)


class _Account(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def as_user(name: str | None) -> _Account:
    """Return what `subprocess` takes to run a program as a user, without the groups of ours; None is ourselves."""
    if name is None:
        return {}
    account = pwd.getpwnam(name)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


class Child:
    """A running program, its log file, and its guard."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.log = log
        with log.open("ab") as sink:
            # A session of its own: Ctrl-C in the terminal is for the test run, which then ends its servers in order.
            self._process = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                **as_user(user),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    @property
    def is_running(self) -> bool:
        """Tell whether the program has not ended."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal, None while running."""
        return self._process.poll()

    def expect_running(self) -> None:
        """Raise with the end of the log when the program is gone: a wait for it would be in vain."""
        if not self.is_running:
            tail = self.log.read_text(errors="replace")[-_LOG_TAIL:]
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.returncode}:\n{tail}")

    def signal(self, number: Signals) -> None:
        """Send a signal; nothing happens when the program is gone."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(SIGKILL, 10.0)

    def stop(self, timeout: float = 30.0) -> None:
        """Ask it to end, and insist after `timeout` seconds."""
        # A suspended process would keep the request until it is resumed.
        self.signal(SIGCONT)
        self._end(SIGTERM, timeout)

    def _end(self, number: Signals, timeout: float) -> None:
        family = descendants(self.pid) if self.is_running else []
        self.signal(number)
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._dismiss_guard()
        # Helpers notice the closed pipe to their parent and leave by themselves, a moment later.
        try:
            wait_until(lambda: not any(map(is_alive, family)), 5.0, "the helpers ended")
        except TimeoutError:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)

    def _dismiss_guard(self) -> None:
        self._guard.kill()
        self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
