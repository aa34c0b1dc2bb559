"""The breaker: a broker that confirms nothing is left alone for a while, and then asked with one message.

Without it every event waits for a confirm that does not come, and every message sent meanwhile may still be
delivered later, beside its repetition.
"""

from __future__ import annotations

from collections.abc import Callable

_TIMEOUTS_THAT_OPEN = 3
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 5.0


class PublishBreaker:
    """Closed while confirms come; open after three in a row that did not.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._timeouts = 0
        self._pause = _FIRST_PAUSE
        self._probe_due_at: float | None = None
        self._probed_at: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages are held back, but for one at a time that finds out whether confirms come again."""
        return self._probe_due_at is not None

    @property
    def is_probe_due(self) -> bool:
        """Whether the breaker is open and the next message would be the probe."""
        return (
            self._probe_due_at is not None and self._probed_at is None and self._clock() >= self._probe_due_at
        )

    def permits(self) -> bool:
        """Whether a message may be sent now. While the breaker is open that message is the probe."""
        if self._probe_due_at is None:
            return True
        if not self.is_probe_due:
            return False
        self._probed_at = self._clock()
        return True

    def note_confirm(self) -> None:
        """A message was answered within its time."""
        self._timeouts = 0
        if self._probe_due_at is not None:
            self._pause = _FIRST_PAUSE
            self._probe_due_at = self._probed_at = None

    def note_late_confirm(self) -> None:
        """A message was answered, but too late: no proof that it works again, but a reason to look at once."""
        if self._probe_due_at is not None:
            self._probe_due_at = self._clock()

    def note_timeout(self, sent_at: float) -> None:
        """A message was not answered within its time."""
        self._timeouts += 1
        if self._probe_due_at is None:
            if self._timeouts >= _TIMEOUTS_THAT_OPEN:
                self._probe_due_at = self._clock() + self._pause
        elif (
            self._probed_at is not None and sent_at >= self._probed_at
        ):  # the probe, and nothing sent earlier
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            self._probe_due_at = self._clock() + self._pause
            self._probed_at = None
