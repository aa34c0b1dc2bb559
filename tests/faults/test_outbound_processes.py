"""Gateways on several machines share the endpoints, and take them over from one that is gone."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from gateway.outbound.models import SHARDS
from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.receivers import Receiver
from support.senders import post
from support.waiting import wait_until

ENDPOINTS = 12

pytestmark = pytest.mark.nightly  # a lease has to end, twice


class Cluster:
    """Three gateways with the same endpoints, of which each gets every event.

    Attributes:
        gateways: The gateways; all but the first are not started.
        sent: The ids of the events that were sent so far.
    """

    def __init__(self, gateways: list[GatewayProcess], receiver: Receiver, postgres_url: str) -> None:
        self.gateways = gateways
        self.sent: list[str] = []
        self._receiver = receiver
        self._postgres_url = postgres_url

    def wait_shared(self, *shares: int) -> None:
        """Wait until so many processes have so many shards each."""

        def is_shared() -> bool:
            now = time.time()
            return self._numbers(
                "SELECT count(*) FROM outbound_shards WHERE until > %s GROUP BY owner", now
            ) == sorted(shares)

        wait_until(
            is_shared, message=f"the shards were shared as {shares}", forgive=(psycopg.errors.UndefinedTable,)
        )

    def send(self, *gateways: GatewayProcess) -> None:
        """Send some events to gateways in turn, and wait until each endpoint has all of them, and that is recorded."""
        for number in range(20):
            content = {**json.loads(senders.stripe_event()), "number": number}
            gateway = gateways[number % len(gateways)]
            answer = post(gateway.url, senders.stripe(gateway.secrets.stripe, json.dumps(content).encode()))
            assert answer.status_code == 202, answer.text
            self.sent.append(content["id"])
        wait_until(lambda: set(self.copies()) == self._expected(), message="all arrived everywhere")
        wait_until(
            lambda: self._numbers("SELECT count(*) FROM outbound_deliveries WHERE state = 'pending'") == [0],
            message="all was recorded",
        )

    def copies(self) -> Counter[tuple[str, str]]:
        """Return how often each event arrived at each endpoint."""
        return Counter(
            (each.headers["x-endpoint"], json.loads(each.body)["data"]["id"])
            for each in list(self._receiver.requests)
        )

    def _numbers(self, query: LiteralString, *parameters: float) -> list[int]:
        with psycopg.connect(self._postgres_url) as connection:
            return sorted(number for (number,) in connection.execute(query, parameters))

    def _expected(self) -> set[tuple[str, str]]:
        return {(f"e{number}", event) for number in range(ENDPOINTS) for event in self.sent}


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str, rabbitmq_url: str, postgres_url: str) -> Iterator[Cluster]:
    """Three gateways with servers in common."""
    signing, key = Secrets(), base64.b64encode(secrets.token_bytes(32)).decode()
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver())
        endpoints = {
            f"e{number}": {
                "url": receiver.url,
                "events": ["stripe.#"],
                "secrets": [f"whsec_{base64.b64encode(bytes(range(32))).decode()}"],
                "allow_private": True,
                "headers": {"x-endpoint": f"e{number}"},
            }
            for number in range(ENDPOINTS)
        }
        gateways = []
        for number in range(3):
            directory = tmp_path / str(number)
            directory.mkdir()
            overrides: dict[str, Any] = {
                "endpoints": endpoints,
                "outbound": {"allow_http": True, "keys": [key]},
                "postgres": {"url": postgres_url},
            }
            gateways.append(
                GatewayProcess(
                    directory,
                    signing,
                    redis_url=redis_url,
                    rabbitmq_url=rabbitmq_url,
                    overrides=overrides,
                )
            )
            stack.callback(gateways[-1].kill)
        gateways[0].start()
        yield Cluster(gateways, receiver, postgres_url)


def test_processes_share_the_endpoints_and_take_over(cluster: Cluster) -> None:
    """They join, die and leave: each event reaches each endpoint, and while nobody dies, once."""
    one, two, three = cluster.gateways
    cluster.wait_shared(SHARDS)
    two.start()
    three.start()
    cluster.wait_shared(86, 86, 84)
    cluster.send(one, two, three)
    assert set(cluster.copies().values()) == {1}

    three.kill()
    cluster.send(one, two)  # the endpoints of the dead one get theirs once its leases have ended
    cluster.wait_shared(128, 128)

    three.start()
    cluster.wait_shared(86, 86, 84)
    cluster.send(one, two, three)
    assert set(cluster.copies().values()) == {1}

    assert two.stop() == 0
    cluster.wait_shared(128, 128)
    cluster.send(one, three)
    assert set(cluster.copies().values()) == {1}
