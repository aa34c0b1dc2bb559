"""Which URLs and addresses endpoints may have. A request to anywhere else would let outsiders reach what only this host can.

Two pure functions decide: :func:`judge_url` about a URL as it was written, and :func:`judge_address` about each address of its
name. Both run when an endpoint is made and before each attempt, the second once more about the peer of the connection.

The grammar is our own and narrower than RFC 3986. `urlsplit` drops tabs and line feeds, and reads a host before a backslash
otherwise than browsers do; `ipaddress.is_global` is true for the private addresses that an IPv6 address can wrap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

MAX_URL = 2048
"""The longest URL in characters."""

MAX_ADDRESSES = 32
"""The most addresses that a name may have. Names of real services have a handful."""

_MAX_HOST = 253
"""The longest name in characters, by RFC 1035."""

_PORTS = frozenset({443, 8443})
"""The ports that need no setting."""

_HTTP_PORT = 80
"""The one more port that needs no setting where `http://` is allowed."""

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:\[(?P<v6>[0-9a-f:.]{2,45})\]|(?P<host>[a-z0-9.-]+))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    # A query has to follow a path: some parsers take what precedes an @ in it for a user.
    r"(?P<target>/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?)?"
)
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_IPV4 = re.compile(r"(?:(?:0|[1-9][0-9]{0,2})\.){3}(?:0|[1-9][0-9]{0,2})")

_SPECIAL_NAMES = frozenset(
    {
        "alt", "arpa", "cluster", "consul", "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local",
        "localdomain", "localhost", "mail", "onion", "private", "svc", "test",
    }
)  # fmt: skip
"""Top-level names that lead to no public host: RFC 6761, RFC 9476, ICANN's `internal`, and what private networks use."""


def _networks4(text: str) -> tuple[IPv4Network, ...]:
    return tuple(map(IPv4Network, text.split()))


def _networks6(text: str) -> tuple[IPv6Network, ...]:
    return tuple(map(IPv6Network, text.split()))


_REFUSED4 = _networks4(
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
    "192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 "
    "203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
)
"""The special-purpose addresses of the IANA registry, multicast, and Azure's host."""

_PUBLIC6 = IPv6Network("2000::/3")
_REFUSED6 = _networks6("2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20")
"""Parts of the public IPv6 space that are special, or wrap an IPv4 address."""

_OPENABLE4 = _networks4("10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 172.16.0.0/12 192.168.0.0/16 198.18.0.0/15")
_OPENABLE6 = _networks6("::1/128 fc00::/7")
"""What the operator may open with ``allow_networks``, but for :data:`_METADATA4` and :data:`_METADATA6`."""

_METADATA4 = _networks4("100.100.100.200/32")
_METADATA6 = _networks6("fd00:ec2::/32 fd20:ce::/32")
"""Services of clouds in private networks that give out credentials: Alibaba's, Amazon's and Google's. They stay shut."""


class AddressRefused(ValueError):
    """Raised for a URL or an address that an endpoint must not have. The text says why, and quotes no path or query."""


@dataclass(
    frozen=True, slots=True, eq=False
)  # compared for every judgment, which costs as much as the judgment
class AddressRules:
    """What an operator allows and forbids.

    Attributes:
        allow_http: Whether `http://` is allowed.
        ports: Allowed ports besides 443 and 8443, and 80 for `http://`.
        allow_networks: Private networks that endpoints may be in.
        allow_hosts: If there are any, the only hosts that endpoints may have: `hooks.acme.com`, or `*.acme.com` for all names
            below it. A host that is written out may also be a name that only the own network knows.
        own_hosts: The gateway's public names. An endpoint there would be sent its own events.
    """

    allow_http: bool = False
    ports: frozenset[int] = frozenset()
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    allow_hosts: frozenset[str] = frozenset()
    own_hosts: frozenset[str] = frozenset()


class Target(NamedTuple):
    """Where a URL leads.

    Attributes:
        is_https: Whether the connection is encrypted.
        host: The name, or the address without brackets.
        port: The port.
        address: The address if the host is one; else None, and the name has to be looked up.
    """

    is_https: bool
    host: str
    port: int
    address: IPv4Address | IPv6Address | None


@lru_cache(4096)
def judge_url(url: str, rules: AddressRules) -> Target:
    """Return where a URL leads.

    Raises:
        AddressRefused: An endpoint must not have this URL.
    """
    if len(url) > MAX_URL:
        raise AddressRefused(f"has more than {MAX_URL} characters")
    match = _URL.fullmatch(url)
    if match is None:
        raise AddressRefused(_explain(url))
    is_https = match["scheme"] == "https"
    if not is_https and not rules.allow_http:
        raise AddressRefused("is http://; endpoints need https://, unless outbound.allow_http is on")
    port = int(match["port"] or (443 if is_https else _HTTP_PORT))
    if port not in _PORTS and port not in rules.ports and (is_https or port != _HTTP_PORT):
        raise AddressRefused(f"has the port {port}; endpoints may have 443, 8443 and those of outbound.ports")
    address = _v6(match["v6"]) if match["v6"] else _v4(match["host"])
    host = match["v6"] or match["host"]
    if address is None:
        _check_name(host, rules)
    elif rules.allow_hosts and host not in rules.allow_hosts:
        raise AddressRefused(f"has the host {host}, which is not in outbound.allow_hosts")
    else:
        judge_address(str(address), rules)
    return Target(is_https, host, port, address)


