"""What the gateway's claims are in Redis, read behind its back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import redis

from gateway.claims import DONE
from gateway.claims.generations import PREFIX, Generation, Place, group_of, parse, place_of


def _of(key: str, listing: dict[bytes, bytes]) -> list[tuple[Generation, bytes, Place]]:
    place = place_of(key)
    return [
        (generation, generation.key(group_of(key).encode(), generation.bucket(place.position)), place)
        for generation in parse(listing)
    ]


def list_key(key: str) -> bytes:
    """Return the key of the list of generations to which a claim belongs."""
    return PREFIX + group_of(key).encode()


def is_done(
    key: str, hash_at: Callable[[bytes], dict[bytes, bytes]], clock: Callable[[], float] = time.time
) -> bool:
    """Return whether a bucket has the claim. ``hash_at`` returns the hash under a key."""
    for generation, bucket, place in _of(key, hash_at(list_key(key))):
        value = hash_at(bucket).get(place.field)
        if value is not None and generation.remembers(value, clock()):
            return True
    return False


def value_of(store: redis.Redis, key: str) -> bytes:
    """Return the claim of an event: ``done`` if it is in a bucket, else what its key holds; empty without a claim."""
    hash_at: Any = store.hgetall
    if is_done(key, hash_at):
        return DONE
    value = store.get(key)
    found = value if isinstance(value, bytes) else b""
    return DONE if found.startswith(DONE) else found


def remove(store: redis.Redis, key: str) -> None:
    """Remove the claim of an event, in whatever form."""
    store.delete(key)
    hash_at: Any = store.hgetall
    for _, bucket, place in _of(key, hash_at(list_key(key))):
        store.hdel(bucket, place.field)
