"""Names of endpoints: looked up by c-ares, judged, kept for a while, and never looked up anew between judgment and connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from unittest.mock import patch

import pytest

from gateway.outbound import connector
from gateway.outbound.client import Client
from gateway.outbound.connector import Limits
from gateway.outbound.outcomes import Outcome
from gateway.outbound.resolver import MAX_TTL, Answer, CachedResolver, CaresResolver, LookupFailed
from support.dns_server import DnsServer, Record
from support.outbound import Names, loopback_rules, request_to, sending
from support.receivers import Receiver, respond

NAME = "hooks.acme.dev"


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    """A name server."""
    with DnsServer() as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that is well."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def client(dns: DnsServer, receiver: Receiver) -> AsyncIterator[Client]:
    """A client that asks the name server, and may use loopback."""
    resolver = CaresResolver([dns.address])
    async with sending(loopback_rules(receiver.port), resolver, limits=Limits(dns=10)) as client:
        yield client


@pytest.mark.parametrize(
    "records",
    [
        [Record("A", "127.0.0.1")],
        [Record("A", "127.0.0.2"), Record("A", "127.0.0.1")],
        [Record("CNAME", "real.acme.dev")],
    ],
)
async def test_a_name_leads_to_its_address(
    dns: DnsServer, receiver: Receiver, client: Client, records: list[Record]
) -> None:
    """Also by another name; the first address that answers is taken."""
    dns.zone = {NAME: records, "real.acme.dev": [Record("A", "127.0.0.1")]}

    result = await client.send(request_to(f"http://{NAME}:{receiver.port}/"))

    assert (result.outcome, result.address) == (Outcome.DELIVERED, "127.0.0.1")
    assert "dns" in result.phases
    assert set(dns.queries) == {(NAME, "A"), (NAME, "AAAA")}


@pytest.mark.parametrize(
    "records",
    [
        [Record("A", "10.0.0.1")],
        [Record("A", "127.0.0.1"), Record("A", "10.0.0.1")],
        [Record("A", "127.0.0.1"), Record("AAAA", "::ffff:10.0.0.1")],
        [Record("A", "127.0.0.1"), Record("AAAA", "fe80::1")],
        [Record("CNAME", "metadata.google.internal")],
        [Record("A", f"127.0.{number // 250}.{number % 250}") for number in range(300)],
    ],
    ids=["private", "second", "mapped", "link-local", "cname", "300"],
)
async def test_one_refused_address_refuses_the_name(
    dns: DnsServer, receiver: Receiver, client: Client, records: list[Record]
) -> None:
    """Nothing is connected to, whatever the other addresses are."""
    dns.zone = {NAME: records, "metadata.google.internal": [Record("A", "169.254.169.254")]}

    result = await client.send(request_to(f"http://{NAME}:{receiver.port}/"))

    assert (result.outcome, result.address) == (Outcome.ADDRESS_REFUSED, "")
    assert not receiver.conversations


async def test_a_name_without_addresses(dns: DnsServer, receiver: Receiver, client: Client) -> None:
    """It does not exist, or has other records only, or a name that leads nowhere."""
    dns.zone = {"empty.acme.dev": [], "away.acme.dev": [Record("CNAME", "localhost")]}

    for name in ("none.acme.dev", "empty.acme.dev", "away.acme.dev"):
        result = await client.send(request_to(f"http://{name}:{receiver.port}/"))

        assert result.outcome == Outcome.DNS
        assert list(result.phases) == ["dns"]


async def test_a_server_that_fails_for_one_type(dns: DnsServer, receiver: Receiver, client: Client) -> None:
    """Some know nothing of AAAA; the addresses that are there count."""
    dns.zone = {NAME: [Record("A", "127.0.0.1")]}
    dns.broken = {(NAME, "AAAA")}

    result = await client.send(request_to(f"http://{NAME}:{receiver.port}/"))

    assert result.outcome == Outcome.DELIVERED


async def test_a_server_that_does_not_answer(dns: DnsServer, receiver: Receiver) -> None:
    """The lookup has a limit of its own."""
    dns.silent = {NAME}
    resolver = CaresResolver([dns.address])
    async with sending(loopback_rules(receiver.port), resolver, limits=Limits(dns=0.2)) as client:
        result = await client.send(request_to(f"http://{NAME}:{receiver.port}/"))

    assert result.outcome == Outcome.TIMEOUT_DNS


async def test_a_name_that_changes_at_once_is_refused_at_its_next_lookup(
    dns: DnsServer, receiver: Receiver, client: Client
) -> None:
    """With a TTL of 0 nothing is kept; the connection goes to the address that was judged."""
    dns.zone = {NAME: [Record("A", "127.0.0.1", ttl=0)]}
    dns.later = {NAME: [Record("A", "10.0.0.1", ttl=0)]}
    url = f"http://{NAME}:{receiver.port}/"

    receiver.behave(respond(200, keeps=False))
    first = await client.send(request_to(url))
    second = await client.send(request_to(url))

    assert first.outcome == Outcome.DELIVERED
    assert second.outcome == Outcome.ADDRESS_REFUSED


async def test_the_judged_address_is_the_one_that_is_connected_to(receiver: Receiver) -> None:
    """A lookup that would give another one is not made: one connection, one lookup."""
    names = Names(**{NAME: [["127.0.0.1"], ["10.0.0.1"]]})
    async with sending(loopback_rules(receiver.port), names) as client:
        result = await client.send(request_to(f"http://{NAME}:{receiver.port}/"))

    assert result.outcome == Outcome.DELIVERED
    assert names.asked == [NAME]


async def test_the_peer_of_a_connection_is_judged_again(receiver: Receiver) -> None:
    """Whatever led it elsewhere: nothing is sent there."""

    async def connect_elsewhere(*_: object, **__: object) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", receiver.port))
        sock.setblocking(False)
        return sock

    names = Names(**{NAME: [["127.0.0.2"]]})
    async with sending(loopback_rules(receiver.port), names) as client:
        with patch.object(connector, "start_connection", connect_elsewhere):
            result = await client.send(request_to(f"http://{NAME}:{receiver.port}/"))

    assert result.outcome == Outcome.ADDRESS_REFUSED
    assert not receiver.requests


async def test_neither_the_hosts_file_nor_search_domains_are_read(dns: DnsServer) -> None:
    """`localhost` stands in every hosts file, and a name of one label would get a domain."""
    resolver = CaresResolver([dns.address])
    try:
        for name in ("localhost", "db"):
            with pytest.raises(LookupFailed):
                await resolver.resolve(name)
    finally:
        await resolver.close()

    assert {name for name, _ in dns.queries} == {"localhost", "db"}


async def test_an_answer_is_kept_for_its_ttl_and_no_longer_than_half_a_minute(dns: DnsServer) -> None:
    """c-ares would keep it for an hour."""
    now = 1000.0
    dns.zone = {
        "long.acme.dev": [Record("A", "127.0.0.1", ttl=3600)],
        "short.acme.dev": [Record("A", "127.0.0.1", ttl=5)],
    }
    resolver = CachedResolver(CaresResolver([dns.address], lambda: now), lambda: now)
    try:
        for name, ttl in (("long.acme.dev", MAX_TTL), ("short.acme.dev", 5)):
            await resolver.resolve(name)
            now += ttl - 1
            await resolver.resolve(name)
            assert dns.count(name) == 1
            now += 60
            await resolver.resolve(name)
            assert dns.count(name) == 2
    finally:
        await resolver.close()


async def test_those_who_wait_for_a_name_share_its_lookup() -> None:
    """One of them who gives up does not end it for the others."""
    names = _Gated()
    resolver = CachedResolver(names)
    first, *others = [asyncio.create_task(resolver.resolve(NAME)) for _ in range(10)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    names.gate.set()

    assert {answer.addresses for answer in await asyncio.gather(*others)} == {("127.0.0.1",)}
    assert names.asked == [NAME]
    await resolver.close()


async def test_many_answers_are_bounded() -> None:
    """Whoever makes up names cannot fill the memory: all are looked up again."""
    names = Names(**{f"n{number}.acme.dev": [["127.0.0.1"]] for number in range(10_001)})
    names.ttl = 30.0
    resolver = CachedResolver(names)
    for name in list(names.answers):
        await resolver.resolve(name)
    await resolver.resolve("n0.acme.dev")

    assert names.asked.count("n0.acme.dev") == 2


class _Gated(Names):
    def __init__(self) -> None:
        super().__init__(**{NAME: [["127.0.0.1"]]})
        self.gate = asyncio.Event()

    async def resolve(self, name: str) -> Answer:
        answer = await super().resolve(name)
        await self.gate.wait()
        return answer
