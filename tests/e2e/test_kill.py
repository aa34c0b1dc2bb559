"""The gateway is killed at the worst moments: every accepted event is there."""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
import redis

from gateway.claims import claim_key
from gateway.queues.embedded import QueuedMessage as Received
from gateway.queues.embedded import SqliteConsumer
from gateway.transport.embedded import Database
from support import senders
from support.claims import value_of
from support.gateway_process import GatewayProcess, Secrets
from support.inbox import Arrival, Inbox, data_of, ids
from support.rabbitmq_server import RabbitMQServer
from support.senders import Delivery, RetryingSender, post
from support.waiting import wait_until

# The shortest that the configuration permits: a lease of at least twice the deadline.
IMPATIENT = {"server": {"deadline": "500ms"}, "dedupe": {"lease": "1s"}}
LEASE = 300  # seconds, where the end of one is brought about
# 8 in every run; WEBHOOK_KILLS=300 for the long one.
KILLS = int(os.environ.get("WEBHOOK_KILLS", "8"))
MAX_PAUSE = 0.25  # seconds under load before each kill


def post_and_ignore_the_end(url: str, delivery: Delivery) -> None:
    """Send an event to a gateway that will be killed meanwhile."""
    try:
        post(url, delivery)
    except httpx.TransportError:
        return


def acme_events(secrets: Secrets) -> Callable[[], Delivery]:
    """Makes events of our own sender."""
    return lambda: senders.acme(secrets.acme, senders.order())


def _has_accepted_more_than(sender: RetryingSender, count: int) -> bool:
    return len(sender.accepted) > count


def kill_at_random_moments(gateway: GatewayProcess, sender: RetryingSender, kills: int) -> None:
    """Kill and restart the gateway repeatedly; each process lives until it has accepted an event."""
    dice = random.Random()
    moment = threading.Event()
    for _ in range(kills):
        accepted = len(sender.accepted)
        wait_until(partial(_has_accepted_more_than, sender, accepted), message="an event was accepted")
        moment.wait(dice.uniform(0, MAX_PAUSE))
        gateway.restart()


def test_an_event_whose_gateway_dies_between_claim_and_publish_is_not_lost(
    tmp_path: Path,
    fresh_secrets: Secrets,
    redis_url: str,
    rabbitmq_server: RabbitMQServer,
    rabbitmq_url: str,
) -> None:
    """The claim of the dead holds its sender off with 503 until the lease ends; then the event is accepted.

    No time passes here that counts: the lease is long, and ended by hand.
    """
    delivery = senders.stripe(fresh_secrets.stripe, senders.stripe_event())
    gateway = GatewayProcess(
        tmp_path,
        fresh_secrets,
        redis_url=redis_url,
        rabbitmq_url=rabbitmq_url,
        overrides={"dedupe": {"lease": f"{LEASE}s"}, "rabbitmq": {"confirm_timeout": "7s"}},
    )
    with gateway, redis.Redis.from_url(redis_url) as store:
        inbox = Inbox(rabbitmq_url)
        rabbitmq_server.suspend()
        sender = threading.Thread(target=post_and_ignore_the_end, args=(gateway.url, delivery))
        sender.start()
        wait_until(lambda: value_of(store, delivery).startswith(b"pending:"), message="the event was claimed")

        gateway.kill()

        sender.join()
        assert value_of(store, delivery).startswith(b"pending:")
        rabbitmq_server.resume()
        gateway.restart()
        first = post(gateway.url, delivery)
        assert (first.status_code, first.json()["reason"]) == (503, "in_flight")
        assert int(first.headers["retry-after"]) > 0
        key = claim_key(delivery.provider, delivery.event_id)
        assert 0 < int(store.pttl(key)) <= LEASE * 1000
        store.pexpire(key, 1)
        with RetryingSender(gateway.url, lambda: delivery, senders=1) as retrying:
            wait_until(lambda: retrying.accepted, message="the event was accepted")
            retrying.finish()
        assert retrying.answers[delivery.event_id].count("202 accepted") == 1
        assert set(retrying.answers[delivery.event_id]) <= {
            "503 in_flight",
            "202 accepted",
            "200 duplicate",
        }
        assert value_of(store, delivery) == b"done"
        arrivals = inbox.take(1)
        assert 1 <= len(arrivals) <= 2
        assert {arrival.data for arrival in arrivals} == {delivery.body}
        assert post(gateway.url, delivery).json()["status"] == "duplicate"


@pytest.mark.timeout(60 + 5 * KILLS)
def test_killed_at_random_moments_under_load_it_loses_nothing_that_it_accepted(
    tmp_path: Path, fresh_secrets: Secrets, redis_url: str, rabbitmq_url: str
) -> None:
    """Every event that was answered with 2xx is consumed as it was sent; each was answered with 2xx in the end."""
    gateway = GatewayProcess(
        tmp_path, fresh_secrets, redis_url=redis_url, rabbitmq_url=rabbitmq_url, overrides=IMPATIENT
    )
    with gateway:
        inbox = Inbox(rabbitmq_url)
        with RetryingSender(gateway.url, acme_events(fresh_secrets)) as sender:
            kill_at_random_moments(gateway, sender, KILLS)
            sender.finish()
        expect_all_consumed(sender, inbox.take_distinct(len(sender.accepted)))


def expect_all_consumed(sender: RetryingSender, arrivals: list[Arrival]) -> None:
    """Compare what was accepted with what came."""
    assert sender.accepted.keys() == sender.answers.keys()
    data = {arrival.message_id: arrival.data for arrival in arrivals}
    assert data == {event_id: delivery.body for event_id, delivery in sender.accepted.items()}
    # Twice only where a kill fell between the broker's confirm and the commit of the claim.
    repeated = [event_id for event_id, times in ids(arrivals).items() if times > 1]
    assert len(repeated) <= KILLS * sender.senders


@pytest.mark.timeout(60 + 5 * KILLS)
def test_the_embedded_stores_lose_nothing_to_kills_under_load(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """Claims and queue are one file: what was answered with 202 is in it once, exactly as it was sent."""
    with GatewayProcess(tmp_path, fresh_secrets, overrides=IMPATIENT) as gateway:
        with RetryingSender(gateway.url, acme_events(fresh_secrets)) as sender:
            kill_at_random_moments(gateway, sender, KILLS // 3)
            sender.finish()
        assert gateway.stop() == 0

    received = asyncio.run(read_embedded(tmp_path / "var", "webhooks.unrouted"))

    assert sender.accepted.keys() == sender.answers.keys()
    data = {message.message_id: data_of(message.body) for message in received}
    assert data == {event_id: delivery.body for event_id, delivery in sender.accepted.items()}
    assert {message.routing_key for message in received} == {"acme.order.created"}


async def read_embedded(data_dir: Path, queue: str) -> list[Received]:
    """Everything in a queue of the embedded broker."""
    consumer = SqliteConsumer(Database(data_dir), queue)
    await consumer.start()
    try:
        return await consumer.receive(limit=1_000_000)
    finally:
        await consumer.stop()
