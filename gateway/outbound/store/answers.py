"""What a store answers about itself, its owners and what waits."""

from __future__ import annotations

from typing import NamedTuple


class Lease(NamedTuple):
    """A shard that a process owns.

    Attributes:
        shard: The shard, from 0.
        epoch: Grows with each change of the owner; what an earlier owner records is refused.
        until: When it ends, in Unix seconds of the database's clock.
    """

    shard: int
    epoch: int
    until: float


class Share(NamedTuple):
    """What a process owns.

    Attributes:
        owner: The process: its machine, its number, and a few letters of its own.
        shards: How many shards.
        until: When the first of its leases ends, in Unix seconds of the database's clock.
    """

    owner: str
    shards: int
    until: float


class Tables(NamedTuple):
    """The version of a database's tables.

    Attributes:
        found: The version that they have; 0 if there are none.
        wanted: The version that this program needs.
    """

    found: int
    wanted: int


class Waiting(NamedTuple):
    """What waits for an endpoint.

    Attributes:
        pending: Pending deliveries.
        held: Held deliveries.
        dead: Dead deliveries that are still kept.
        oldest: When the oldest pending delivery was accepted, in Unix seconds; None if there is none.
        next_due: When the next pending delivery is due; None if there is none.
    """

    pending: int = 0
    held: int = 0
    dead: int = 0
    oldest: float | None = None
    next_due: float | None = None
