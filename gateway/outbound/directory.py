"""The endpoints, as every process that accepts or delivers holds them in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.outbound.matching import Matcher
from gateway.outbound.models import Endpoint, EndpointState, Health
from gateway.outbound.store import Store

NOTICES = "gateway."
"""The beginning of the routing keys of what the gateway itself tells."""


class Directory:
    """All endpoints with their health. They are few: 1.5 KiB each.

    Args:
        store: Where they are kept.

    Attributes:
        endpoints: The endpoints by their ids.
        health: What is known of each, by its id. An owner knows more of its own.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version: int | None = None
        self.endpoints: dict[str, Endpoint] = {}
        self.health: dict[str, Health] = {}
        self._matcher = Matcher(())

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
        self._matcher = Matcher(self.endpoints.values())
        self._version = version
        return True

    def wanting(self, key: str, tenant: str, event: Callable[[], Any]) -> list[Endpoint]:
        """Return the endpoints of a tenant that want an event.

        Args:
            key: Its routing key. Notices of the gateway are only for endpoints that name them.
            tenant: Its tenant.
            event: Returns the parsed event; it is called only if a condition has to be asked.
        """
        found = [match.endpoint for match in self._matcher.match(tenant, key, event)]
        return [each for each in found if _names_notices(each)] if key.startswith(NOTICES) else found

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


def _names_notices(endpoint: Endpoint) -> bool:
    return any(
        pattern.startswith(NOTICES)
        for subscription in endpoint.subscriptions
        for pattern in subscription.events
    )
