"""The leases of a store in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.outbound.models import SHARDS
from gateway.outbound.store.answers import Lease, Share


@dataclass
class _Shard:
    owner: str = ""
    epoch: int = 0
    until: float = 0.0


class Leases:
    """Which process owns which shard."""

    def __init__(self) -> None:
        self._shards = [_Shard() for _ in range(SHARDS)]
        self._owners: dict[str, float] = {}

    def epoch(self, shard: int) -> int:
        """Return how often the owner of a shard changed."""
        return self._shards[shard].epoch

    def lease(self, owner: str, duration: float, want: int, now: float) -> list[Lease]:
        """Do what :meth:`gateway.outbound.store.Store.lease` says."""
        until = now + duration
        self._owners[owner] = until
        mine = [number for number, shard in enumerate(self._shards) if shard.owner == owner]
        self._free(owner, mine[want:])
        for number, shard in enumerate(self._shards):
            if len(mine) < want and shard.owner != owner and shard.until <= now:
                self._shards[number] = _Shard(owner, shard.epoch + 1)
                mine.append(number)
        for number in mine[:want]:
            self._shards[number].until = until
        return [Lease(number, self._shards[number].epoch, until) for number in sorted(mine[:want])]

    def release(self, owner: str, shards: Iterable[int] | None) -> None:
        """Do what :meth:`gateway.outbound.store.Store.release` says."""
        if shards is None:
            self._owners.pop(owner, None)
        self._free(owner, range(SHARDS) if shards is None else shards)

    def owners(self, now: float) -> int:
        """Return how many processes asked for a shard within the last lease."""
        return sum(until > now for until in self._owners.values())

    def shares(self, now: float) -> list[Share]:
        """Do what :meth:`gateway.outbound.store.Store.shares` says."""
        owned = [shard for shard in self._shards if shard.until > now]
        return [
            Share(owner, len(ends), min(ends))
            for owner in sorted({shard.owner for shard in owned})
            if (ends := [shard.until for shard in owned if shard.owner == owner])
        ]

    def _free(self, owner: str, shards: Iterable[int]) -> None:
        for number in shards:
            if self._shards[number].owner == owner:
                self._shards[number] = _Shard("", self._shards[number].epoch)
