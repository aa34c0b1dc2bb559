"""Which endpoints this process owns: leases of shards, renewed before they end."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import ceil

from gateway.outbound.ids import shard_of
from gateway.outbound.models import SHARDS
from gateway.outbound.store import Store

LEASE = 15.0
"""Seconds for which a process owns a shard. So long the deliveries of a process that died wait for their next owner."""

RENEW_INTERVAL = 5.0
"""Seconds between two renewals: two may fail before the lease ends."""


class Ownership:
    """The shards of one process.

    Args:
        store: Keeps the leases.
        owner: The name of this process, which no other one has.
        monotonic: Returns seconds that never go back: a clock that is set must not make a lease longer.
    """

    def __init__(self, store: Store, owner: str, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._owner = owner
        self._monotonic = monotonic
        self._epochs: dict[int, int] = {}
        self._ends_at = 0.0

    @property
    def shards(self) -> int:
        """The number of shards that this process owns at the moment."""
        return len(self._epochs) if self._monotonic() < self._ends_at else 0

    def epoch_of(self, endpoint: str) -> int | None:
        """Return the epoch of the lease of an endpoint's shard; None if this process does not own it at the moment."""
        return self.epoch_of_shard(shard_of(endpoint))

    def epoch_of_shard(self, shard: int) -> int | None:
        """Return the epoch of the lease of a shard; None if this process does not own it at the moment."""
        return self._epochs.get(shard) if self._monotonic() < self._ends_at else None

    async def renew(self, busy: Collection[int] = (), *, takes_more: bool = True) -> None:
        """Renew the leases, and take or give up shards so that all processes have as many.

        Args:
            busy: Shards with an attempt under way; they are given up last.
            takes_more: Whether to take shards that are free; not at the end of a process.

        Raises:
            StoreUnavailable: The leases could not be renewed; those that there are hold until they end.
        """
        began_at = self._monotonic()  # before the request: the lease may have begun then
        want = ceil(SHARDS / max(await self._store.owners(), 1)) if takes_more else len(self._epochs)
        if len(self._epochs) > want:
            await self.release(
                [each for each in self._epochs if each not in busy][: len(self._epochs) - want]
            )
            want = max(want, len(self._epochs))
        leases = await self._store.lease(self._owner, LEASE, want=want)
        self._epochs = {each.shard: each.epoch for each in leases}
        self._ends_at = began_at + LEASE

    async def release(self, shards: Collection[int] | None = None) -> None:
        """Give up shards, all unless some are named.

        Raises:
            StoreUnavailable: They could not be given up, and end by themselves.
        """
        gone = set(self._epochs) if shards is None else set(shards)
        self._epochs = {shard: epoch for shard, epoch in self._epochs.items() if shard not in gone}
        await self._store.release(self._owner, shards)

    @property
    def owned(self) -> Collection[int]:
        """The shards that this process has a lease of."""
        return self._epochs.keys()
