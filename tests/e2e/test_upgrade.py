"""The data of the previous minor version: nothing that it accepted is lost or repeated by an upgrade.

The files in ``tests/data/upgrade`` were written by that version, with the script beside them.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from gateway import __version__
from support.gateway_process import GatewayProcess, Program, Secrets
from support.inbox import Inbox
from support.repository import ROOT

PREVIOUS = ROOT / "tests/data/upgrade/0.1"
SCRIPT = (ROOT / "tests/data/upgrade/make").read_text("utf-8")
SECRET = "whsec_of-the-upgrade-tests-alone"
WORKER = """
from gateway.worker import Event, Worker

worker = Worker(queue="billing", events=["stripe.#"])

@worker.on("stripe.#")
async def handle(event: Event) -> None:
    async with event.once("note") as first:
        print(f"handled {event.id} {first}", flush=True)
"""


def as_of_today(database: Path) -> None:
    """Move the times in the file forward by its age: claims and archived events have not expired."""
    with closing(sqlite3.connect(database)) as connection, connection:
        ((latest,),) = connection.execute("SELECT at FROM latest")
        age = time.time() - latest
        connection.execute("UPDATE claims SET expires_at = expires_at + ?", (age,))
        connection.execute("UPDATE archive SET archived_at = archived_at + ?", (age,))


@pytest.fixture
def gateway(tmp_path: Path) -> GatewayProcess:
    """This version, on a copy of the previous one's data; not started."""
    (tmp_path / "var").mkdir(mode=0o700)
    shutil.copy(PREVIOUS / "embedded.db", tmp_path / "var")
    as_of_today(tmp_path / "var/embedded.db")
    return GatewayProcess(tmp_path, Secrets(stripe=SECRET), overrides={"archive": {"enabled": True}})


@pytest.fixture
def running(gateway: GatewayProcess) -> Iterator[GatewayProcess]:
    """The same, started."""
    with gateway:
        yield gateway


def send(gateway: GatewayProcess, event_id: str) -> str:
    """Send an event of Stripe with this id; return the answer's status."""
    body = gateway.directory / "body.json"
    body.write_text(
        json.dumps(
            {
                "id": event_id,
                "object": "event",
                "type": "invoice.paid",
                "created": 1795254189,
                "data": {"object": {"id": "in_1"}},
            }
        )
    )
    sent = gateway.run("send", "stripe", "--file", str(body))
    (status,) = re.findall(r'"status":"(\w+)"', sent.stdout)
    return str(status)


def test_there_is_data_of_the_previous_minor_version() -> None:
    """Made by `tests/data/upgrade/make` before the version was raised."""
    major, minor = __version__.split(".")[:2]

    assert PREVIOUS.name == f"{major}.{int(minor) - 1}"
    assert {path.name for path in PREVIOUS.iterdir()} == {"embedded.db", "spool-0.db"}


def test_an_event_published_before_the_upgrade_is_a_duplicate_after_it(running: GatewayProcess) -> None:
    """Its claim is found; a new event is accepted."""
    assert send(running, "evt_handled") == "duplicate"
    assert send(running, "evt_new") == "accepted"


def test_waiting_events_are_handled_once_after_the_upgrade(running: GatewayProcess) -> None:
    """Those in the queue, and one that is replayed although it was handled is skipped."""
    (running.directory / "billing.py").write_text(WORKER)
    config = str(running.config)
    replayed = running.run("replay", "--since", "7d", "--id", "evt_handled", "--to", "billing")
    assert replayed.returncode == 0, replayed.stderr
    with Program(running.directory, "worker", "billing:worker", "--config", config) as worker:
        worker.wait_for("handled evt_waiting_1 True")
        worker.wait_for("handled evt_waiting_2 True")
        worker.wait_for('"outcome":"duplicate"')
        assert worker.stop() == 0
        assert "handled evt_handled" not in worker.stdout


def test_events_set_aside_before_the_upgrade_are_found_after_it(running: GatewayProcess) -> None:
    """Dead letters are redriven, and the quarantine is released."""
    dead = running.run("dead", "list", "billing", "--json")
    redriven = running.run("dead", "redrive", "billing")
    quarantined = running.run("quarantine", "list", "--json")
    released = running.run("quarantine", "release", "--force")

    assert [json.loads(line)["id"] for line in dead.stdout.splitlines()] == ["evt_dead"]
    assert [json.loads(line)["id"] for line in quarantined.stdout.splitlines()] == ["order_quarantined"]
    assert redriven.returncode == released.returncode == 0
    assert "1 event redriven" in redriven.stderr
    assert "1 event released" in released.stderr


def test_spooled_events_are_published_after_the_upgrade(tmp_path: Path, rabbitmq_url: str) -> None:
    """In their order, and the spool is empty then."""
    (tmp_path / "var").mkdir(mode=0o700)
    shutil.copy(PREVIOUS / "spool-0.db", tmp_path / "var")
    gateway = GatewayProcess(tmp_path, Secrets(stripe=SECRET), rabbitmq_url=rabbitmq_url)
    with gateway:
        arrivals = Inbox(rabbitmq_url, "webhooks.unrouted", None).take(3)
        gateway.wait_for("spool drained")
        assert gateway.stop() == 0

    assert not (tmp_path / "var/spool-0.db").exists()
    assert [arrival.message_id for arrival in arrivals] == ["evt_spooled_1", "evt_spooled_2", "evt_spooled_3"]


def test_claims_in_redis_are_found_after_the_upgrade(tmp_path: Path, redis_url: str) -> None:
    """The keys and values are the same as in the file of the previous version."""
    with closing(sqlite3.connect(PREVIOUS / "embedded.db")) as connection:
        claims = connection.execute("SELECT key, value FROM claims").fetchall()
    with redis.Redis.from_url(redis_url) as server:
        for key, value in claims:
            server.set(key, value, ex=3600)
    with GatewayProcess(tmp_path, Secrets(stripe=SECRET), redis_url=redis_url) as gateway:
        assert send(gateway, "evt_handled") == "duplicate"


def test_the_script_uses_the_secret_of_the_tests() -> None:
    """Otherwise nothing that is sent here would be verified there."""
    assert f"STRIPE_WEBHOOK_SECRET={SECRET}" in SCRIPT
