"""Token buckets that all processes of all gateways share: a port."""

from __future__ import annotations

from typing import Protocol


class SharedBuckets(Protocol):
    """Buckets by name. Each is described by the time until it is full again, which passes by itself.

    What is charged to a bucket may be forgotten, for instance by a failover; nothing is charged twice.
    """

    @property
    def unavailable_reason(self) -> str:
        """Return why the buckets cannot be reached at the moment; empty if they can."""

    async def start(self) -> None:
        """Start connecting in the background."""

    async def stop(self) -> None:
        """Close the connection."""

    async def reload_certificates(self) -> None:
        """Connect anew if the files of TLS have changed. By default there are none."""
        return

    async def charge(self, bucket: str, seconds: float) -> float:
        """Add to the seconds until a bucket is full again, and return them.

        Raises:
            OSError: The buckets cannot be reached; nobody knows whether the time was added.
        """
