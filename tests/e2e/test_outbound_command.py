"""`gateway outbound`: deliveries in a process of their own, what is shown of them, and the keys and tables of the database."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from gateway.hosting.outbound.launch import MODULE
from gateway.outbound.store.sql.migrations import MIGRATIONS
from support import senders
from support.gateway_process import GatewayProcess, Program, Secrets, run_gateway
from support.ports import free_ports
from support.process import descendants, is_companion
from support.receivers import Receiver
from support.senders import post
from support.waiting import PATIENCE, wait_until

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
KEY, NEW_KEY = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))

Start = Callable[..., GatewayProcess]


@pytest.fixture
def servers(redis_url: str, rabbitmq_url: str, postgres_url: str) -> dict[str, str]:
    """The addresses of servers."""
    return {"redis_url": redis_url, "rabbitmq_url": rabbitmq_url, "postgres": postgres_url}


@pytest.fixture
def start(tmp_path: Path, fresh_secrets: Secrets) -> Iterator[Start]:
    """Starts a gateway whose endpoint is a receiver."""
    with ExitStack() as stack:

        def begin(receiver: Receiver, servers: dict[str, str], **outbound: Any) -> GatewayProcess:
            overrides: dict[str, Any] = {
                "endpoints": {
                    "billing": {
                        "url": receiver.url,
                        "events": ["stripe.#"],
                        "secrets": [SECRET],
                        "allow_private": True,
                    }
                },
                "outbound": {"allow_http": True, **outbound},
            }
            if servers:
                overrides["postgres"] = {"url": servers["postgres"]}
                overrides["outbound"].setdefault("keys", [KEY])
            gateway = GatewayProcess(
                tmp_path,
                fresh_secrets,
                redis_url=servers.get("redis_url", ""),
                rabbitmq_url=servers.get("rabbitmq_url", ""),
                overrides=overrides,
            )
            return stack.enter_context(gateway)

        yield begin


def change(gateway: GatewayProcess, **outbound: Any) -> None:
    """Change settings of the section `outbound`."""
    content = json.loads(gateway.config.read_text("utf-8"))
    content["outbound"] |= outbound
    gateway.config.write_text(json.dumps(content), "utf-8")


def send(gateway: GatewayProcess) -> None:
    """Send a signed event of Stripe."""
    answer = post(gateway.url, senders.stripe(gateway.secrets.stripe, senders.stripe_event()))
    assert answer.status_code in (200, 202), answer.text


def shown(gateway: GatewayProcess) -> dict[str, Any]:
    """Return what `gateway outbound show` says."""
    state: dict[str, Any] = json.loads(gateway.run("outbound", "show", "--json").stdout)
    return state


@pytest.mark.parametrize("with_servers", [False, True], ids=["embedded", "servers"])
def test_deliveries_have_processes_of_their_own(
    with_servers: bool, start: Start, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Several share the endpoints; the gateway runs none, and the metrics are at an address of their own."""
    servers = request.getfixturevalue("servers") if with_servers else {}
    (port,) = free_ports(1)
    with Receiver() as receiver, ExitStack() as stack:
        gateway = start(receiver, servers, separate=True)
        words = ("outbound", "run", "--config", str(gateway.config))
        first = Program(tmp_path, *words, "--metrics", f"127.0.0.1:{port}", extra=gateway.variables)
        stack.enter_context(first).wait_for('"event":"way out started"')
        stack.enter_context(Program(tmp_path, *words, extra=gateway.variables)).wait_for(
            '"event":"way out started"'
        )
        wait_until(lambda: len(shown(gateway)["owners"]) == 2, message="both own shards")
        first.wait_for('"exchange":"webhooks"')
        assert not [pid for pid in descendants(gateway.child.pid) if is_companion(pid, MODULE)]
        send(gateway)
        receiver.wait_for(1)

        def metrics() -> str:
            return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE, trust_env=False).text

        wait_until(lambda: "outbound_shards 128.0" in metrics(), message="the first has half of the shards")
        assert "outbound_up 1.0" in metrics()
        page = gateway.run("outbound", "show")
        assert page.returncode == 0
        assert "2 processes deliver." in page.stdout
        assert first.stop() == 0
        assert '"event":"way out ended"' in first.stdout
        wait_until(
            lambda: [owner["shards"] for owner in shown(gateway)["owners"]] == [256],
            message="the other one has all",
        )


