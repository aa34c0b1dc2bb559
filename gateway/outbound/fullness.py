"""Which endpoints have so much waiting that new deliveries to them are held.

The rows are counted every few seconds, and only those of endpoints that got a hundredth of their limit since, or are full.
Between two counts an endpoint may get somewhat more than its limit: so much more from each process that accepts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.outbound.directory import Directory
from gateway.outbound.models import Delivery, DeliveryState, OutboundMessage
from gateway.outbound.store import Store

COUNT_INTERVAL = 5.0
"""Seconds between two counts."""

_COUNTED_AFTER = 100
"""An endpoint is counted again after one in so many of the deliveries that may wait for it."""


class Fullness:
    """Knows about how many deliveries wait for each endpoint.

    Args:
        store: Counts them.
        directory: Knows how many may wait.
    """

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory
        self._pending: Counter[str] = Counter()
        self._counted: set[str] = set()
        self._uncounted: Counter[str] = Counter()  # what came since the last count

    def is_full(self, endpoint: str) -> bool:
        """Return whether new deliveries to an endpoint are held."""
        return self._pending[endpoint] >= self._directory.endpoints[endpoint].max_pending

    def note(self, accepted: Sequence[tuple[OutboundMessage, Sequence[Delivery]]]) -> None:
        """Count what was accepted just now."""
        for _, deliveries in accepted:
            for each in deliveries:
                if each.state is DeliveryState.PENDING:
                    self._pending[each.endpoint] += 1
                    self._uncounted[each.endpoint] += 1

    async def count(self) -> None:
        """Count again what waits for the endpoints that got much, or something for the first time, or are full.

        Raises:
            StoreUnavailable: It could not be counted; the numbers of before stay.
        """
        limits = self._directory.endpoints
        full = {
            each
            for each, number in self._pending.items()
            if each in limits and number >= limits[each].max_pending
        }
        changed = {
            each
            for each, number in self._uncounted.items()
            if each in limits
            and (each not in self._counted or number * _COUNTED_AFTER >= limits[each].max_pending)
        }
        wanted = sorted(changed | full)
        if not wanted:
            return
        most = max(limits[each].max_pending for each in wanted)
        found = await self._store.waiting(wanted, max_counted=most)
        self._counted.update(wanted)
        for each in wanted:
            self._uncounted.pop(each, None)
            self._pending[each] = found[each].pending if each in found else 0
