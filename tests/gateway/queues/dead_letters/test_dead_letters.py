"""Queues in which events wait for an operator, over both brokers: looked into without loss, emptied on purpose."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aio_pika
import pytest

from gateway.backends import open_dead_letters
from gateway.cli.dead import _drop, _list_selected, _redrive
from gateway.cli.dead_letters import list_letters, show_letter
from gateway.cli.quarantine import _release, _revalidate
from gateway.errors import OperatorError
from gateway.events.message import Message
from gateway.events.validation import UNREADABLE, UNTYPED, Validation
from gateway.publishers.sqlite import SqlitePublisher
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.dead_letters.quarantine import Revalidator, released_message
from gateway.queues.dead_letters.rabbitmq import BATCH_SIZE
from gateway.queues.embedded import SqliteConsumer
from gateway.queues.filter import EventFilter
from gateway.transport.embedded import Database
from support.letter_queues import (
    DEAD,
    EVERYTHING,
    FAILED,
    QUARANTINE,
    QUEUE,
    VIOLATIONS,
    Broker,
    Embedded,
    browse,
    configuration,
    event,
    ids,
    rabbit,
)
from support.ports import free_port


async def test_a_queue_that_is_looked_into_stays_as_it_is(broker: Broker) -> None:
    """Often: all is there, in its order, in more than one piece, with what it was published with."""
    count = BATCH_SIZE + 20
    await broker.declare(DEAD)
    for number in range(count):
        await broker.put(DEAD, event(number), FAILED)
    for _ in range(4):
        seen = await browse(broker, DEAD)

        assert [held.message_id for held in seen] == [f"id-{number}" for number in range(count)]
    assert seen[7].facts() == {
        "id": "id-7",
        "provider": "acme",
        "eventtype": "order.created",
        "receivedat": "2026-11-21T07:00:00.000Z",
        "attempts": 3,
        "reason": "no such customer",
        "exception": "LookupError",
        "first_failed_at": "2026-11-21T08:00:00Z",
        "last_failed_at": "2026-11-21T09:00:00Z",
    }
    assert [(f"id-{number}", FAILED, event(number)) for number in range(count)] == await broker.take_all(DEAD)


async def test_looking_costs_no_event_where_the_broker_limits_deliveries(
    tmp_path: Path, rabbitmq_url: str
) -> None:
    """It would drop those that come back more often; they are published anew in time."""
    async with rabbit(tmp_path, rabbitmq_url) as broker:
        await broker.declare(DEAD, **{"x-delivery-limit": 2})
        for number in range(5):
            await broker.put(DEAD, event(number), FAILED)
        for _ in range(8):
            seen = await browse(broker, DEAD)

            assert [held.message_id for held in seen] == [f"id-{number}" for number in range(5)]


async def test_a_browse_that_breaks_off_loses_nothing(broker: Broker) -> None:
    """Whatever ends it."""
    await broker.declare(DEAD)
    for number in range(3):
        await broker.put(DEAD, event(number), FAILED)

    async def break_off() -> None:
        async with open_dead_letters(broker.config, DEAD) as dead_letters:
            async for _ in dead_letters.browse():
                raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await break_off()

    assert len(await browse(broker, DEAD)) == 3


async def test_what_is_redriven_is_as_if_it_had_never_failed(
    broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """In its order, with its bytes and the routing key that it came with; the others stay, in theirs."""
    await broker.declare(QUEUE, DEAD)
    for number in range(4):
        await broker.put(DEAD, event(number), FAILED | {"x-reason": "timeout" if number % 2 else "other"})

    await _redrive(broker.config, QUEUE, EventFilter(reason="TIMEOUT"), None, dry_run=True)
    assert len(await browse(broker, DEAD)) == 4
    assert "id-1  3 attempts  LookupError: timeout" in capsys.readouterr().out
    await _redrive(broker.config, QUEUE, EventFilter(reason="TIMEOUT"), None, dry_run=False)

    assert "2 events redriven to billing-agent\n" in capsys.readouterr().err
    assert await ids(broker, DEAD) == ["id-0", "id-2"]
    headers = {"provider": "acme", "x-routing-key": "acme.order.created"}
    assert await broker.take_all(QUEUE) == [("id-1", headers, event(1)), ("id-3", headers, event(3))]


async def test_moves_that_are_interrupted_lose_nothing(broker: Broker) -> None:
    """At any moment: each event is in one of the two queues, and one for each interruption at most in both."""
    expected = {f"id-{number}" for number in range(60)}
    await broker.declare(QUEUE, DEAD)
    for number in range(60):
        await broker.put(DEAD, event(number), FAILED)
    moved: list[DeadLetter] = []

    async def move_all() -> None:
        async with open_dead_letters(broker.config, DEAD, QUEUE) as dead_letters:
            async for held in dead_letters.browse():
                await dead_letters.move(held, QUEUE)
                moved.append(held)

    interruptions = (10, 25, 40)
    for count in interruptions:
        task = asyncio.create_task(move_all())
        while len(moved) < count and not task.done():
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    dead, redriven = await ids(broker, DEAD), await ids(broker, QUEUE)

    assert set(dead) | set(redriven) == expected
    assert len(dead) + len(redriven) <= len(expected) + len(interruptions)
    assert len(redriven) >= interruptions[-1]


async def test_what_no_queue_takes_stays(broker: Broker) -> None:
    """Where the queue of the worker was removed meanwhile."""
    await broker.declare(DEAD)
    await broker.put(DEAD, event(1), FAILED)

    async def move() -> None:
        async with open_dead_letters(broker.config, DEAD) as dead_letters:
            async for held in dead_letters.browse():
                await dead_letters.move(held, "nowhere")

    with pytest.raises(OperatorError, match=DEAD):
        await move()

    assert await ids(broker, DEAD) == ["id-1"]


async def test_the_embedded_worker_gets_what_is_redriven_at_once(tmp_path: Path) -> None:
    """As a first delivery."""
    database = Database(tmp_path)
    consumer = SqliteConsumer(database, QUEUE)
    await consumer.start()
    broker = Embedded(tmp_path, database)
    await broker.declare(DEAD)
    await broker.put(DEAD, event(1), FAILED, key="acme.order.created")
    await _redrive(broker.config, QUEUE, EVERYTHING, None, dry_run=False)
    (delivery,) = await consumer.receive()
    await consumer.stop()

    assert (delivery.message_id, delivery.routing_key, delivery.deliveries) == (
        "id-1",
        "acme.order.created",
        1,
    )


async def test_only_what_was_shown_is_dropped(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """Not what has failed again since, or has come meanwhile."""
    await broker.declare(DEAD)
    for number in range(4):
        await broker.put(DEAD, event(number), FAILED)
    shown = await _list_selected(broker.config, DEAD, EVERYTHING, 2)
    await broker.put(DEAD, event(0), FAILED | {"x-last-failed-at": "2026-11-21T10:00:00Z"})
    await _drop(broker.config, DEAD, shown)
    captured = capsys.readouterr()

    assert [line.split()[3] for line in captured.out.splitlines()] == ["id-0", "id-1"]
    assert "2 events dropped from billing-agent.dead\n" in captured.err
    assert await ids(broker, DEAD) == ["id-2", "id-3", "id-0"]


@pytest.mark.parametrize(
    ("event_filter", "expected"),
    [
        (EVERYTHING, ["id-0", "id-1", "id-2"]),
        (EventFilter(provider="stripe"), ["id-1"]),
        (EventFilter(pattern="order.*"), ["id-0"]),
        (EventFilter(pattern="#.paid"), ["id-1", "id-2"]),
        (EventFilter(ids=["id-2"]), ["id-2"]),
        (EventFilter(reason="lookup"), ["id-0", "id-1", "id-2"]),
        (EventFilter(provider="acme", reason="late"), ["id-2"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_filters_take_what_they_say(event_filter: EventFilter, expected: list[str]) -> None:
    """All that are given have to fit; types match as in topic exchanges, with slashes for dots."""
    held = [
        DeadLetter(0, "", "id-0", FAILED, event(0)),
        DeadLetter(0, "", "id-1", FAILED, event(1, provider="stripe", eventtype="invoice.paid")),
        DeadLetter(0, "", "id-2", FAILED | {"x-reason": "Too late"}, event(2, eventtype="orders/paid")),
    ]

    assert [each.message_id for each in held if event_filter.accepts(each)] == expected


async def test_events_are_listed_and_counted(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """For people in one line each, for programs in JSON; no sender's text can move the cursor."""
    await broker.declare(QUARANTINE)
    for number in range(3):
        body = event(number, eventtype="order.\x9b31mpaid" if number else "order.created")
        await broker.put(QUARANTINE, body, {"violations": VIOLATIONS}, key="acme.order.created")
    await list_letters(broker.config, QUARANTINE, EVERYTHING, 2, as_json=False)
    people = capsys.readouterr()
    await list_letters(broker.config, QUARANTINE, EventFilter(ids=["id-2"]), None, as_json=True)
    programs = capsys.readouterr()

    assert people.out.splitlines() == [
        f"2026-11-21T07:00:00  acme  order.created  id-0  {VIOLATIONS}",
        f"2026-11-21T07:00:00  acme  order.31mpaid  id-1  {VIOLATIONS}",
    ]
    assert people.err == "3 events in webhooks.quarantine, 3 match (acme 3), 2 shown\n"
    assert json.loads(programs.out)["violations"] == VIOLATIONS
    assert programs.err == "3 events in webhooks.quarantine, 1 match (acme 1), 1 shown\n"


