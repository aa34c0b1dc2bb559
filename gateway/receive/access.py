"""Who may send to a provider at all, and how much: decided on the head of a request, before its body is read."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from itertools import islice
from typing import Literal

from gateway.errors import IpNotAllowed, RateLimited
from gateway.signatures.request import Headers
from gateway.signatures.units import EventRate

IPNetwork = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_HANDSHAKES = EventRate(20, 4.0)  # 5 a second, and 20 at a time; senders greet a few times a day

_MOST_GREETERS = 1024
"""Clients whose handshakes are counted at a time."""

_KNOWN_PEERS = 256
"""Addresses of connections that are remembered to be proxies or none."""

_MOST_HOPS = 32
"""Entries of X-Forwarded-For or Forwarded that are looked at; no request passes as many proxies."""

_MOST_PARAMETERS = 256
"""Parameters of a field Forwarded beyond which it is not read."""

_ADDRESS = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)(?:%[^\]]*)?\]|(?P<v4>[0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
    r"|(?P<v6>[0-9A-Fa-f:.]+)(?:%.*)?"
)
"""An address as proxies write it: IPv6 in brackets or without, with a zone or without, a port behind it or none."""

_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = re.compile(rf"""[ \t]*+(?:({_NAME})=(?:([^"\\ \t;,]++)|"((?:[^"\\]|\\.)*+)"))?[ \t]*+(;|,|$)""")
"""A parameter of Forwarded (RFC 7239, section 4), as far as its separator. Colons and brackets need no quotes here."""

Form = Literal["x-forwarded", "forwarded"]
"""Which header fields proxies write: X-Forwarded-For, -Proto and -Host, or Forwarded (RFC 7239)."""


class TrustedProxies:
    """The proxies whose word on where a request comes from, and where to, is taken.

    Args:
        trusted: their networks.
        form: which header fields they write. Senders can write the others, and proxies pass those on.

    Attributes:
        include: tells whether the address of a connection is that of a trusted proxy.
    """

    def __init__(self, trusted: Sequence[IPNetwork], form: Form = "x-forwarded") -> None:
        self._trusted = tuple(trusted)
        self._is_standard = form == "forwarded"
        self.include = lru_cache(_KNOWN_PEERS)(self._include)

    def client_of(self, peer: str, headers: Headers) -> str:
        """The address of the sender: the peer, or what trusted proxies say of it.

        What they say is read from its end, where the nearest proxy writes, as far as its entries are proxies
        themselves; everything before that the sender could have written. Empty when it cannot be told.
        """
        if not self._trusted or not self.include(peer):
            return peer
        hops = _forwarded_hops(headers) if self._is_standard else _listed_hops(headers)
        for hop in islice(hops, _MOST_HOPS):
            address = _parse(hop)
            if not self._trusts(address):
                return str(address or "")
        return peer

    def origin_of(self, peer: str, headers: Headers) -> tuple[str, str] | None:
        """The scheme and the host that the sender called, as a trusted peer says; None unless it says both.

        Of several proxies the nearest one is asked, whose word stands at the end.
        """
        if not self._trusted or not self.include(peer):
            return None
        if self._is_standard:
            told = next(_forwarded(headers), {})
            scheme, host = told.get("proto", "").lower(), told.get("host", "")
        else:
            scheme, host = _last(headers, b"x-forwarded-proto").lower(), _last(headers, b"x-forwarded-host")
        return (scheme, host) if scheme in {"http", "https"} and _HOST.fullmatch(host) else None

    def _include(self, peer: str) -> bool:
        return self._trusts(_parse(peer))

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def _listed_hops(headers: Headers) -> Iterator[str]:
    """The entries of X-Forwarded-For, the last one first."""
    entries = b",".join(headers.all(b"x-forwarded-for")).rsplit(b",", _MOST_HOPS)
    return (entry.decode("latin-1") for entry in reversed(entries))


def _forwarded_hops(headers: Headers) -> Iterator[str]:
    """The senders that Forwarded names, the last one first; a text that is no address where one is not named."""
    some = False
    for element in _forwarded(headers):
        some = True
        yield element.get("for", "")
    if not some:
        yield ""


def _forwarded(headers: Headers) -> Iterator[dict[str, str]]:
    """The elements of Forwarded, the last one first; an empty one where a field is not as RFC 7239 has it.

    Each field is read from its beginning, since a quotation mark says what is a separator, and each by itself: what
    a sender left open in a field of its own reaches no other.
    """
    for field in reversed(headers.all(b"forwarded")):
        yield from reversed(_elements(field.decode("latin-1")))


def _elements(field: str) -> list[dict[str, str]]:
    if field.count(",") + field.count(";") > _MOST_PARAMETERS:
        return [{}]
    elements: list[dict[str, str]] = [{}]
    position = 0
    while match := _PAIR.match(field, position):
        name, plain, quoted, separator = match.groups()
        if name:
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            if name.lower() in elements[-1]:  # one of the two is not the proxy's
                break
            elements[-1][name.lower()] = value
        if not separator:
            return elements
        if separator == ",":
            elements.append({})
        position = match.end()
    return [{}]


class AccessControl:
    """What one provider lets in.

    Args:
        allow_ips: the networks that it sends from; empty for all.
        rate: verified events beyond which it has to wait; None for any number.
        clock: seconds on a steady clock.
    """

    def __init__(
        self,
        allow_ips: Sequence[IPNetwork] = (),
        rate: EventRate | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = tuple(allow_ips)
        self._bucket = TokenBucket(rate, clock) if rate else None
        self._clock = clock
        self._proven_handshakes = TokenBucket(_HANDSHAKES, clock)
        self._handshakes: OrderedDict[str, TokenBucket] = OrderedDict()  # by client, the latest one last

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

    def reset_failures(self) -> None:
        """Count an event towards the rate. Only verified ones, or a forger could keep the sender out."""
        if self._bucket:
            self._bucket.take()

    def note_handshake(self, client: str) -> None:
        """Count a handshake that anybody could have sent, be it answered or refused.

        Each client has its own number of them, so that strangers cannot use up those of the sender.

        Raises:
            RateLimited: this client has sent too many.
        """
        client = network_of(client)
        bucket = self._handshakes.pop(client, None) or TokenBucket(_HANDSHAKES, self._clock)
        self._handshakes[client] = bucket
        if len(self._handshakes) > _MOST_GREETERS:
            self._handshakes.popitem(last=False)
        _take_handshake(bucket)

    def note_proven_handshake(self) -> None:
        """Count a handshake that is signed or has shown the token, which no stranger has.

        Raises:
            RateLimited: there were too many.
        """
        _take_handshake(self._proven_handshakes)


class TokenBucket:
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


def _take_handshake(bucket: TokenBucket) -> None:
    if bucket.is_empty():
        raise RateLimited("too many handshakes")
    bucket.take()


def _last(headers: Headers, name: bytes) -> str:
    """The last entry of a field that is a list; empty where there is none."""
    return b",".join(headers.all(name)).rpartition(b",")[2].strip().decode("latin-1")


def network_of(client: str) -> str:
    """What counts as one client: an address, or of IPv6 the network of 64 bits, of which one machine has all."""
    address = _parse(client)
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address or client)


def _parse(text: str) -> Address | None:
    """An address in any of the ways that proxies write it; one of IPv4 that is written as IPv6 counts as of IPv4.

    Names instead of addresses, such as ``unknown`` or ``_hidden`` of RFC 7239, are none.
    """
    match = _ADDRESS.fullmatch(text.strip(" \t").removeprefix('"').removesuffix('"'))
    if match is None:
        return None
    try:
        address = ip_address(match["bracketed"] or match["v4"] or match["v6"])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
