"""`gateway replay` as an operator meets it: beside a running gateway, on either broker."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from gateway.events.message import Message
from gateway.publishers import Retention
from gateway.publishers.sqlite import SqlitePublisher
from gateway.queues.embedded import SqliteConsumer
from gateway.signatures.times import rfc3339_milliseconds
from gateway.transport.embedded import Database
from support import senders
from support.gateway_process import GatewayProcess, Program, Secrets
from support.inbox import Inbox
from support.senders import post
from support.waiting import wait_until

UNROUTED = "webhooks.unrouted"


def bodies_in(gateway: GatewayProcess, rabbitmq_url: str, count: int) -> list[bytes]:
    """What waits in the queue for the unrouted, oldest first."""
    if rabbitmq_url:
        return [each.body for each in Inbox(rabbitmq_url, UNROUTED, None).take(count)]

    async def receive() -> list[bytes]:
        consumer = SqliteConsumer(Database(gateway.directory / "var"), UNROUTED)
        await consumer.start()
        deliveries = await consumer.receive(100)
        await consumer.stop()
        return [each.body for each in deliveries]

    return asyncio.run(receive())


@pytest.mark.parametrize("broker", ["embedded", "rabbitmq"])
def test_archived_events_are_listed_and_replayed_beside_the_gateway(
    request: pytest.FixtureRequest, tmp_path: Path, fresh_secrets: Secrets, broker: str
) -> None:
    """Those asked for, marked and otherwise the same; what cannot be done is one line and an exit code."""
    url = request.getfixturevalue("rabbitmq_url") if broker == "rabbitmq" else ""
    archiving = GatewayProcess(
        tmp_path, fresh_secrets, rabbitmq_url=url, overrides={"archive": {"enabled": True}}
    )
    with archiving as gateway:
        nothing = gateway.run("replay", "--since", "1h", "--to", UNROUTED)
        deliveries = [senders.stripe(fresh_secrets.stripe, senders.stripe_event()) for _ in range(3)]
        for delivery in [*deliveries, senders.acme(fresh_secrets.acme, senders.order())]:
            assert post(gateway.url, delivery).status_code == 202
        asked_for = ("--since", "1h", "--provider", "stripe")
        listed = gateway.run("replay", *asked_for, "--dry-run")
        replayed = gateway.run("replay", *asked_for, "--event", "#", "--to", UNROUTED)
        one = gateway.run("replay", "--since", "1h", "--id", deliveries[1].event_id, "--to", UNROUTED)
        nowhere = gateway.run("replay", *asked_for, "--to", "nowhere")
        aimless = gateway.run("replay", *asked_for)
        timeless = gateway.run("replay", "--since", "yesterday", "--to", UNROUTED)
        bodies = bodies_in(gateway, url, 8)

    marked = [b'{"replayed":true,' + body[1:] for body in bodies[:3]]
    assert bodies[4:] == [*marked, marked[1]]
    assert [line.split()[3] for line in listed.stdout.splitlines()] == [each.event_id for each in deliveries]
    assert "3 events of 4 in the archive would be replayed" in listed.stderr
    assert f"3 events of 4 in the archive replayed to {UNROUTED}" in replayed.stderr
    assert f"1 event of 4 in the archive replayed to {UNROUTED}" in one.stderr
    assert f"0 events of 0 in the archive replayed to {UNROUTED}" in nothing.stderr
    assert [done.returncode for done in (nothing, listed, replayed, one)] == [0] * 4
    assert (nowhere.returncode, nowhere.stderr.count("\n")) == (1, 1)
    assert "there is no queue 'nowhere'" in nowhere.stderr
    assert (aimless.returncode, timeless.returncode) == (2, 2)
    assert "Traceback" not in aimless.stderr + timeless.stderr


def test_a_replay_that_is_ended_says_how_far_it_came(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """By SIGTERM, in the middle; what it counts is in the queue."""
    gateway = GatewayProcess(tmp_path, fresh_secrets)
    database = Database(tmp_path / "var")
    publisher = SqlitePublisher(database, "webhooks", Retention(max_age=3600.0, max_size=1024**3))

    async def fill() -> None:
        await publisher.start()
        received_at = rfc3339_milliseconds(time.time()).encode()
        body = b'{"receivedat":"%b"}' % received_at
        message = Message("webhooks", "stripe.payout.paid", "id", "", {}, body)
        await asyncio.gather(*(publisher.publish(message) for _ in range(40_000)))
        await database.run(lambda connection: connection.execute("DELETE FROM messages"))
        await publisher.stop()

    def delivered() -> int:
        with closing(sqlite3.connect(database.path)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM messages").fetchone()
        return int(count)

    asyncio.run(fill())
    words = ("replay", "--config", str(gateway.config), "--since", "1h", "--to", UNROUTED)
    with Program(tmp_path, *words, extra=gateway.variables) as program:
        wait_until(lambda: delivered() > 0, 30.0, "it delivers")
        code = program.stop()

    assert code == 130
    assert 0 < delivered() < 40_000
    assert f"{delivered():,} events of" in program.stderr


def test_without_an_archive_there_is_nothing_to_replay(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """It says so, and which setting makes one."""
    done = GatewayProcess(tmp_path, fresh_secrets).run("replay", "--since", "1h", "--dry-run")

    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there is no archive" in done.stderr
    assert "archive.enabled is false" in done.stderr
