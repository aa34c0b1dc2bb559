"""What Redis has of an event."""

from __future__ import annotations

import redis

from gateway.claims import DONE, claim_key
from gateway.claims.packing import MIN_BITS, hash_key, place_of
from support.senders import Delivery


def value_of(store: redis.Redis, delivery: Delivery) -> bytes:
    """Return the claim of an event, without its content digest; empty without a claim.

    Finished ones are in the hashes that there are at first, or under keys of their own. As for the gateway, they count more
    than what is left of the lease.
    """
    key = claim_key(delivery.provider, delivery.event_id)
    number, field = place_of(key)
    if store.hexists(hash_key(MIN_BITS, number).decode(), field):
        return DONE
    value = store.get(key)
    found = value if isinstance(value, bytes) else b""
    return DONE if found.startswith(DONE) else found