@lru_cache(4096)
def judge_address(text: str, rules: AddressRules) -> None:
    """Check the address of a host, in the spelling of the operating system.

    Raises:
        AddressRefused: An endpoint must not be there.
    """
    try:
        address = IPv6Address(text) if ":" in text else IPv4Address(text)
    except AddressValueError:
        raise AddressRefused("has an address that cannot be read") from None
    if isinstance(address, IPv4Address):
        is_public = not any(address in network for network in _REFUSED4)
        is_openable = _is_in(address, _OPENABLE4) and not _is_in(address, _METADATA4)
    else:
        is_public = address in _PUBLIC6 and not any(address in network for network in _REFUSED6)
        is_openable = _is_in(address, _OPENABLE6) and not _is_in(address, _METADATA6) and not address.scope_id
    if is_public or (is_openable and _is_in(address, rules.allow_networks)):
        return
    advice = "; outbound.allow_networks can open its network" if is_openable else ""
    raise AddressRefused(f"has the address {address}, which is not public{advice}")


def judge_addresses(addresses: Iterable[str], rules: AddressRules) -> None:
    """Check all addresses of a name. One that is refused refuses the name.

    Raises:
        AddressRefused: An endpoint must not have a name with these addresses.
    """
    every = list(addresses)
    if len(every) > MAX_ADDRESSES:
        raise AddressRefused(f"has a name with more than {MAX_ADDRESSES} addresses")
    for address in every:
        judge_address(address, rules)


def is_openable(network: IPv4Network | IPv6Network) -> bool:
    """Return whether ``allow_networks`` can open a network: whether it is private, and no more than that."""
    if isinstance(network, IPv4Network):
        return any(network.subnet_of(private) for private in _OPENABLE4) and not any(
            network.subnet_of(shut) for shut in _METADATA4
        )
    return any(network.subnet_of(private) for private in _OPENABLE6) and not any(
        network.subnet_of(shut) for shut in _METADATA6
    )


def _is_in(address: IPv4Address | IPv6Address, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    return any(address in network for network in networks)


def _v4(host: str) -> IPv4Address | None:
    """Return the address that a host is; None if it is a name.

    By the WHATWG's rule a host whose last label is a number is an address, in any of the spellings of `inet_aton`. Only one of them
    is read here: four decimal numbers.

    Raises:
        AddressRefused: It is an address in another spelling.
    """
    last = host.rstrip(".").rpartition(".")[2]
    if not last.isdigit() and not last.startswith("0x"):
        return None
    if _IPV4.fullmatch(host):
        try:
            return IPv4Address(host)
        except AddressValueError:
            pass
    raise AddressRefused("has a host that is an address in an unusual spelling; write four decimal numbers")


def _v6(text: str) -> IPv6Address:
    try:
        return IPv6Address(text)
    except AddressValueError:
        raise AddressRefused("has a host in brackets that is no IPv6 address") from None


def _check_name(host: str, rules: AddressRules) -> None:
    labels = host.split(".")
    if len(host) > _MAX_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise AddressRefused(
            "has a host with an empty label, one over 63 characters, or one with a hyphen at an end"
        )
    if host in rules.own_hosts:
        raise AddressRefused("has a host that is this gateway's own")
    if host in rules.allow_hosts:
        return
    if rules.allow_hosts and not any(
        allowed.startswith("*.") and host.endswith(allowed[1:]) for allowed in rules.allow_hosts
    ):
        raise AddressRefused(f"has the host {host}, which is not in outbound.allow_hosts")
    if len(labels) == 1 or labels[-1] in _SPECIAL_NAMES:
        raise AddressRefused(
            f"has the host {host}, which is no public name; outbound.allow_hosts can name it"
        )


def _explain(url: str) -> str:
    """Say what is wrong with a URL that the grammar refuses, without quoting it."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "has a character other than printable ASCII; write international names as xn--…"
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"http", "https"}:
        return "does not begin with https://"
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "#" in url:
        return "has a fragment (#)"
    if "\\" in url:
        return "has a backslash"
    if "@" in authority:
        return "has a user or password before its host; use a header of the endpoint instead"
    if any(letter.isupper() for letter in authority):
        return "has a host with capital letters; write it in lower case"
    if "?" in rest and rest.partition("?")[0] == authority:
        return "has a query without a path; write / before the ?"
    if not re.fullmatch(r"(?:\[[^\]]*\]|[^:\[\]]+)(?::[1-9][0-9]{0,4})?", authority):
        return "has a host or port that is malformed"
    return "has a character that must be percent-encoded, or a host that is malformed"
