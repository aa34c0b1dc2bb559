"""SIGHUP: a new configuration is served without losing a connection; a bad one is ignored."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.senders import Delivery, post
from support.waiting import PATIENCE, wait_until

Configuration = dict[str, Any]


@pytest.fixture
def gateway(tmp_path: Path, fresh_secrets: Secrets) -> Iterator[GatewayProcess]:
    """One with the embedded stores."""
    with GatewayProcess(tmp_path, fresh_secrets) as process:
        yield process


def lines_of(gateway: GatewayProcess, event: str) -> list[dict[str, Any]]:
    """The lines of its log that say this."""
    return [line for line in gateway.log_lines() if line["event"] == event]


def change(gateway: GatewayProcess, edit: Callable[[Configuration], None], event: str) -> None:
    """Edit its configuration, and have it read that."""
    content = json.loads(gateway.config.read_text("utf-8"))
    edit(content)
    gateway.config.write_text(json.dumps(content), "utf-8")
    tell(gateway, event)


def tell(gateway: GatewayProcess, event: str) -> None:
    """Have it read its configuration again, and wait until it says ``event``."""
    before = len(lines_of(gateway, event))
    gateway.child.signal(signal.SIGHUP)
    wait_until(lambda: len(lines_of(gateway, event)) > before, message=f"it wrote {event!r}")


def wisdom(secret: str, event_id: str) -> Delivery:
    """An event of GitHub."""
    return senders.github(secret, b'{"zen":"Speak like a human."}', "zen", event_id)


def test_another_configuration_is_served_at_once(gateway: GatewayProcess) -> None:
    """Its secrets and its providers count, the old ones do not; the counters stay."""
    old, new = gateway.secrets.github, Secrets().github

    def edit(content: Configuration) -> None:
        content["providers"]["github"]["secrets"] = [new]
        content["providers"]["another"] = {"adapter": "github", "secrets": [old]}
        del content["providers"]["openai"]

    with httpx.Client(trust_env=False) as client:
        assert post(gateway.url, wisdom(old, "1"), client).status_code == 202
        assert post(gateway.url, wisdom(new, "2"), client).status_code == 401
        change(gateway, edit, "configuration reloaded")
        assert post(gateway.url, wisdom(old, "3"), client).status_code == 401
        assert post(gateway.url, wisdom(new, "4"), client).status_code == 202
        assert post(gateway.url, wisdom(new, "1"), client).json()["status"] == "duplicate"
        another = replace(wisdom(old, "5"), provider="another")
        assert post(gateway.url, another, client).json() == {"status": "accepted", "id": "5"}
        assert client.post(f"{gateway.url}/webhooks/openai").status_code == 404

    metrics = gateway.get("/metrics", admin=True).text
    assert 'webhook_requests_total{outcome="accepted",provider="github"} 2.0' in metrics
    assert 'webhook_requests_total{outcome="invalid_signature",provider="github"} 2.0' in metrics


def test_connections_and_requests_survive_another_configuration(gateway: GatewayProcess) -> None:
    """A request that is under way keeps the secret that it began with."""
    old, new = gateway.secrets.github, Secrets().github

    def edit(content: Configuration) -> None:
        content["providers"]["github"]["secrets"] = [new]

    idle, asking = (socket.create_connection(gateway.address, timeout=PATIENCE) for _ in range(2))
    with idle, asking:
        assert status_of(idle, wisdom(old, "1").on_the_wire()) == 202
        request = wisdom(old, "2").on_the_wire()
        asking.sendall(request[:-1])
        gateway.get("/livez")  # by then what was sent before has been read
        change(gateway, edit, "configuration reloaded")

        assert status_of(asking, request[-1:]) == 202
        assert status_of(asking, wisdom(new, "3").on_the_wire()) == 202
        assert status_of(idle, wisdom(new, "4").on_the_wire()) == 202
        assert status_of(idle, wisdom(old, "5").on_the_wire()) == 401


def status_of(connection: socket.socket, sent: bytes) -> int:
    """Send, and take the answer, which is small enough to come in one piece."""
    connection.sendall(sent)
    return int(connection.recv(65_536).split()[1])


def test_a_wrong_configuration_changes_nothing(gateway: GatewayProcess) -> None:
    """Each of its problems is named; once they are mended it is read."""
    good = gateway.config.read_text("utf-8")
    event = "configuration rejected"

    def edit(content: Configuration) -> None:
        content["providers"]["github"]["secrets"] = [Secrets().github]
        content["providers"]["stripe"]["secretz"] = ["x"]
        content["server"]["deadline"] = "soon"

    change(gateway, edit, event)
    wait_until(lambda: len(lines_of(gateway, event)) >= 2, message="it named both problems")
    problems = " ".join(line["problem"] for line in lines_of(gateway, event))
    assert "providers.stripe.secretz" in problems
    assert "server.deadline" in problems
    assert post(gateway.url, wisdom(gateway.secrets.github, "1")).status_code == 202

    gateway.config.write_text("{", "utf-8")
    tell(gateway, event)
    gateway.config.unlink()
    tell(gateway, event)
    assert post(gateway.url, wisdom(gateway.secrets.github, "2")).status_code == 202

    gateway.config.write_text(good, "utf-8")
    tell(gateway, "configuration reloaded")
    assert post(gateway.url, wisdom(gateway.secrets.github, "3")).status_code == 202
    gateway.secrets.expect_absent(gateway.stdout, gateway.stderr)


def test_a_setting_that_needs_a_restart_is_named(gateway: GatewayProcess) -> None:
    """And only that; the rest is in force."""

    def edit(content: Configuration) -> None:
        content["server"] |= {"max_connections": 7, "max_body": "1KiB"}
        content["rabbitmq"]["exchange"] = "others"

    event = "setting needs a restart"
    change(gateway, edit, event)
    wait_until(lambda: len(lines_of(gateway, event)) >= 2, message="it named both")

    assert {line["setting"] for line in lines_of(gateway, event)} == {"server.max_connections", "rabbitmq"}
    large = senders.github(gateway.secrets.github, b'{"zen":"%b"}' % (b"x" * 2000), "zen", "1")
    assert post(gateway.url, large).status_code == 413
