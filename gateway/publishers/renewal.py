"""When a refused message is a reason for another connection to a cluster.

A channel that is opened while a quorum queue has no leader keeps asking the dead one in RabbitMQ 3.10, and refuses (nack)
every message for that queue for as long as it lives, although a new leader was elected long ago. A node that was parted from
the majority refuses for as long as that lasts. Another connection helps with both. It does not help against a queue that is
full, so that connections are renewed less and less often.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_FIRST_DELAY = 1.0
"""Seconds between the first two renewals; each further delay is twice as long. An election takes less."""

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
        self._delay = _FIRST_DELAY
        self._renewed_at = -math.inf

    def is_due(self) -> bool:
        """Return whether a message that was refused now is a reason to renew the connection; if so, note that it is."""
        now = self._clock()
        since = now - self._renewed_at
        if since < self._delay:
            return False
        # After so long without a refusal, whatever it was is over.
        self._delay = _FIRST_DELAY if since > 2 * _MAX_DELAY else min(2 * self._delay, _MAX_DELAY)
        self._renewed_at = now
        return True
