"""The breaker: a worker whose handlers keep failing leaves its events in the queue for a while.

Whatever they all call is down, or the handlers themselves are wrong: every event that is tried meanwhile costs one of
its attempts, and perhaps money.
"""

from __future__ import annotations

from collections.abc import Callable

_FIRST_PAUSE = 10.0
_LONGEST_PAUSE = 300.0


class HandlerBreaker:
    """Closed while handlers succeed; open after ``failures`` in a row, until one that is tried alone succeeds.

    Args:
        failures: how many in a row; None never opens it.
        clock: seconds that only grow.

    Attributes:
        is_open: whether events are tried one at a time, and not before :attr:`pause` is over.
    """

    def __init__(self, failures: int | None, clock: Callable[[], float]) -> None:
        self._failures = failures
        self._clock = clock
        self._in_a_row = 0
        self._length = _FIRST_PAUSE
        self._until = 0.0
        self.is_open = False

    @property
    def pause(self) -> float:
        """Seconds during which nothing is to be tried, from now on."""
        return max(self._until - self._clock(), 0.0)

    def note_success(self) -> None:
        """A handler returned."""
        self._in_a_row = 0
        self._length = _FIRST_PAUSE
        self._until = 0.0
        self.is_open = False

    def note_failure(self) -> float:
        """A handler failed; the seconds of the pause that this begins, 0 when it begins none."""
        self._in_a_row += 1
        if self._failures is None or self._in_a_row < self._failures or self.pause:
            return 0.0
        length = self._length
        self.is_open = True
        self._until = self._clock() + length
        self._length = min(2 * length, _LONGEST_PAUSE)
        return length
