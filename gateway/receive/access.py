"""Access control: who may send to a provider, and how much. Decided on the head of a request, before its body."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from gateway.errors import IpNotAllowed, RateLimited
from gateway.receive.addresses import IPNetwork, network_of, parse_address
from gateway.signatures.units import EventRate
from gateway.transport.token_bucket import TokenBucket

_HANDSHAKES = EventRate(20, 4.0)
"""The handshakes that a client may send: 5 per second in bursts of 20. Providers send a few a day."""

_MAX_HANDSHAKE_CLIENTS = 1024
"""Clients whose handshakes are counted at the same time; beyond that the least recent one is forgotten."""


class AccessControl:
    """Lets requests to one provider in, or refuses them.

    Args:
        allow_ips: the networks that the provider sends from; empty to allow any.
        bucket: the verified events beyond which the provider has to wait; None for no limit.
        clock: seconds on a monotonic clock.
    """

    def __init__(
        self,
        allow_ips: Sequence[IPNetwork] = (),
        bucket: TokenBucket | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = tuple(allow_ips)
        self._bucket = bucket
        self._clock = clock
        self._proven_handshakes = TokenBucket(_HANDSHAKES, clock)
        self._handshakes: OrderedDict[str, TokenBucket] = OrderedDict()  # by client, the most recent one last

    def check(self, client: str) -> None:
        """Let a request of ``client`` in.

        Raises:
            IpNotAllowed: the client is in none of the allowed networks.
            RateLimited: the provider has used up its rate.
        """
        if self._allowed:
            address = parse_address(client)
            if address is None or not any(address in network for network in self._allowed):
                raise IpNotAllowed
        if self._bucket and self._bucket.is_empty():
            raise RateLimited

    def count_verified(self) -> None:
        """Count a verified request towards the rate. If forgeries counted, a forger could lock the provider out."""
        if self._bucket:
            self._bucket.take()

    def count_handshake(self, client: str) -> None:
        """Count a handshake that anyone could have sent, whether it was answered or refused.

        Each client has a limit of its own, so that others cannot use up the provider's.

        Raises:
            RateLimited: this client has sent too many.
        """
        client = network_of(client)
        bucket = self._handshakes.pop(client, None) or TokenBucket(_HANDSHAKES, self._clock)
        self._handshakes[client] = bucket
        if len(self._handshakes) > _MAX_HANDSHAKE_CLIENTS:
            self._handshakes.popitem(last=False)
        _take_handshake(bucket)

    @property
    def handshake_clients(self) -> int:
        """The number of clients whose handshakes are counted."""
        return len(self._handshakes)

    def count_proven_handshake(self) -> None:
        """Count a handshake that is signed or carries the token, as only the provider's can.

        Raises:
            RateLimited: the provider has sent too many.
        """
        _take_handshake(self._proven_handshakes)


def _take_handshake(bucket: TokenBucket) -> None:
    if bucket.is_empty():
        raise RateLimited("too many handshakes")
    bucket.take()
