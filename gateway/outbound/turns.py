"""Turns: which endpoint sends next. Tenants take turns, and among them their endpoints."""

from __future__ import annotations

from collections import OrderedDict


class Turns:
    """The endpoints that have something to send, in the order of their turns.

    However many endpoints a tenant has, and however much waits for one of them, the next tenant has its turn after one
    attempt.
    """

    def __init__(self) -> None:
        self._tenants: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    def add(self, tenant: str, endpoint: str) -> None:
        """Let an endpoint take turns, after the others of its tenant; one that does so already keeps its place."""
        self._tenants.setdefault(tenant, OrderedDict()).setdefault(endpoint)

    def discard(self, tenant: str, endpoint: str) -> None:
        """Let an endpoint take no turns."""
        if endpoints := self._tenants.get(tenant):
            endpoints.pop(endpoint, None)
            if not endpoints:
                del self._tenants[tenant]

    def next(self) -> str | None:
        """Return the endpoint whose turn it is, and move it and its tenant behind the others; None if there is none."""
        if not self._tenants:
            return None
        tenant, endpoints = next(iter(self._tenants.items()))
        endpoint = next(iter(endpoints))
        self._tenants.move_to_end(tenant)
        endpoints.move_to_end(endpoint)
        return endpoint

    def __len__(self) -> int:
        """Return the number of endpoints that take turns."""
        return sum(map(len, self._tenants.values()))

    def __bool__(self) -> bool:
        """Return whether anyone takes turns."""
        return bool(self._tenants)
