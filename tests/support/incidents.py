"""The numbers of a provider, for tests that ask what was counted."""

from __future__ import annotations

from collections import Counter

from gateway.observability.counters import Incident, ProviderMetrics, shared_counters


class Incidents(ProviderMetrics):
    """Numbers of which the incidents can be read.

    Attributes:
        seen: how often each was counted.
    """

    def __init__(self) -> None:
        super().__init__(shared_counters(1).regions[0].of_provider(""))
        self.seen: Counter[Incident] = Counter()

    def count(self, incident: Incident) -> None:
        """See :class:`gateway.observability.counters.ProviderMetrics`."""
        self.seen[incident] += 1
