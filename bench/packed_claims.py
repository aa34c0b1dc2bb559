"""Packed claims on a Redis that is new, as on one that has been in use for days."""

from __future__ import annotations

from typing import Any

import redis

from gateway.claims import PENDING
from gateway.claims.packing import LAYOUT_KEY, with_bits

_SCAN_COUNT = 1000
"""Keys that are looked at in one command."""


def use_few_hashes(redis_url: str, bits: int) -> None:
    """Have the claims of a benchmark packed in ``2 ** bits`` hashes, which it fills as years fill thousands."""
    with redis.Redis.from_url(redis_url) as client:
        client.set(LAYOUT_KEY, with_bits(None, bits, 0))


def end_leases(client: redis.Redis) -> None:
    """Remove the keys of claims that are finished or abandoned: they end with their lease, half a minute later."""
    cursor = None
    while cursor != 0:
        cursor, keys = client.scan(cursor or 0, "whgw:1:*", _SCAN_COUNT)
        values: Any = client.mget(keys) if keys else []
        ended = [key for key, value in zip(keys, values, strict=True) if value and value.startswith(PENDING)]
        if ended:
            client.delete(*ended)
