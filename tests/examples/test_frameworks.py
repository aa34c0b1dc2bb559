"""The workers without gateway.worker: plain aio-pika, FastStream and Celery, each as a process of its own."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from aio_pika.exceptions import ChannelClosed

from support.agents import Dead, Place, envelope, message_of
from support.consumers import is_consumed
from support.examples import EXAMPLES
from support.gateway_process import Program
from support.requirements import require_package
from support.waiting import PATIENCE, wait_until

ROUTING_KEY = "stripe.payment_intent.succeeded"
EVENTS = [
    envelope("evt_1", subject="pi_1"),
    b"not an event",
    b'{"source": "/stripe", "id": "evt_2"}',  # handlers rely on more than that
    envelope("evt_1", subject="pi_1"),
    envelope("evt_3", subject="pi_3"),
]


@dataclass(frozen=True)
class Consumer:
    """One of the three.

    Attributes:
        package: that it needs.
        queue: that it consumes.
        command: what Python runs.
        reasons: why RabbitMQ put aside what is no event, and what could not be handled.
        done: how often an event is done that came twice.
    """

    package: str
    queue: str
    command: tuple[str, ...]
    reasons: tuple[str, str]
    done: int = 1


CONSUMERS = [
    Consumer(
        package="aio_pika",
        queue="example-worker",
        command=("-m", "examples.worker"),
        reasons=("delivery_limit", "delivery_limit"),
    ),
    Consumer(
        package="faststream",
        queue="faststream-worker",
        command=("-m", "examples.faststream_worker"),
        reasons=("rejected", "delivery_limit"),
    ),
    Consumer(
        package="celery",
        queue="celery-worker",
        command=("-m", "celery", "--app", "brief", "worker", "--loglevel", "INFO", "--concurrency", "1"),
        reasons=("rejected", "rejected"),
        done=2,  # as the same task
    ),
]
# Celery tries for half a minute before it gives up a task; here it tries twice.
BRIEF = "from examples.celery_worker import app, handle\nhandle.max_retries = 1\n"


async def publish(place: Place) -> None:
    """Publish the events as the gateway does."""
    async with place.publishing() as publisher:
        for body in EVENTS:
            await publisher.publish(message_of(body, ROUTING_KEY))


@pytest.mark.parametrize("consumer", CONSUMERS, ids=lambda consumer: consumer.package)
def test_events_are_handled_and_what_cannot_be_is_put_aside(
    consumer: Consumer, tmp_path: Path, rabbitmq_url: str
) -> None:
    """Neither lost nor retried for ever; a duplicate is recognised by its source and id."""
    require_package(consumer.package)
    (tmp_path / "examples").symlink_to(EXAMPLES)
    (tmp_path / "brief.py").write_text(BRIEF, "utf-8")
    place = Place(tmp_path, rabbitmq_url)
    dead: list[Dead] = []

    def are_dead() -> bool:
        dead.extend(asyncio.run(place.dead(consumer.queue)))
        return len(dead) == 2

    program = Program(tmp_path, *consumer.command, extra={"RABBITMQ_URL": rabbitmq_url})
    program.program = (sys.executable,)
    with program:
        wait_until(
            lambda: asyncio.run(is_consumed(rabbitmq_url, consumer.queue)), PATIENCE, forgive=(ChannelClosed,)
        )
        asyncio.run(publish(place))
        wait_until(are_dead, PATIENCE)
        program.wait_for("evt_3 about pi_3", PATIENCE)
        written = program.stdout + program.stderr

    no_event, failed = sorted(dead, key=lambda message: EVENTS[1] not in message.body)
    assert no_event.body == EVENTS[1]
    assert b"evt_2" in failed.body  # Celery's is a task by then
    reasons = tuple(message.headers["x-death"][0]["reason"] for message in (no_event, failed))
    assert reasons == consumer.reasons
    assert written.count("evt_1 about pi_1") == consumer.done
    assert len(set(re.findall(r"\[([0-9a-f-]{36})\]: \S+ evt_1 about", written))) == consumer.done - 1
