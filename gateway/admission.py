"""Who may send to a provider at all, and how much: decided on the head of a request, before its body is read."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.errors import IpNotAllowed, RateLimited
from providers import Headers
from providers.units import EventRate

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_HANDSHAKES = EventRate(20, 4.0)  # 5 a second, and 20 at a time; senders greet a few times a day

_MOST_HOPS = 32
"""Entries of X-Forwarded-For that are looked at; no request passes as many proxies."""


_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_FORWARDED = re.compile(r"""(?:^|[;,])[ \t]*(proto|host)="?([^;," \t]*)"?""", re.IGNORECASE)


class Proxies:
    """The proxies whose word on where a request comes from, and where to, is taken.

    Args:
        trusted: their networks.
    """

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = tuple(trusted)

    def client_of(self, peer: str, headers: Headers) -> str:
        """The address of the sender: the peer, or what trusted proxies say of it.

        X-Forwarded-For is read from its end, where the nearest proxy writes, as far as its entries are proxies
        themselves; everything before that the sender could have written. Empty when it cannot be told.
        """
        if not self._trusted or not self._trusts(_parse(peer)):
            return peer
        hops = b",".join(headers.all(b"x-forwarded-for")).split(b",")[-_MOST_HOPS:]
        for hop in reversed(hops):
            address = _parse(hop.strip().decode("latin-1"))
            if not self._trusts(address):
                return str(address or "")
        return peer

    def origin_of(self, peer: str, headers: Headers) -> tuple[str, str]:
        """The scheme and the host that the sender called: as they arrived, or what a trusted peer says of them.

        Of several proxies the nearest one is asked. What it says stands at the end of Forwarded, or in
        X-Forwarded-Proto and X-Forwarded-Host.
        """
        scheme, host = "http", _last(headers, b"host")
        if self._trusted and self._trusts(_parse(peer)):
            told = {name.lower(): value for name, value in _FORWARDED.findall(_last(headers, b"forwarded"))}
            proto = (told.get("proto") or _last(headers, b"x-forwarded-proto")).lower()
            scheme = proto if proto in {"http", "https"} else scheme
            name = told.get("host") or _last(headers, b"x-forwarded-host")
            host = name if _HOST.fullmatch(name) else host
        return scheme, host

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


class Admission:
    """What one provider lets in.

    Args:
        allow_ips: the networks that it sends from; empty for all.
        rate: verified events beyond which it has to wait; None for any number.
        clock: seconds on a steady clock.
    """

    def __init__(
        self,
        allow_ips: Sequence[Network] = (),
        rate: EventRate | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = tuple(allow_ips)
        self._bucket = Bucket(rate, clock) if rate else None
        self._handshakes = Bucket(_HANDSHAKES, clock)

    def check(self, client: str) -> None:
        """Let a request in.

        Raises:
            IpNotAllowed: it comes from elsewhere.
            RateLimited: the provider has sent too much.
        """
        if self._allowed:
            address = _parse(client)
            if address is None or not any(address in network for network in self._allowed):
                raise IpNotAllowed
        if self._bucket and self._bucket.is_empty():
            raise RateLimited

    def note_verified(self) -> None:
        """Count an event towards the rate. Only verified ones, or a forger could keep the sender out."""
        if self._bucket:
            self._bucket.take()

    def note_handshake(self) -> None:
        """Count a handshake, which most often nobody has proven to come from the sender.

        Raises:
            RateLimited: there were too many.
        """
        if self._handshakes.is_empty():
            raise RateLimited("too many handshakes")
        self._handshakes.take()


class Bucket:
    """A token bucket that may be overdrawn by what was let in before it was empty."""

    def __init__(self, rate: EventRate, clock: Callable[[], float]) -> None:
        self._capacity = float(rate.events)
        self._per_second = rate.events / rate.seconds
        self._clock = clock
        self._level = self._capacity
        self._filled_at = clock()

    def is_empty(self) -> bool:
        """Whether nothing is left to be taken."""
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        return self._level < 1

    def take(self) -> None:
        """Take one."""
        self._level -= 1


def _last(headers: Headers, name: bytes) -> str:
    """The last entry of a field that is a list; empty where there is none."""
    return b",".join(headers.all(name)).rpartition(b",")[2].strip().decode("latin-1")


def _parse(text: str) -> Address | None:
    """An address; one of IPv4 that is written as IPv6 counts as of IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