def test_a_gateway_says_that_nothing_is_delivered(start: Start, servers: dict[str, str]) -> None:
    """Ready all the same; each command has a line for it."""
    with Receiver() as receiver:
        gateway = start(receiver, servers)
        wait_until(lambda: _checks(gateway).get("outbound") == "ok", message="deliveries began")
        gateway.run("outbound", "show")
        (pid,) = [pid for pid in descendants(gateway.child.pid) if is_companion(pid, MODULE)]
        change(gateway, keys=[NEW_KEY])
        os.kill(pid, signal.SIGKILL)
        gateway.wait_for('"event":"way out cannot start"')
        (line, *_) = [each for each in gateway.log_lines() if each["event"] == "way out cannot start"]
        assert "was encrypted with a key that is not there" in line["cause"]
        wait_until(lambda: "has failed" in _checks(gateway)["outbound"], message="/readyz says so")
        assert gateway.get("/readyz", admin=True).status_code == 200
        status = gateway.run("status")
        assert status.returncode == 1
        assert "Nothing is delivered to endpoints: its process has failed" in " ".join(status.stdout.split())
        for words in (("check", "--connect"), ("outbound", "show"), ("endpoints", "list")):
            done = gateway.run(*words)
            assert done.returncode == 1, words
            assert done.stderr.count("\n") == 1
            assert "add the former key to outbound.keys" in done.stderr


def test_a_database_that_is_away_has_one_line(start: Start, servers: dict[str, str]) -> None:
    """Of the gateway and of each command; no line has the password of its URL."""
    (port,) = free_ports(1)
    away = f"postgresql://gateway:correct-horse@127.0.0.1:{port}/nothing"
    with Receiver() as receiver:
        gateway = start(receiver, {**servers, "postgres": away}, keys=[KEY])
        gateway.wait_for('"event":"database unavailable"')
        wait_until(
            lambda: _checks(gateway).get("outbound") == "its database cannot be used",
            message="/readyz says so",
        )
        for words in (("check", "--connect"), ("outbound", "show"), ("outbound", "migrate")):
            done = gateway.run(*words)
            assert done.returncode == 1, words
            assert done.stderr.count("\n") == 1, done.stderr
            assert "the database of endpoints and deliveries cannot be used" in done.stderr
            assert "correct-horse" not in done.stderr + done.stdout
        lines = [each for each in gateway.log_lines() if each["event"] == "database unavailable"]
        assert len(lines) == 1
        assert "\n" not in lines[0]["cause"]
        assert "correct-horse" not in gateway.stdout


def test_keys_are_changed_without_a_pause(start: Start, servers: dict[str, str]) -> None:
    """The new one in front, everything encrypted anew, and then without the old one."""
    with Receiver() as receiver:
        gateway = start(receiver, servers)
        gateway.wait_for('"event":"way out started"')
        change(gateway, keys=[NEW_KEY, KEY])
        assert gateway.run("outbound", "rekey").stdout.startswith("encrypted 1 value anew")
        assert "is encrypted with the newest key" in gateway.run("outbound", "rekey").stdout
        change(gateway, keys=[NEW_KEY])
        gateway.restart()
        send(gateway)
        receiver.wait_for(1)
        change(gateway, keys=[KEY])
        refused = gateway.run("outbound", "rekey")
        assert refused.returncode == 1
        assert "add the former key to outbound.keys" in refused.stderr


def test_tables_are_migrated_by_a_command(start: Start, servers: dict[str, str]) -> None:
    """What is not older is left as it is, and what is newer is refused."""
    with Receiver() as receiver:
        gateway = start(receiver, servers)
        gateway.wait_for('"event":"way out started"')
        assert f"have version {len(MIGRATIONS)} already" in gateway.run("outbound", "migrate").stdout
        with psycopg.connect(servers["postgres"]) as connection:
            connection.execute("INSERT INTO outbound_schema VALUES (99)")
        newer = gateway.run("outbound", "migrate")
        assert newer.returncode == 1
        assert newer.stderr.count("\n") == 1
        assert "run the newer program" in newer.stderr
        assert "has version 99" in gateway.run("check", "--connect").stderr


def test_without_endpoints_there_is_nothing_to_run(tmp_path: Path) -> None:
    """And the line says what is missing."""
    providers = {"stripe": {"adapter": "stripe", "secrets": ["whsec_for-this-test-alone"]}}
    (tmp_path / "config.yaml").write_text(json.dumps({"providers": providers}), "utf-8")
    for words in (("run",), ("show",), ("migrate",), ("rekey",)):
        done = run_gateway("outbound", *words, cwd=tmp_path)
        assert done.returncode == 1
        assert "config.yaml has no endpoints" in done.stderr


def _checks(gateway: GatewayProcess) -> dict[str, str]:
    checks: dict[str, str] = gateway.get("/readyz", admin=True).json()["checks"]
    return checks
