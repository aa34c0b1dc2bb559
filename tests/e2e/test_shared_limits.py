"""Two gateways on one Redis, and a provider's rate that holds over both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.redis_server import RedisServer
from support.requirements import require
from support.waiting import PATIENCE, wait_until

RATE = 30
"""The events of an hour: too slow to be refilled within a test."""

_MAX_LATE = 3
"""Events that may come between a report and its answer."""


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis that may be stopped."""
    require("redis-server")
    with RedisServer() as server:
        yield server


@pytest.fixture
def gateways(server: RedisServer, tmp_path: Path, fresh_secrets: Secrets) -> Iterator[list[GatewayProcess]]:
    """Two gateways with the same configuration."""
    with ExitStack() as stack:
        found = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            gateway = GatewayProcess(
                tmp_path / name,
                fresh_secrets,
                redis_url=server.url,
                overrides={"server": {"limits": "shared"}},
                wait_ready=False,
            )
            limited = gateway.config.read_text("utf-8").replace(
                '"event_id": "body:/id"', f'"rate_limit": "{RATE}/h", "event_id": "body:/id"'
            )
            gateway.config.write_text(limited, "utf-8")
            found.append(stack.enter_context(gateway))
        yield found


def send(gateway: GatewayProcess) -> int:
    """Send one event; return the status of the answer."""
    delivery = senders.acme(gateway.secrets.acme, senders.order())
    return senders.post(gateway.url, delivery).status_code


def unshared(gateway: GatewayProcess) -> float:
    """Return how many of its processes count alone."""
    lines = gateway.get("/metrics", admin=True).text.splitlines()
    (line,) = (line for line in lines if line.startswith("webhook_limits_unshared "))
    return float(line.split()[1])


def wait_shared(gateways: list[GatewayProcess]) -> None:
    """Wait until all count together."""
    for gateway in gateways:
        wait_until(
            lambda each=gateway: each.get("/readyz", admin=True).json()["checks"]["limits"] == "ok",  # type: ignore[misc]
            PATIENCE,
            "limits are shared",
        )


def test_the_rate_holds_over_both(gateways: list[GatewayProcess], server: RedisServer) -> None:
    """In turn; each event is reported before the next is sent."""
    wait_shared(gateways)
    accepted = 0
    with redis.Redis.from_url(server.url) as raw:
        while True:
            before = raw.get("whgw:1:limit:acme")
            statuses = [send(gateway) for gateway in gateways]
            if statuses == [429, 429]:
                break
            accepted += statuses.count(202)
            if 429 not in statuses:
                wait_until(
                    lambda seen=before: raw.get("whgw:1:limit:acme") != seen,  # type: ignore[misc]
                    PATIENCE,
                    "it is reported",
                )
    assert RATE <= accepted <= RATE + _MAX_LATE


def test_without_redis_each_gateway_counts_alone(gateways: list[GatewayProcess], server: RedisServer) -> None:
    """As without the setting; /readyz and a metric say so."""
    wait_shared(gateways)
    server.kill()
    for gateway in gateways:
        wait_until(lambda each=gateway: unshared(each) == 1, PATIENCE, "it counts alone")  # type: ignore[misc]
        assert gateway.get("/readyz", admin=True).json()["checks"]["limits"] != "ok"
        statuses = [send(gateway) for _ in range(RATE + 1)]
        assert statuses == [202] * RATE + [429]

    server.start()
    wait_shared(gateways)
    wait_until(lambda: [unshared(each) for each in gateways] == [0, 0], PATIENCE, "they count together")
