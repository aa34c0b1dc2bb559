"""What the processes of a worker share: who handles an event, who is next in a line, and how much was begun lately.

Over the same servers as the gateway's claims, and by the same connection: what is asked for first is done first.
"""

from __future__ import annotations

from typing import Protocol

from gateway.claims import Claims

HEAD_OF_LINE_GRACE = 60.0
"""Seconds that the first of a line may be overdue. Whoever was put off after that, and is back before it, passes by:
queues keep their order, so that what was due earlier and still has not come is not there any more."""


class Store(Claims, Protocol):
    """Claims, lines of events that are handled one after another, and limits.

    ``leave`` is asked for, not waited for, like ``commit``.
    """

    async def stand(self, line: str, member: str) -> float:
        """Stand in ``line``, at its end if not in it yet; 0 when it is the turn of ``member``, else seconds to wait.

        Members are the keys of claims: who is done is not waited for. Who is first is awaited for a lease from now on.
        One that is overdue is looked for after as long as it is overdue: it waits in a queue that may be long.

        Raises:
            ClaimsUnavailable: the store did not answer.
        """

    async def defer(self, line: str, member: str, seconds: float | None) -> None:
        """``member`` keeps its place in ``line`` and comes again in so many seconds; None if nobody needs to wait for it.

        Raises:
            ClaimsUnavailable: the store did not answer.
        """

    def leave(self, line: str, member: str) -> None:
        """``member`` is done with, and the next one is first."""

    async def reserve(self, bucket: str, count: int, period: float, longest_wait: float) -> float:
        """Seconds until one more may begin in ``bucket``, so that no ``period`` has more than ``count`` beginnings.

        Up to ``longest_wait`` that moment is the caller's; beyond it, nothing was reserved.

        Raises:
            ClaimsUnavailable: the store did not answer.
        """
