"""The port to what the processes of a worker share: leases on events, turns in sequences, and rate limits.

The store is on the same server as the gateway's claims, and its requests share one connection, so that they take
effect in the order in which they were made.
"""

from __future__ import annotations

from typing import Protocol

from gateway.claims import Claims

HEAD_OF_LINE_GRACE = 60.0
"""Seconds that the head of a sequence may be overdue. A member that was deferred later than that, and is back before the
head, skips it: delay queues are FIFO, so a head that was due first and has not come is lost."""


class Store(Claims, Protocol):
    """Claims, sequences of events that are handled one after another, and rate limits.

    ``complete`` is asked for, not waited for, like ``commit``.
    """

    async def take_turn(self, sequence: str, member: str) -> float:
        """Return 0 if it is the turn of ``member``, else the seconds until it is worth asking again.

        A new member joins at the end. Members are claim keys, and those that are done do not block. The head is given
        one lease to finish. One that is overdue is asked for less and less often: it waits in a queue that may be long.

        Raises:
            ClaimsUnavailable: The store did not answer.
        """

    async def defer(self, sequence: str, member: str, seconds: float | None) -> None:
        """Keep the place of ``member``, which comes back in ``seconds``; None if nobody needs to wait for it.

        Raises:
            ClaimsUnavailable: The store did not answer.
        """

    def complete(self, sequence: str, member: str) -> None:
        """Remove ``member``, so that the next one is at the head."""

    async def reserve(self, bucket: str, count: int, period: float, max_wait: float) -> float:
        """Return the seconds until one more event may begin, if at most ``count`` begin in any ``period`` seconds.

        A wait of up to ``max_wait`` seconds reserves that moment for the caller; a longer one reserves nothing.

        Raises:
            ClaimsUnavailable: The store did not answer.
        """
