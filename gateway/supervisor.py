"""Several worker processes: starts them, replaces those that end, and ends them all.

The parent binds the sockets, forks and waits. It has no event loop, no thread and no log of its own: nothing in
it can be copied in a bad state by a fork, and no log that nobody reads can keep it from replacing a worker. What
it has to say of a worker's end, the next one in its place says. The sockets stay open in the parent, so that
connections which a dying worker had not accepted yet wait for the others.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from gateway.child import ENDING, Note, ProcessContext
from gateway.errors import OperatorError

_HANDLED = (*ENDING, signal.SIGHUP, signal.SIGCHLD)
_CANNOT_START = (1, 3)  # exit codes of what starting again does not mend
_SHORT_LIFE = 1.0  # seconds
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_MANY_SIGNALS = 1024


@dataclass
class _Place:
    """What the parent knows of the worker in one slot; ``pid`` is 0 while there is none."""

    slot: int
    note: Note = field(default_factory=Note)
    pid: int = 0
    started_at: float = 0.0
    due_at: float = 0.0
    pause: float = _FIRST_PAUSE
    predecessor: str = ""


class Supervisor:
    """The parent.

    Args:
        slots: how many workers there are to be.
        work: what each of them does; SIGHUP is blocked in it until it handles that.
        reload: called at SIGHUP, before the workers get it: what the parent gives to workers that it forks later.
        let_go: called as they are to end: closes the sockets of the parent, which would otherwise take connections
            that no worker serves any more.
    """

    def __init__(
        self,
        slots: int,
        work: Callable[[ProcessContext], None],
        reload: Callable[[], None],
        let_go: Callable[[], None],
    ) -> None:
        self._work = work
        self._reload = reload
        self._let_go = let_go
        self._places = [_Place(slot) for slot in range(slots)]
        self._failure: OperatorError | None = None
        self._is_ending = False
        # Nothing is ever written to it; the workers read its end when the parent, however it died, is gone.
        self._alive, self._lifeline = os.pipe()

    def run(self) -> None:
        """Return when all workers have ended after a signal; a second signal kills them and this process.

        Raises:
            OperatorError: a worker could not even start, with what it said.
        """
        with _signals() as signals:
            while True:
                if not self._is_ending:
                    self._start_due()
                elif not self._living():
                    break
                for number in _next(signals, self._pause()):
                    self._on_signal(number)
                self._reap()
        if self._failure:
            raise self._failure

    def _living(self) -> list[_Place]:
        return [place for place in self._places if place.pid]

    def _pause(self) -> float | None:
        """Seconds until the next worker is to be started; None when all are there or all shall end."""
        due = [place.due_at for place in self._places if not place.pid]
        return max(0.0, min(due) - time.monotonic()) if due and not self._is_ending else None

    def _start_due(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if not place.pid and place.due_at <= now:
                place.started_at = now
                try:
                    place.pid = self._fork(place)
                except OSError as error:  # no memory, too many processes: that may pass
                    self._replace_later(place, f"cannot be started: {error}")

    def _fork(self, place: _Place) -> int:
        # A signal that came before the child has left the parent's handlers would be told to the parent.
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
        elif number in ENDING:
            if self._is_ending:
                self._send(signal.SIGKILL)
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            self._end()

    def _end(self) -> None:
        self._is_ending = True
        self._let_go()
        self._send(signal.SIGTERM)

    def _send(self, number: int) -> None:
        for place in self._living():
            os.kill(place.pid, number)

    def _reap(self) -> None:
        for place in self._living():
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid:
                place.pid = 0
                self._on_end(place, os.waitstatus_to_exitcode(status))

    def _on_end(self, place: _Place, code: int) -> None:
        if self._is_ending:
            return
        said = place.note.text
        place.note.text = ""
        if code in _CANNOT_START and not place.note.has_started:
            self._failure = OperatorError(said)
            self._failure.exit_code = code
            self._end()
            return
        how = f"killed by signal {-code}" if code < 0 else f"ended with code {code}"
        self._replace_later(place, f"{how}: {said}" if said else how)

    def _replace_later(self, place: _Place, why: str) -> None:
        place.predecessor = why
        now = time.monotonic()
        if now - place.started_at >= _SHORT_LIFE:
            place.pause, place.due_at = _FIRST_PAUSE, now
        else:
            place.due_at = now + place.pause
            place.pause = min(place.pause * 2, _LONGEST_PAUSE)


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """Within the block, the signals for the parent come as bytes from a socket, each its number."""
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
    """Python writes to the socket only for signals with a handler."""


def _next(signals: socket.socket, timeout: float | None) -> Iterable[int]:
    """The signals that came; waits for one until ``timeout``."""
    readable, _, _ = select.select([signals], [], [], timeout)
    return signals.recv(_MANY_SIGNALS) if readable else b""