async def test_an_event_is_shown_whole(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """With its headers, however large its numbers are; one that is not there is told."""
    await broker.declare(DEAD)
    await broker.put(DEAD, event(1, '{"total": 123456789012345678901234567890, "name": "Zoë"}'), FAILED)
    await show_letter(broker.config, DEAD, "id-1")
    out = capsys.readouterr().out

    assert json.loads(out)["event"]["data"] == {"total": 123456789012345678901234567890, "name": "Zoë"}
    assert json.loads(out)["headers"] == FAILED
    assert "Zoë" in out
    with pytest.raises(OperatorError, match=r"billing-agent\.dead has no event with the id 'id-2'"):
        await show_letter(broker.config, DEAD, "id-2")


async def test_a_body_that_is_no_event_is_shown_all_the_same(
    tmp_path: Path, rabbitmq_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever put it there; and it stays where it cannot be judged."""
    async with rabbit(tmp_path, rabbitmq_url) as broker:
        await broker.declare(QUARANTINE)
        await broker.channel.default_exchange.publish(aio_pika.Message(b"\xff", message_id="odd"), QUARANTINE)
        await show_letter(broker.config, QUARANTINE, "odd")
        (held,) = await browse(broker, QUARANTINE)

    assert json.loads(capsys.readouterr().out)["body_base64"] == "/w=="
    assert (
        Revalidator(broker.config, tmp_path).validate(held).violations
        == "/: the configuration has no provider ''"
    )


@pytest.mark.parametrize("queue", [DEAD, QUEUE])
async def test_a_queue_that_is_not_there_is_named(broker: Broker, queue: str) -> None:
    """The one to look into, and the one that events are to go to."""
    if queue == QUEUE:
        await broker.declare(DEAD)
    with pytest.raises(OperatorError, match=rf"there is no queue {queue}\b"):
        await _redrive(broker.config, QUEUE, EVERYTHING, None, dry_run=False)


async def test_a_broker_that_is_not_there_is_told(tmp_path: Path) -> None:
    """RabbitMQ by its cause, the embedded one by its file, which is not made."""
    away = configuration(tmp_path, f"amqp://127.0.0.1:{free_port()}/")
    with pytest.raises(OperatorError, match=r"RabbitMQ: .*nothing is lost"):
        await show_letter(away, DEAD, "id-1")
    with pytest.raises(
        OperatorError, match=r"there is no queue billing-agent\.dead: .*embedded\.db is not there"
    ):
        await show_letter(configuration(tmp_path, "embedded"), DEAD, "id-1")

    assert not (tmp_path / "embedded.db").exists()


async def test_what_passes_today_is_released(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """Marked, with its id and its bytes, through the exchange; the rest stays, or goes by force without a schema."""
    await broker.declare(QUARANTINE, QUEUE)
    await broker.bind()
    bodies = [event(0, '{"total":  "1.50"}'), event(1), event(2, '{"total": 12}')]
    for body in bodies:
        headers = {"provider": "acme", "violations": VIOLATIONS}
        await broker.put(QUARANTINE, body, headers, key="acme.order.created")
    folder = broker.config.data_dir
    await _revalidate(broker.config, folder, EVERYTHING, None, of_agents=False, as_json=True)
    verdicts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for _ in range(3):  # often enough for RabbitMQ to be given them anew
        await browse(broker, QUARANTINE)
    await _release(broker.config, folder, EVERYTHING, None, of_agents=False, is_forced=False, dry_run=False)

    assert [(each["passes"], each["dataschema"]) for each in verdicts] == [
        (True, "urn:acme:2"),
        (False, None),
        (True, "urn:acme:2"),
    ]
    assert "2 events released to webhooks, 1 event still violating the schema\n" in capsys.readouterr().err
    assert await ids(broker, QUARANTINE) == ["id-1"]
    assert await broker.take_all(QUEUE) == [
        (f"id-{number}", {"provider": "acme"}, b'{"released":true,"dataschema":"urn:acme:2",' + body[1:])
        for number, body in enumerate(bodies)
        if number != 1
    ]
    await _release(broker.config, folder, EVERYTHING, None, of_agents=False, is_forced=True, dry_run=False)
    (last,) = [body for message_id, _, body in await broker.take_all(QUEUE) if message_id == "id-1"]
    assert last == b'{"released":true,' + bodies[1][1:]


async def test_what_no_worker_can_read_is_not_released(
    broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even by force: it would only move on to where the worker's dead events are."""
    await broker.declare(QUARANTINE, QUEUE)
    await broker.bind()
    headers = {"provider": "acme", "violations": str(UNREADABLE.violations)}
    await broker.put(QUARANTINE, event(0, '{"total": 1e999}'), headers, key="acme.order.created")
    folder = broker.config.data_dir
    await _release(broker.config, folder, EVERYTHING, None, of_agents=False, is_forced=True, dry_run=False)

    assert "0 events released to webhooks, 1 event still violating the schema\n" in capsys.readouterr().err
    assert await ids(broker, QUARANTINE) == ["id-0"]


def test_what_no_schema_has_said_no_schema_takes_back(tmp_path: Path) -> None:
    """An event without a type has none today either, and force gives it no schema."""
    held = DeadLetter(0, "acme.unknown", "id-1", {"violations": UNTYPED.violations}, event(1, '{"total": 1}'))

    assert Revalidator(configuration(tmp_path, "embedded"), tmp_path).validate(held) == UNTYPED
    assert b"dataschema" not in released_message(held, "webhooks", UNTYPED).body


def test_what_is_no_json_passes_as_it_did_not(tmp_path: Path) -> None:
    """There is nothing that a schema could say of it."""
    body = event(1)[: -len(',"data":{"total": 1.50}}')] + b',"data_base64":"AA=="}'

    verdict = Revalidator(configuration(tmp_path, "embedded"), tmp_path).validate(
        DeadLetter(0, "", "id-1", {}, body)
    )
    assert verdict == Validation(None, None)


async def test_the_embedded_quarantine_keeps_what_is_wrong(tmp_path: Path) -> None:
    """In a file of a gateway whose messages had no headers too."""
    database = Database(tmp_path)
    await database.start()
    await database.run(lambda connection: connection.execute("ALTER TABLE messages DROP COLUMN headers"))
    await database.stop()
    publisher = SqlitePublisher(Database(tmp_path), "webhooks")
    await publisher.start()
    await publisher.publish(
        Message(QUARANTINE, "acme.order.created", "id-1", "com.acme.x", {"violations": VIOLATIONS}, event(1))
    )
    await publisher.stop()
    async with open_dead_letters(configuration(tmp_path, "embedded"), QUARANTINE) as dead_letters:
        (held,) = [held async for held in dead_letters.browse()]

    assert (held.why, held.routing_key) == (VIOLATIONS, "acme.order.created")
