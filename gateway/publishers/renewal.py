"""When a refused message is a reason for another connection to a cluster.

A channel that is opened while a quorum queue has no leader keeps asking the dead one in RabbitMQ 3.10, and refuses (nack)
every message for that queue for as long as it lives, although a new leader was elected long ago. A node that was parted from
the majority refuses for as long as that lasts. Another connection helps with both, if it is made after the election; nothing
tells when that is. So connections are renewed again and again, after a quarter of the time that messages have been refused
for: an election that takes 20 s costs 5 s more at most. Against a queue that is full another connection does not help, and
hardly hurts: after some minutes it is one a minute.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_MIN_DELAY = 1.0
"""The shortest delay in seconds. An election takes less, unless the machine is busy."""

_SHARE = 0.25
"""The delay as a share of the time for which messages have been refused."""

_MAX_DELAY = 60.0
"""The longest delay in seconds, beside which the messages that wait on disk while a connection is renewed are few."""

RENEWED = "the broker refused a message (nack), and another connection may help"
"""Why a connection that is renewed takes no more messages."""


class Renewal:
    """Counts renewals across the connections of one publisher.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._refused_since = self._renewed_at = -math.inf

    def is_due(self) -> bool:
        """Return whether a message that was refused now is a reason to renew the connection; if so, note that it is."""
        now = self._clock()
        # After so long without a refusal, whatever it was is over.
        if now - self._renewed_at > 2 * _MAX_DELAY:
            self._refused_since = now
        elif now - self._renewed_at < self._delay:
            return False
        self._renewed_at = now
        return True

    @property
    def _delay(self) -> float:
        return min(max(_MIN_DELAY, _SHARE * (self._renewed_at - self._refused_since)), _MAX_DELAY)
