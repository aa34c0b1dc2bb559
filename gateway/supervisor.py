"""Several gateway processes: start them, replace those that end, and end them all.

The parent binds the sockets, forks and waits. It has no event loop, no thread and no log of its own, so a fork
copies nothing in a bad state, and a log that nobody reads cannot keep it from replacing a process. The process that
takes a place logs how its predecessor ended. The sockets stay open in the parent, so connections that a dying
process had not accepted yet wait for the others.

One more process, the companion, may run beside them: the console. The gateway does not need it to receive events.
Whatever happens to it, the others go on; it ends after them.

It is over 200 lines because both sides of a fork stand here: what the parent does, and what a process knows of its
parent.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from gateway.errors import OperatorError

ENDING = (signal.SIGTERM, signal.SIGINT)
"""The signals that end a gateway."""

_HANDLED = (*ENDING, signal.SIGHUP, signal.SIGCHLD)
"""The signals that the parent handles itself."""

_CANNOT_START = (1, 3)
"""Exit codes of failures that another start does not cure: an error of the operator, or of the configuration."""

_SHORT_LIFE = 1.0
"""Seconds. A process that ends earlier is replaced after a pause, so that a crash loop does not take a whole core."""

_FIRST_PAUSE = 0.1
"""Seconds before the first process that ended early is replaced; each further pause is twice as long."""

_MAX_PAUSE = 5.0
"""Seconds. No replacement waits longer than this."""

_MAX_SIGNALS = 1024
"""Bytes read at once from the socket of signals; one byte is one signal."""


class Companion(Protocol):
    """A child of the parent that is no gateway process, and replaces itself."""

    def tend(self) -> float | None:
        """Start it if it is due, and notice its end; return the seconds until the next look, None while it runs."""

    def send(self, number: int) -> None:
        """Send it a signal, if it runs."""

    def end(self) -> float | None:
        """Ask it to end, or kill it in time; return the seconds until the next look, None once it has ended."""


def describe_end(code: int) -> str:
    """Say how a process ended, given its exit code as :mod:`subprocess` has it."""
    return f"killed by signal {-code}" if code < 0 else f"ended with code {code}"


class Note:
    """What a process leaves for its parent, in shared memory that outlives it."""

    _TEXT = slice(1, mmap.PAGESIZE)

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    @property
    def has_started(self) -> bool:
        """Whether the process has ever served."""
        return bool(self._memory[0])

    @has_started.setter
    def has_started(self, value: bool) -> None:
        self._memory[0] = value

    @property
    def text(self) -> str:
        """Why the process ended, for people; empty if it left no reason."""
        return self._memory[self._TEXT].rstrip(b"\0").decode(errors="ignore")

    @text.setter
    def text(self, text: str) -> None:
        room = mmap.PAGESIZE - 1
        self._memory[self._TEXT] = text.encode(errors="replace")[:room].ljust(room, b"\0")


@dataclass(frozen=True)
class ProcessContext:
    """A gateway process under a supervisor, as seen from inside.

    Attributes:
        slot: the number of the process, from 0.
        predecessor: how the process ended whose place this one takes; empty for the first.
    """

    slot: int
    predecessor: str
    _parent: int
    _note: Note

    def watch(self, stop: Callable[[], None]) -> None:
        """Call ``stop`` on the running event loop at a signal to end, and when the parent is gone.

        It may be called several times: a terminal signals parent and processes alike, and the parent forwards its
        own signal. Killing at the second signal is left to the parent.
        """
        loop = asyncio.get_running_loop()

        def on_parent_gone() -> None:
            loop.remove_reader(self._parent)
            stop()

        for number in ENDING:
            loop.add_signal_handler(number, stop)
        loop.add_reader(self._parent, on_parent_gone)

    def note_started(self) -> None:
        """Tell the parent that this process serves: if it fails from now on, it is replaced."""
        self._note.has_started = True


@dataclass
class _Place:
    """What the parent knows about the process in one slot; ``pid`` is 0 while none runs."""

    slot: int
    note: Note = field(default_factory=Note)
    pid: int = 0
    started_at: float = 0.0
    due_at: float = 0.0
    pause: float = _FIRST_PAUSE
    predecessor: str = ""


class Supervisor:
    """The parent of several gateway processes.

    Args:
        slots: the number of processes.
        work: what each process runs; SIGHUP stays blocked until ``work`` handles it.
        reload: called at SIGHUP before the processes receive it, so that later forks start with the new settings.
        close_sockets: called when the end begins. Open sockets of the parent would go on taking connections that
            no process serves any more.
        companion: runs beside the processes.
    """

    def __init__(
        self,
        slots: int,
        work: Callable[[ProcessContext], None],
        reload: Callable[[], None],
        close_sockets: Callable[[], None],
        companion: Companion | None = None,
    ) -> None:
        self._work = work
        self._reload = reload
        self._close_sockets = close_sockets
        self._places = [_Place(slot) for slot in range(slots)]
        self._companion = companion
        self._failure: OperatorError | None = None
        self._is_ending = False
        # Nothing is ever written to this pipe. Its reader becomes readable when the parent dies, in whatever way.
        self._alive, self._lifeline = os.pipe()

    def run(self) -> None:
        """Run until all processes have ended after a signal; a second signal kills them and the parent.

        Raises:
            OperatorError: a process could not start; the text is its reason.
        """
        with _signals() as signals:
            while True:
                if not self._is_ending:
                    self._start_due()
                    pause = self._pause()
                elif self._living():
                    pause = None
                elif (pause := self._companion.end() if self._companion else None) is None:
                    break
                for number in _next(signals, pause):
                    self._on_signal(number)
                self._reap()
        if self._failure:
            raise self._failure

    def _living(self) -> list[_Place]:
        return [place for place in self._places if place.pid]

    def _pause(self) -> float | None:
        """Tend the companion; return the seconds until the next start is due, None if nothing is to be started."""
        now = time.monotonic()
        pauses = [max(0.0, place.due_at - now) for place in self._places if not place.pid]
        if self._companion and (pause := self._companion.tend()) is not None:
            pauses.append(pause)
        return min(pauses, default=None)

    def _start_due(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if not place.pid and place.due_at <= now:
                place.started_at = now
                try:
                    place.pid = self._fork(place)
                except OSError as error:  # out of memory or processes, which may pass
                    self._replace_later(place, f"cannot be started: {error}")

    def _fork(self, place: _Place) -> int:
        # Until the child has reset its handlers, a signal to it would be written to the parent's socket.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        try:
            pid = os.fork()
            if pid == 0:
                self._run_child(place)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    def _run_child(self, place: _Place) -> NoReturn:
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _HANDLED:
                signal.signal(number, signal.SIG_DFL)
            os.close(self._lifeline)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_HANDLED} - {signal.SIGHUP})
            self._work(ProcessContext(place.slot, place.predecessor, self._alive, place.note))
            code = 0
        except OperatorError as error:
            place.note.text = str(error)
            code = error.exit_code
        except BaseException as error:  # noqa: BLE001 -- nothing may return into the parent's code
            place.note.text = repr(error)
            traceback.print_exc()
        finally:
            os._exit(code)

    def _on_signal(self, number: int) -> None:
        if number == signal.SIGHUP:
            self._reload()
            self._send(signal.SIGHUP)
            self._send_companion(signal.SIGHUP)
        elif number in ENDING:
            if self._is_ending:
                self._send(signal.SIGKILL)
                self._send_companion(signal.SIGKILL)
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            self._end()

    def _end(self) -> None:
        self._is_ending = True
        self._close_sockets()
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        for place in self._living():
            os.kill(place.pid, number)

    def _send_companion(self, number: int) -> None:
        if self._companion:
            self._companion.send(number)

    def _reap(self) -> None:
        for place in self._living():
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid:
                place.pid = 0
                self._on_end(place, os.waitstatus_to_exitcode(status))

    def _on_end(self, place: _Place, code: int) -> None:
        if self._is_ending:
            return
        reason = place.note.text
        place.note.text = ""
        if code in _CANNOT_START and not place.note.has_started:
            self._failure = OperatorError(reason)
            self._failure.exit_code = code
            self._end()
            return
        how = describe_end(code)
        self._replace_later(place, f"{how}: {reason}" if reason else how)

    def _replace_later(self, place: _Place, how: str) -> None:
        place.predecessor = how
        now = time.monotonic()
        if now - place.started_at >= _SHORT_LIFE:
            place.pause, place.due_at = _FIRST_PAUSE, now
        else:
            place.due_at = now + place.pause
            place.pause = min(place.pause * 2, _MAX_PAUSE)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Within the block, deliver the parent's signals as bytes on a socket: each byte is a signal's number."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        before = {number: signal.signal(number, _ignore) for number in _HANDLED}
        signal.set_wakeup_fd(writer.fileno())
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)


def _ignore(*_: object) -> None:
    """Do nothing. Python writes a signal to the socket only if it has a handler."""


def _next(signals: socket.socket, timeout: float | None) -> Iterable[int]:
    """Wait up to ``timeout`` seconds, and return the numbers of the signals that have arrived."""
    readable, _, _ = select.select([signals], [], [], timeout)
    return signals.recv(_MAX_SIGNALS) if readable else b""
