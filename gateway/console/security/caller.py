"""Who calls, and by which address: what the connection says, and what trusted proxies add.

``Host`` is checked against DNS rebinding: a page of another site can give its own name the address of the console, and is
then "same origin" for the browser. What it cannot do is to call the console by the console's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from starlette.types import Scope

from gateway.config import Config
from gateway.config.bind_addresses import EVERYWHERE_4, EVERYWHERE_6, split_bind
from gateway.console.problems import Problem
from gateway.receive.proxy_headers import TrustedProxies
from gateway.signatures.request import Headers

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{1,5})?")
"""A host as browsers send it: a name or an address, with a port or without."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The connection of a request.

    Attributes:
        client: The address of the client, as far as it is known.
        scheme: `http` or `https`, as the browser sees it.
        host: The host, with its port, that the browser called.
        is_proxy: Whether the peer is a proxy in `server.trusted_proxies`.
        headers: The header fields.
    """

    client: str
    scheme: str
    host: str
    is_proxy: bool
    headers: Headers

    @property
    def is_encrypted(self) -> bool:
        """Whether the browser uses TLS."""
        return self.scheme == "https"

    @property
    def origin(self) -> str:
        """What a browser sends as `Origin` for pages of this address."""
        return f"{self.scheme}://{self.host}".lower()

    def header(self, name: bytes) -> str:
        """Return a header field as text; empty if it is absent or repeated."""
        values = self.headers.all(name)
        return values[0].decode("latin-1") if len(values) == 1 else ""


class CallerReader:
    """Reads who calls from a request, under one configuration.

    Args:
        config: The configuration.
    """

    def __init__(self, config: Config) -> None:
        server = config.server
        self.config = config
        self._proxies = TrustedProxies(server.trusted_proxies, server.forwarded)
        binds = {split_bind(bind)[0].lower() for bind in server.admin_bind}
        self._binds_everywhere = not binds.isdisjoint({EVERYWHERE_4, EVERYWHERE_6})
        self._names = binds | {_name_of(host) for host in config.console.hosts} | {"localhost"}

    def read(self, scope: Scope) -> Caller:
        """Return who calls.

        Raises:
            Problem: The host is missing, repeated, or not one of the console.
        """
        headers = Headers(scope["headers"])
        peer = (scope.get("client") or ("", 0))[0]
        hosts = headers.all(b"host")
        if len(hosts) != 1:
            raise Problem("malformed_request", "a request has one Host")
        host = hosts[0].decode("latin-1")
        self._check(host)
        scheme = scope.get("scheme", "http")
        # Of both: a page that rebinds its name calls from an address that may count as a proxy, and writes any field.
        if forwarded := self._proxies.origin_of(peer, headers):
            scheme, host = forwarded
            self._check(host)
        is_proxy = self._proxies.exist and self._proxies.include(peer)
        return Caller(self._proxies.client_of(peer, headers), scheme, host, is_proxy, headers)

    def _check(self, host: str) -> None:
        name = _name_of(host)
        if name in self._names or self._is_own_address(name):
            return
        raise Problem("host_not_allowed", "add the name to console.hosts if it is the console's")

    def _is_own_address(self, name: str) -> bool:
        try:
            address = ip_address(name)
        except ValueError:
            return False
        # A caller that names an address was not led here by a host name.
        return address.is_loopback or self._binds_everywhere


def _name_of(host: str) -> str:
    """Return the host in lower case without its port and brackets; empty if it is none."""
    match = _HOST.fullmatch(host.lower())
    return (match[1] or match[2]) if match else ""
