"""Addresses to listen at, ``HOST:PORT``: how they are checked, split and compared."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import combinations
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.transport.address import is_host_name

EVERYWHERE_4 = "0.0.0.0"  # noqa: S104
"""The host that stands for all IPv4 addresses."""

EVERYWHERE_6 = "::"
"""The host that stands for all addresses of both families; for IPv6 alone if :data:`EVERYWHERE_4` is bound, too."""

_BIND = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):(?P<port>[0-9]{1,5})")
_DIGITS = re.compile(r"[0-9.]+")
_MALFORMED = "is not an address to listen at; write HOST:PORT, such as 127.0.0.1:8080"
_HIGHEST_PORT = 65_535


def split_bind(bind: str) -> tuple[str, int]:
    """Split a checked address into host, without brackets, and port."""
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)


def check_bind(text: str) -> str:
    """Return ``text`` unchanged if it is an address to listen at.

    Raises:
        ValueError: It is not; the message continues a sentence that begins with the setting.
    """
    match = _BIND.fullmatch(text)
    if not match or int(match["port"]) > _HIGHEST_PORT or not _is_host(match["host"]):
        raise ValueError(_MALFORMED)
    address = _address_of(match["host"].strip("[]"))
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        raise ValueError(f"is an IPv4 address in brackets; write {address.ipv4_mapped}:{match['port']}")
    return text


def local_url(bind: str) -> str:
    """Return the URL at which this machine reaches a listener on ``bind`` (HOST:PORT)."""
    host, port = split_bind(bind)
    host = {EVERYWHERE_4: "127.0.0.1", EVERYWHERE_6: "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def do_clash(one: str, other: str) -> bool:
    """Return whether two addresses cannot both be bound: one equals or includes the other."""
    (host, port), (other_host, other_port) = _normalize(one), _normalize(other)
    if port != other_port or port == 0:
        return False
    if host == other_host or EVERYWHERE_6 in {host, other_host}:
        return True
    return EVERYWHERE_4 in {host, other_host} and ":" not in host + other_host


def is_loopback(bind: str) -> bool:
    """Return whether only this machine can reach a checked address. Of names, `localhost` alone is known to be one."""
    host, _ = split_bind(bind)
    address = _address_of(host)
    return address.is_loopback if address else host.lower() == "localhost"


def _is_host(host: str) -> bool:
    """Return whether this is a host: an IPv6 address in brackets, an IPv4 address, or a name."""
    if host.startswith("["):
        return ":" in host and _address_of(host.strip("[]")) is not None
    return _address_of(host) is not None if _DIGITS.fullmatch(host) else is_host_name(host)


def _address_of(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _normalize(bind: str) -> tuple[str, int]:
    """Return host and port in their canonical spelling."""
    host, port = split_bind(bind)
    return str(_address_of(host) or host.lower()), port


def _as_list(value: object) -> object:
    if not isinstance(value, str | list | None):  # a port alone is a number in YAML
        raise ValueError(_MALFORMED)  # noqa: TRY004 -- pydantic reports a ValueError, not a TypeError
    return [value] if isinstance(value, str) else value


def _check_binds(binds: list[str]) -> list[str]:
    for bind in binds:
        try:
            check_bind(bind)
        except ValueError as error:
            raise ValueError(f"has {bind!r}, which {error}" if len(binds) > 1 else str(error)) from None
    if len(binds) > 1 and any(split_bind(bind)[1] == 0 for bind in binds):
        raise ValueError("has port 0 (any free port) among several addresses; give each its own port")
    for one, other in combinations(binds, 2):
        hosts = {_normalize(one)[0], _normalize(other)[0]}
        if do_clash(one, other) and hosts != {EVERYWHERE_4, EVERYWHERE_6}:
            if len(hosts) == 1:
                raise ValueError(f"has {one} twice")
            raise ValueError(f"has {one} and {other}, but one includes the other; remove it")
    return binds


Binds = Annotated[
    list[str],
    Field(min_length=1, max_length=16),
    BeforeValidator(_as_list),
    AfterValidator(_check_binds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 16},
            ]
        }
    ),
]
"""One address to listen at, or a list of them; in the model always a list."""
