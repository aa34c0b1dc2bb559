"""How often the keys of one provider are fetched, so that forgeries cannot use up what genuine events need."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from gateway.receive.addresses import network_of
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.units import EventRate
from gateway.transport.token_bucket import TokenBucket

NEW_NAMES = EventRate(5, 5.0)
"""Fetches of keys under names that have verified nothing yet: 5 in 5 seconds."""

NEW_NAMES_OF_AN_ADDRESS = EventRate(2, 10.0)
"""Such fetches for requests from one address: 2 in 10 seconds."""

RETRY_PAUSE = 1.0
"""Seconds between two fetches of one key that was good before."""

MAX_ADDRESSES = 1024
"""Addresses whose fetches are counted; beyond that the least recent one is forgotten."""

KeyName = tuple[str, str]
"""The URL of a key, and its id there: a key request without its credentials."""


def name_of(request: KeyRequest) -> KeyName:
    """Return the name of the requested key, which does not depend on the credentials."""
    return request.url, request.key_id


class KeyBudget:
    """The fetches that one provider's keys may cost.

    A key that was good before is fetched whatever else is fetched, though not at any rate. Names that anyone can
    make up share one budget, of which one address can use up only a part.

    Args:
        clock: seconds on a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._fetched: dict[KeyName, float] = {}
        self._new = TokenBucket(NEW_NAMES, clock)
        self._by_address: OrderedDict[str, TokenBucket] = OrderedDict()

    @property
    def addresses(self) -> int:
        """The number of addresses whose fetches are counted."""
        return len(self._by_address)

    def take(self, request: KeyRequest, client: str) -> bool:
        """Charge a fetch to the budget it belongs to; return whether there was any left."""
        return self._take_known(name_of(request)) if request.is_known else self._take_new(client)

    def _take_known(self, name: KeyName) -> bool:
        now = self._clock()
        self._fetched = {other: at for other, at in self._fetched.items() if now - at < RETRY_PAUSE}
        if name in self._fetched:
            return False
        self._fetched[name] = now
        return True

    def _take_new(self, client: str) -> bool:
        address = network_of(client)
        bucket = self._by_address.pop(address, None) or TokenBucket(NEW_NAMES_OF_AN_ADDRESS, self._clock)
        self._by_address[address] = bucket
        if len(self._by_address) > MAX_ADDRESSES:
            self._by_address.popitem(last=False)
        if bucket.is_empty() or self._new.is_empty():
            return False
        bucket.take()
        self._new.take()
        return True
