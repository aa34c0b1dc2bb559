"""What trusted proxies say about a request: its client, and the address that the client called.

Sources: RFC 7239 (Forwarded), and the de facto X-Forwarded-For, -Proto and -Host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Literal

from gateway.observability.terminal import printable
from gateway.receive.addresses import Address, IPNetwork, parse_address
from gateway.signatures.request import Headers

_MAX_KNOWN_PEERS = 256
"""Peer addresses for which it is remembered whether they are proxies."""

_MAX_HOPS = 32
"""Entries of X-Forwarded-For or Forwarded that are read; no request passes through as many proxies."""

_MAX_PARAMETERS = 256
"""Parameters of a Forwarded field; one with more is not read, since anybody can send one."""

_MAX_REQUEST_ID = 128
"""Characters of a request id that are logged; a UUID has 36."""

_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = re.compile(rf"""[ \t]*+(?:({_NAME})=(?:([^"\\ \t;,]++)|"((?:[^"\\]|\\.)*+)"))?[ \t]*+(;|,|$)""")
"""A parameter of Forwarded and its separator (RFC 7239, section 4), with unquoted colons and brackets allowed."""

Form = Literal["x-forwarded", "forwarded"]
"""The header fields that the proxies write: X-Forwarded-For, -Proto and -Host, or Forwarded."""


class TrustedProxies:
    """The proxies that are believed about a request's client and address.

    Args:
        trusted: their networks.
        form: the header fields that they write. Clients can write the other form, and proxies pass that on.

    Attributes:
        exist: whether there are any.
        include: returns whether the address of a connection belongs to a trusted proxy.
    """

    def __init__(self, trusted: Sequence[IPNetwork], form: Form = "x-forwarded") -> None:
        self._trusted = tuple(trusted)
        self.exist = bool(self._trusted)
        self._is_standard = form == "forwarded"
        self.include = lru_cache(_MAX_KNOWN_PEERS)(self._include)

    def client_of(self, peer: str, headers: Headers) -> str:
        """Return the address of the client: the peer, or what trusted proxies say; empty if they name none that is valid.

        A proxy that says nothing, such as one that checks our health, is the client itself.

        The entries are read from the end, where the nearest proxy writes, for as long as they are proxies
        themselves. Everything before that could have been written by the client.
        """
        if not self._trusted or not self.include(peer):
            return peer
        hops = _forwarded_hops(headers) if self._is_standard else _listed_hops(headers)
        for hop in islice(hops, _MAX_HOPS):
            address = parse_address(hop)
            if not self._trusts(address):
                return str(address) if address else self._unnamed(peer, headers)
        return peer

    def origin_of(self, peer: str, headers: Headers) -> tuple[str, str] | None:
        """Return the scheme and host that the client called, as the nearest proxy says; None unless it says both."""
        if not self._trusted or not self.include(peer):
            return None
        if self._is_standard:
            nearest = next(_forwarded(headers), {})
            scheme, host = nearest.get("proto", "").lower(), nearest.get("host", "")
        else:
            scheme, host = _last(headers, b"x-forwarded-proto").lower(), _last(headers, b"x-forwarded-host")
        return (scheme, host) if scheme in {"http", "https"} and _HOST.fullmatch(host) else None

    def request_id_of(self, headers: Headers | None) -> str | None:
        """Return X-Request-Id for the log; None if it is absent. A client that avoids the proxies can write it too."""
        if headers is None or b"x-request-id" not in headers:
            return None
        return printable(headers.all(b"x-request-id")[-1].decode("latin-1")[:_MAX_REQUEST_ID])

    def _unnamed(self, peer: str, headers: Headers) -> str:
        name = b"forwarded" if self._is_standard else b"x-forwarded-for"
        return "" if name in headers else peer

    def _include(self, peer: str) -> bool:
        return self._trusts(parse_address(peer))

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def _listed_hops(headers: Headers) -> Iterator[str]:
    """Yield the entries of X-Forwarded-For, the last one first."""
    entries = b",".join(headers.all(b"x-forwarded-for")).rsplit(b",", _MAX_HOPS)
    return (entry.decode("latin-1") for entry in reversed(entries))


def _forwarded_hops(headers: Headers) -> Iterator[str]:
    """Yield the clients that Forwarded names, the last one first; an empty text for an element without one."""
    is_empty = True
    for element in _forwarded(headers):
        is_empty = False
        yield element.get("for", "")
    if is_empty:
        yield ""


def _forwarded(headers: Headers) -> Iterator[dict[str, str]]:
    """Yield the elements of Forwarded, the last one first; an empty one for a field that breaks RFC 7239.

    Each field is parsed by itself and from its beginning: a quotation mark decides what is a separator, and a mark
    that the client left open in its own field must not reach the proxy's.
    """
    for field in reversed(headers.all(b"forwarded")):
        yield from reversed(_elements(field.decode("latin-1")))


def _elements(field: str) -> list[dict[str, str]]:
    if field.count(",") + field.count(";") > _MAX_PARAMETERS:
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


def _last(headers: Headers, name: bytes) -> str:
    """Return the last entry of a list field, or an empty text."""
    return b",".join(headers.all(name)).rpartition(b",")[2].strip().decode("latin-1")
