"""What tests of the way out send with: rules that open loopback, a client, and names with the addresses that a test gives them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

from typing_extensions import override

from gateway.outbound.addresses import AddressRules
from gateway.outbound.client import Client, OutboundRequest
from gateway.outbound.connector import Limits, open_trust
from gateway.outbound.proxy import Proxy
from gateway.outbound.resolver import Answer, LookupFailed, Resolver
from support.certificates import Issued, issue

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def loopback_rules(*ports: int) -> AddressRules:
    """Rules that allow receivers on loopback at these ports."""
    return AddressRules(allow_http=True, ports=frozenset(ports), allow_networks=LOOPBACK)


class Names(Resolver):
    """A resolver that knows what a test tells it.

    Attributes:
        answers: the addresses of each name, by lookup; the last ones go for all lookups that follow.
        asked: the names that were looked up.
    """

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.ttl = 0.0
        self.asked: list[str] = []

    @override
    async def resolve(self, name: str) -> Answer:
        self.asked.append(name)
        if name not in self.answers:
            raise LookupFailed
        answers = self.answers[name]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return Answer(tuple(addresses), self.ttl)

    @override
    async def close(self) -> None:
        """There is nothing to release."""


@asynccontextmanager
async def sending(
    rules: AddressRules,
    resolver: Resolver | None = None,
    trust: ssl.SSLContext | None = None,
    proxy: Proxy | None = None,
    limits: Limits | None = None,
) -> AsyncIterator[Client]:
    """A client that is started, and stopped at the end."""
    client = Client(rules, resolver, trust, proxy, limits)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def request_to(url: str, timeout: float = 30.0, body: bytes = b'{"id":"1"}') -> OutboundRequest:
    """A request with a few header fields."""
    return OutboundRequest(url, {"content-type": "application/json", "webhook-id": "msg_1"}, body, timeout)


class Authority:
    """An authority, with servers that it has certified.

    Args:
        folder: where its files are written.
        now: Unix seconds.
    """

    def __init__(self, folder: Path, now: float) -> None:
        self._folder = folder
        self._now = now
        self._root = issue("an authority of the tests", is_authority=True, at=now)
        self._file = folder / "root.pem"
        self._file.write_bytes(self._root.pem)

    def trust(self) -> ssl.SSLContext:
        """The settings of a client that trusts it."""
        return open_trust(str(self._file))

    def server(
        self, host: str = "hooks.acme.dev", *, days_ago: float = 0, own: bool = False
    ) -> ssl.SSLContext:
        """The settings of a server called ``host``.

        Args:
            host: its name.
            days_ago: when its certificate was issued, for ten days.
            own: whether it is its own authority.
        """
        at = self._now - days_ago * 86_400
        issued = issue(host, None if own else self._root, at=at, days=10, hosts=[host])
        return self._context(issued, f"{host}-{days_ago}-{own}")

    def _context(self, issued: Issued, name: str) -> ssl.SSLContext:
        chain, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        chain.write_bytes(issued.pem)
        key.write_text(issued.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        return context
