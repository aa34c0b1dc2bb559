"""Deadlines at the price of a dictionary entry.

A timer for each request costs more than the reading that it guards; here one timer looks after all of them.
A deadline is therefore kept to within a tenth of a second.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

_SWEEP_EVERY = 0.1


class Deadlines:
    """The deadlines of the tasks of one event loop."""

    def __init__(self) -> None:
        self._due: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        self._is_sweep_due = False

    def within(self, seconds: float) -> _Limit:
        """A block that raises TimeoutError when it takes longer."""
        return _Limit(self, seconds)

    def begin(self, task: asyncio.Task[Any], seconds: float) -> None:
        """Cancel ``task`` in so many seconds unless it ends its block before."""
        loop = task.get_loop()
        if not self._is_sweep_due:
            self._is_sweep_due = True
            loop.call_later(_SWEEP_EVERY, self._sweep, loop)
        self._due[task] = loop.time() + seconds

    def end(self, task: asyncio.Task[Any]) -> bool:
        """The block is over; tells whether the deadline was what cancelled the task."""
        self._due.pop(task, None)
        if task in self._overdue:
            self._overdue.discard(task)
            return True
        return False

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task in [task for task, due in self._due.items() if due <= now]:
            del self._due[task]
            self._overdue.add(task)
            task.cancel()
        self._is_sweep_due = bool(self._due)
        if self._is_sweep_due:
            loop.call_later(_SWEEP_EVERY, self._sweep, loop)


class _Limit:
    """See :meth:`Deadlines.within`."""

    __slots__ = ("_deadlines", "_seconds", "_task")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._seconds = seconds

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("deadlines are for tasks")
        self._task = task
        self._deadlines.begin(task, self._seconds)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._deadlines.end(self._task) and self._task.uncancel() <= 0 and kind is asyncio.CancelledError:
            raise TimeoutError from error
