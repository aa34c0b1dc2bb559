"""Two gateways behind nginx and behind HAProxy: bodies, connections, addresses, slow clients, and restarts under load."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.inbox import Inbox
from support.proxies import PROXIES, READ_TIMEOUT, proxy
from support.requirements import require
from support.senders import Delivery, RetryingSender
from support.waiting import PATIENCE, wait_until

CLIENT = "127.0.0.2"
"""Where requests come from: all of 127.0.0.0/8 is this machine, and the proxies are at 127.0.0.1."""

PACE = 0.04
"""Seconds between two events of one of the four senders."""


@dataclass(frozen=True)
class Site:
    """Two gateways with one broker and one store, and the proxy in front of them."""

    url: str
    gateways: list[GatewayProcess]
    secrets: Secrets
    rabbitmq_url: str

    def order(self) -> Delivery:
        """Make a signed event."""
        return senders.acme(self.secrets.acme, senders.order())

    def inbox(self) -> Inbox:
        """Return a queue that every event from now on goes to."""
        return Inbox(self.rabbitmq_url)

    def requests(self) -> list[dict[str, object]]:
        """Return the lines about requests in both logs."""
        return [line for gateway in self.gateways for line in gateway.request_lines()]


@pytest.fixture(params=PROXIES)
def site(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, rabbitmq_url: str) -> Iterator[Site]:
    """One site for each proxy."""
    require(request.param)
    secrets = Secrets()
    server = {"trusted_proxies": ["127.0.0.1/32"], "shutdown_delay": "2s"}
    with ExitStack() as stack:
        gateways = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            gateway = GatewayProcess(
                tmp_path / name,
                secrets,
                redis_url=redis_url,
                rabbitmq_url=rabbitmq_url,
                overrides={"server": server},
            )
            gateways.append(stack.enter_context(gateway))
        ports = [gateway.address[1] for gateway in gateways]
        url = stack.enter_context(proxy(request.param, tmp_path / "proxy", ports))
        yield Site(url, gateways, secrets, rabbitmq_url)


def client() -> httpx.Client:
    """Return a client at an address of its own."""
    return httpx.Client(
        transport=httpx.HTTPTransport(local_address=CLIENT), timeout=PATIENCE, trust_env=False
    )


def test_bodies_arrive_as_they_were_signed(site: Site) -> None:
    """With their length, in chunks, large or not; on one connection, one after another, over both gateways."""
    inbox = site.inbox()
    deliveries = [site.order() for _ in range(20)]
    large = senders.acme(site.secrets.acme, senders.order(padding="x" * 900_000))
    with client() as sender:
        for number, delivery in enumerate([*deliveries, large]):
            halves = delivery.body[: len(delivery.body) // 2], delivery.body[len(delivery.body) // 2 :]
            content = delivery.body if number % 2 else iter(halves)
            answer = sender.post(
                f"{site.url}/webhooks/{delivery.provider}", content=content, headers=delivery.headers
            )
            assert answer.status_code == 202, answer.text
            again = sender.post(
                f"{site.url}/webhooks/{delivery.provider}", content=delivery.body, headers=delivery.headers
            )
            assert again.json()["status"] == "duplicate"

    arrived = inbox.take(len(deliveries) + 1)
    assert {each.data for each in arrived} == {each.body for each in [*deliveries, large]}
    assert len(arrived) == len(deliveries) + 1
    assert all(gateway.request_lines() for gateway in site.gateways)


def test_addresses_are_those_of_clients_and_not_what_clients_say(site: Site) -> None:
    """The proxy says where a request comes from."""
    delivery = site.order()
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "example.org"}
    with client() as sender:
        answer = sender.post(
            f"{site.url}/webhooks/{delivery.provider}",
            content=delivery.body,
            headers=delivery.headers | forged,
        )

    assert answer.status_code == 202
    wait_until(lambda: bool(site.requests()), message="the request is logged")
    assert [line["client"] for line in site.requests()] == [CLIENT]


def test_a_slow_client_is_waited_for_by_the_proxy(site: Site) -> None:
    """A body that comes bit by bit is accepted once it is there; one that does not come never reaches a gateway."""
    slow, stuck, quick = site.order(), site.order(), site.order()
    host, port = site.url.removeprefix("http://").split(":")
    whole = slow.on_the_wire()
    with (
        socket.create_connection((host, int(port)), timeout=PATIENCE) as drip,
        socket.create_connection((host, int(port)), timeout=PATIENCE) as hang,
    ):
        hang.sendall(stuck.on_the_wire()[:-5])
        for position in range(0, len(whole), 40):
            drip.sendall(whole[position : position + 40])
            time.sleep(READ_TIMEOUT / 100)
            if position == 0:
                assert senders.post(site.url, quick).status_code == 202
        assert drip.recv(65536).startswith(b"HTTP/1.1 202")
        ended = hang.recv(65536)
        assert ended == b"" or ended.startswith(b"HTTP/1.1 408")

    assert len(site.requests()) == 2


def test_gateways_restart_one_after_another_under_load(site: Site) -> None:
    """No request fails, and no event is lost; one that reached both gateways is there once."""
    inbox = site.inbox()

    def event() -> Delivery:
        time.sleep(PACE)
        return site.order()

    with RetryingSender(site.url, event, senders=4) as sender:

        def wait_accepted(more: int) -> None:
            goal = len(sender.accepted) + more
            wait_until(lambda: len(sender.accepted) >= goal, PATIENCE, f"{more} more events are accepted")

        for gateway in site.gateways:
            wait_accepted(50)
            assert gateway.stop() == 0
            wait_accepted(50)
            gateway.start()
        wait_accepted(50)

    answers = {answer for each in sender.answers.values() for answer in each}
    assert {answer for answer in answers if not answer.startswith("2")} == set()
    arrived = inbox.take_distinct(len(sender.accepted))
    assert {each.message_id for each in arrived} == sender.accepted.keys()
    assert len(arrived) == len(sender.accepted)
