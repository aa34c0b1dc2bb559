"""How often the keys of one provider are asked for, so that strangers cannot use up what genuine events need."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address, ip_network

from gateway.receive.access import TokenBucket
from gateway.signatures.schemes.fetched_keys import KeyRequest
from gateway.signatures.units import EventRate

NEW_NAMES = EventRate(5, 5.0)
"""How many keys are asked for under names that have verified nothing yet."""

NEW_NAMES_OF_AN_ADDRESS = EventRate(2, 10.0)
"""How many of them for requests from one address."""

RETRY_PAUSE = 1.0
"""Seconds between two questions for one key that was good before."""

MAX_ADDRESSES = 1024
"""Addresses whose questions are counted; when there are more, those that asked longest ago are forgotten."""

_IPV6_SITE = 64
"""Bits that addresses of one owner share."""

Name = tuple[str, str]
"""An address and what is asked for there: all of a question but the credentials."""


def name_of(request: KeyRequest) -> Name:
    """Name the key that is asked for, whichever credentials it is asked for with."""
    return request.url, request.key_id


class KeyBudget:
    """The questions that one provider is good for.

    A key that was good before is asked for whatever else is asked, though not without end. Names that anybody can
    make up share one budget, of which no address can use up more than a part.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked: dict[Name, float] = {}
        self._new = TokenBucket(NEW_NAMES, clock)
        self._by_address: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, request: KeyRequest, client: str) -> bool:
        """Take a question from the budget that it belongs to; return whether there was one left."""
        return self._take_known(name_of(request)) if request.is_known else self._take_new(client)

    def _take_known(self, name: Name) -> bool:
        now = self._clock()
        self._asked = {other: at for other, at in self._asked.items() if now - at < RETRY_PAUSE}
        if name in self._asked:
            return False
        self._asked[name] = now
        return True

    def _take_new(self, client: str) -> bool:
        address = _owner_of(client)
        bucket = self._by_address.pop(address, None) or TokenBucket(NEW_NAMES_OF_AN_ADDRESS, self._clock)
        self._by_address[address] = bucket
        if len(self._by_address) > MAX_ADDRESSES:
            self._by_address.popitem(last=False)
        if bucket.is_empty() or self._new.is_empty():
            return False
        bucket.take()
        self._new.take()
        return True


def _owner_of(client: str) -> str:
    """The address that counts: of IPv6 the network, since a single host has as many addresses as it likes."""
    try:
        address = ip_address(client)
    except ValueError:
        return client
    return client if address.version == 4 else str(ip_network((address, _IPV6_SITE), strict=False))
