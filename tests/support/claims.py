"""What Redis has of an event."""

from __future__ import annotations

import redis

from gateway.claims import DONE, claim_key
from gateway.claims.packing import MIN_BITS, hash_key, place_of
from support.senders import Delivery


def hash_of(key: str) -> str:
    """Return the name of the hash in which a claim is packed, among those that there are at first."""
    return hash_key(MIN_BITS, place_of(key)[0]).decode()


def is_packed(store: redis.Redis, key: str) -> bool:
    """Return whether a claim is finished, and packed."""
    return bool(store.hexists(hash_of(key), place_of(key)[1]))


def value_of(store: redis.Redis, delivery: Delivery) -> bytes:
    """Return the claim of an event, without its content digest; empty without a claim.

    Finished ones are packed, or under keys of their own. As for the gateway, they count more than what is left of the lease.
    """
    key = claim_key(delivery.provider, delivery.event_id)
    if is_packed(store, key):
        return DONE
    value = store.get(key)
    found = value if isinstance(value, bytes) else b""
    return DONE if found.startswith(DONE) else found
