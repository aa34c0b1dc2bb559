"""The port to what a worker's processes share: leases, turns in sequences, rate limits.

The store is on the same server as the gateway's claims, and its requests share one connection, so that they take
effect in the order in which they were made.
"""

from __future__ import annotations

from typing import Protocol

from gateway.claims import DONE, Claims

HEAD_OF_LINE_GRACE = 60.0
"""Seconds that the head of a sequence may be overdue. A member that was deferred later than that, and is back before the
head, skips it: delay queues are FIFO, so a head that was due first and has not come is lost."""


class Store(Claims, Protocol):
    """Claims, sequences of events that are handled one after another, and rate limits.

    ``complete`` is asked for, not waited for, like ``commit``.
    """

    async def result_of(self, key: str) -> str | None:
        """Return the ``content`` with which ``key`` was committed; None if it was committed without, or is not done.

        Raises:
            ClaimsUnavailable: The store did not answer.
        """

    async def take_turn(self, sequence: str, member: str) -> float:
        """Return 0 if it is the turn of ``member``, else the seconds until it is worth asking again.

        A new member joins at the end. Members are claim keys, and those that are done do not block. The head is given
        one lease to finish. One that is overdue is asked for less and less often: it waits in a queue that may be long.
        A sequence and its members have the same text in braces, so that a Redis Cluster keeps them on one node.

        Raises:
            ClaimsUnavailable: The store did not answer.
        """

    async def defer(self, sequence: str, member: str, seconds: float | None) -> None:
        """Keep the place of ``member``, due back in ``seconds``; None lets others pass it.

        Raises:
            ClaimsUnavailable: The store did not answer.
        """

    def complete(self, sequence: str, member: str) -> None:
        """Remove ``member``, so that the next one is at the head."""

    async def reserve(self, bucket: str, count: int, period: float, max_wait: float) -> float:
        """Return the seconds until one more may begin, at most ``count`` in any ``period`` seconds.

        A wait of up to ``max_wait`` seconds reserves that moment for the caller; a longer one reserves nothing.

        Raises:
            ClaimsUnavailable: The store did not answer.
        """


def result_in(value: bytes | None) -> str | None:
    """Return the content in the value under a key, if the key is done and has one."""
    prefix = DONE + b":"
    return value[len(prefix) :].decode() if value and value.startswith(prefix) else None
