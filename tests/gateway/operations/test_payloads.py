"""Events read where they are kept: over both brokers, masked or whole, and nothing moved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.backends import open_publisher
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.events.message import Message
from gateway.operations.event_models import EventView, PayloadPlace
from gateway.operations.event_view import event_view
from gateway.operations.events import payload
from gateway.operations.payload_shapes import shape_of
from gateway.publishers.spool.files import spool_path
from gateway.publishers.spool.store import Spool
from support.journal_entries import NOON, Story, journal_of
from support.letter_queues import (
    DEAD,
    FAILED,
    QUARANTINE,
    QUEUE,
    VIOLATIONS,
    Broker,
    configuration,
    embedded,
    event,
    ids,
)
from support.ports import free_port
from support.waiting import wait_until_async

SECRET = '{"customer": {"email": "ada@example.com"}, "total": 1.50, "paid": true, "lines": ["a", "b"], "note": null}'


def _view(config: Config, *outcomes: str, event_id: str = "id-1") -> EventView:
    story = Story(event_id, "acme")
    story.received(outcomes[0])
    for outcome in outcomes[1:]:
        story.attempt(outcome, 1)
    view = event_view(config, journal_of(story), event_id, now=NOON + 60)
    assert view
    return view


async def test_from_the_dead_letters(broker: Broker) -> None:
    """Among others, without changing the queue; the provider has to be the same."""
    await broker.declare(QUEUE, DEAD)
    for number in range(3):
        await broker.put(DEAD, event(number, SECRET), FAILED)
    await broker.put(
        DEAD, event(1, '{"of": "another"}', provider="other"), {**FAILED, "x-routing-key": "other.x"}, ""
    )

    found = await payload(broker.config, _view(broker.config, "accepted", "dead"), is_whole=True)

    assert found
    assert (found.place.kind, found.place.queue) == ("dead_letters", DEAD)
    assert found.event["data"] == json.loads(SECRET)
    assert found.body == event(1, SECRET)
    assert found.headers["x-reason"] == "no such customer"
    assert sorted(await ids(broker, DEAD)) == ["id-0", "id-1", "id-1", "id-2"]


async def test_from_the_quarantine_masked(broker: Broker) -> None:
    """The envelope is whole; of the data there are keys, types and lengths."""
    await broker.declare(QUARANTINE)
    await broker.put(QUARANTINE, event(1, SECRET), {"violations": VIOLATIONS}, "acme.order.created")

    found = await payload(broker.config, _view(broker.config, "quarantined"), is_whole=False)

    assert found
    assert found.place.kind == "quarantine"
    assert found.event["id"] == "id-1"
    assert found.event["data"] == {
        "customer": {"email": "<string, 15>"},
        "total": "<number>",
        "paid": "<boolean>",
        "lines": ["<string, 1>", "<1 more>"],
        "note": None,
    }
    assert not found.body
    assert "ada" not in repr(found)


async def test_nowhere(broker: Broker) -> None:
    """Queues without the event, and queues that do not exist."""
    view = _view(broker.config, "accepted", "dead")
    assert await payload(broker.config, view, is_whole=True) is None

    await broker.declare(QUEUE, DEAD)
    assert await payload(broker.config, view, is_whole=True) is None


async def test_from_a_queue_only_where_that_takes_nothing(broker: Broker) -> None:
    """The embedded queue can be read beside its worker; RabbitMQ's would lose its order."""
    await broker.declare(QUEUE)
    await broker.put(QUEUE, event(1, SECRET), {}, "acme.order.created")

    found = await payload(broker.config, _view(broker.config, "accepted", "retried"), is_whole=True)

    if broker.config.rabbitmq.url == "embedded":
        assert found
        assert (found.place.kind, found.place.queue) == ("queue", QUEUE)
    else:
        assert found is None


async def test_from_the_archive(broker: Broker) -> None:
    """After it was handled, among others."""
    archive = broker.config.archive.model_copy(update={"enabled": True})
    config = broker.config.model_copy(update={"archive": archive})
    publisher = open_publisher(config)
    await publisher.start()
    await wait_until_async(lambda: not publisher.unavailable_reason, message="the broker is there")
    for number in range(3):
        await publisher.publish(_message(number))
    await publisher.stop()
    view = replace(_view(config, "accepted", "handled"), first_at=0.0)

    found = await payload(config, view, is_whole=True)

    assert found
    assert (found.place.kind, found.event["id"]) == ("archive", "id-1")
    assert await payload(config, replace(view, event_id="id-9"), is_whole=True) is None


def _message(number: int) -> Message:
    headers: Mapping[str, str] = {"provider": "acme"}
    return Message(
        "webhooks", "acme.order.created", f"id-{number}", "com.acme.x", dict(headers), event(number, SECRET)
    )


async def test_from_the_spool(tmp_path: Path) -> None:
    """While the broker is away."""
    config = configuration(tmp_path, f"amqp://127.0.0.1:{free_port()}/")
    await _spool(tmp_path, 3)
    story = Story("id-1", "acme")
    story.received(reason="spooled")
    view = event_view(config, journal_of(story), "id-1", now=NOON + 1)
    assert view

    found = await payload(config, view, is_whole=True)

    assert found
    assert (found.place.kind, found.event["id"]) == ("spool", "id-1")


async def _spool(folder: Path, count: int) -> None:
    spool = Spool(spool_path(folder, 0), 10**9)
    await spool.start()
    for number in range(count):
        await spool.append(_message(number))
    await spool.stop()


async def test_a_broker_that_is_away_is_reported(tmp_path: Path) -> None:
    """Not taken for an event that is nowhere."""
    config = configuration(tmp_path, f"amqp://guest:hidden@127.0.0.1:{free_port()}/")

    with pytest.raises(OperatorError, match="RabbitMQ") as caught:
        await payload(config, _view(config, "accepted", "dead"), is_whole=True)
    assert "hidden" not in str(caught.value)


async def test_what_is_no_event(tmp_path: Path) -> None:
    """Anyone may publish to a queue."""
    async with embedded(tmp_path) as broker:
        await broker.declare(DEAD)
        await broker.database.run(
            lambda connection: connection.execute(
                "INSERT INTO messages (queue, routing_key, message_id, body, visible_at) VALUES (?, 'acme.x', 'id-1', ?, 0)",
                (DEAD, b"\xff\xfe no json"),
            )
        )
        view = replace(
            _view(broker.config, "accepted", "dead"), places=(PayloadPlace("dead_letters", DEAD, "There."),)
        )

        found = await payload(broker.config, view, is_whole=False)

    assert found
    assert found.event == "<not a readable event, 10 bytes>"


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("é" * 3, "<string, 3>"),
        (1, "<number>"),
        (True, "<boolean>"),
        (None, None),
        ([], "<list, 0 elements>"),
        ([1], ["<number>"]),
        ({}, {}),
        ({str(number): 1 for number in range(501)}, None),
    ],
)
def test_shapes(value: Any, shape: Any) -> None:
    """Keys, types and lengths; of very many members the first."""
    found = shape_of(value)
    if isinstance(value, dict) and len(value) > 500:
        assert len(found) == 501
        assert found["…"] == "<1 more>"
    else:
        assert found == shape


def test_deep_values_end() -> None:
    """At a level that no provider reaches."""
    value: Any = "x"
    for _ in range(40):
        value = {"a": [value]}

    assert "<" in json.dumps(shape_of(value))
    assert len(json.dumps(shape_of(value))) < 500
