"""The circuit breaker of a publishing connection.

A broker that confirms nothing gets no messages for a while, then one as a probe. Otherwise every event would wait for a
confirm that does not come, and every message sent meanwhile could still be delivered later, beside its retry.
"""

from __future__ import annotations

from collections.abc import Callable

_MAX_TIMEOUTS = 3
"""Confirms overdue in a row that open the breaker. One alone may be a slow queue."""

_FIRST_PAUSE = 1.0
"""Seconds until the first probe; the pause doubles after each probe that fails."""

_MAX_PAUSE = 5.0
"""The longest pause in seconds: events wait in the spool for at most that long after the broker is back."""


class PublishBreaker:
    """Closed while confirms come; open after three in a row that did not come in time.

    Args:
        clock: Monotonic seconds.

    Attributes:
        is_open: Whether messages are held back, except for one probe at a time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._timeouts = 0
        self._pause = _FIRST_PAUSE
        self.is_open = False
        self._probe_due_at = 0.0  # while it is open
        self._probed_at: float | None = None

    @property
    def is_probe_due(self) -> bool:
        """Return whether the breaker is open and the next message would be the probe."""
        return self.is_open and self._probed_at is None and self._clock() >= self._probe_due_at

    def permits(self) -> bool:
        """Return whether a message may be sent now; with an open breaker, it is the probe."""
        if not self.is_open:
            return True
        if not self.is_probe_due:
            return False
        self._probed_at = self._clock()
        return True

    def note_confirm(self) -> None:
        """Note that a message was confirmed or refused in time."""
        self._timeouts = 0
        if self.is_open:
            self._pause = _FIRST_PAUSE
            self.is_open = False
            self._probed_at = None

    def note_late_confirm(self) -> None:
        """Note a confirm that came too late: it proves nothing, but makes the probe due at once."""
        if self.is_open:
            self._probe_due_at = self._clock()

    def note_timeout(self, sent_at: float) -> None:
        """Note that the confirm of a message sent at ``sent_at`` is overdue."""
        self._timeouts += 1
        if not self.is_open:
            if self._timeouts >= _MAX_TIMEOUTS:
                self.is_open = True
                self._probe_due_at = self._clock() + self._pause
        elif self._probed_at is not None and sent_at >= self._probed_at:  # the probe, not an earlier message
            self._pause = min(2 * self._pause, _MAX_PAUSE)
            self._probe_due_at = self._clock() + self._pause
            self._probed_at = None
