"""The endpoints, as every process that accepts or delivers holds them in memory."""

from __future__ import annotations

from gateway.outbound.matching import Matcher
from gateway.outbound.models import Endpoint, EndpointState, Health
from gateway.outbound.store import Store


class Directory:
    """All endpoints with their health. They are few: 1.5 KiB each.

    Args:
        store: Where they are kept.

    Attributes:
        endpoints: The endpoints by their ids.
        health: What is known of each, by its id. An owner knows more of its own.
        matcher: Finds the endpoints that want an event.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version: int | None = None
        self.endpoints: dict[str, Endpoint] = {}
        self.health: dict[str, Health] = {}
        self.matcher = Matcher(())

    async def refresh(self) -> bool:
        """Read the endpoints again if one of them has changed; return whether one has.

        Raises:
            StoreUnavailable: They could not be read; those of before stay.
        """
        version = await self._store.version()
        if version == self._version:
            return False
        found = await self._store.endpoints()
        self.endpoints = {endpoint.id: endpoint for endpoint, _ in found}
        self.health = {endpoint.id: health for endpoint, health in found}
        self.matcher = Matcher(self.endpoints.values())
        self._version = version
        return True

    def patterns(self) -> frozenset[str]:
        """Return the patterns of all endpoints."""
        return frozenset(
            pattern
            for endpoint in self.endpoints.values()
            for subscription in endpoint.subscriptions
            for pattern in subscription.events
        )

    def holds(self, endpoint: str) -> bool:
        """Return whether new deliveries to an endpoint are held, because it is disabled."""
        return self.health[endpoint].state is EndpointState.DISABLED
