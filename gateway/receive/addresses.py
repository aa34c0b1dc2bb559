"""Addresses of clients: parsed as proxies write them, and grouped into what counts as one client."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IPNetwork = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_ADDRESS = re.compile(
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+)(?:%[^\]]*)?\]|(?P<v4>[0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
    r"|(?P<v6>[0-9A-Fa-f:.]+)(?:%.*)?"
)
"""An address as proxies write it: IPv6 with or without brackets and zone, each with or without a port."""


def parse_address(text: str) -> Address | None:
    """Parse an address as proxies write it; return None for anything else.

    An IPv4 address in IPv6 notation counts as IPv4. The names that RFC 7239 allows instead of an address, such as
    ``unknown`` or ``_hidden``, are no addresses.
    """
    match = _ADDRESS.fullmatch(text.strip(" \t").removeprefix('"').removesuffix('"'))
    if match is None:
        return None
    try:
        address = ip_address(match["bracketed"] or match["v4"] or match["v6"])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def network_of(client: str) -> str:
    """Return what counts as one client: the IPv4 address, or the /64 network of an IPv6 address.

    One machine usually owns a whole /64, and could otherwise appear as any number of clients.
    """
    address = parse_address(client)
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address or client)
