"""The numbers of a provider, for tests that ask what was counted."""

from __future__ import annotations

from collections import Counter

from typing_extensions import override

from gateway.observability.counters import Incident, ProviderMetrics, shared_counters


class Incidents(ProviderMetrics):
    """A provider's counters that record each incident.

    Attributes:
        seen: how often each was counted.
    """

    def __init__(self) -> None:
        super().__init__(shared_counters(1).regions[0].of_provider(""))
        self.seen: Counter[Incident] = Counter()

    @override
    def count(self, incident: Incident) -> None:
        self.seen[incident] += 1
