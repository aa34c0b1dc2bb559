"""One event is delivered again from wherever it is kept, over both brokers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.backends import open_publisher
from gateway.config import Config
from gateway.errors import EventNotFound, OperatorError, QueueNotFound
from gateway.events.message import Message
from gateway.events.validation import UNREADABLE
from gateway.operations.redeliver import Redelivered, redeliver
from gateway.operations.replay import plan, run
from gateway.queues.filter import EventFilter
from gateway.transport.readiness import wait_ready
from support.letter_queues import DEAD, FAILED, QUARANTINE, QUEUE, VIOLATIONS, Broker, event, ids

UNROUTED = "webhooks.unrouted"
KEY = "acme.order.created"


def archiving(config: Config) -> Config:
    """The same configuration with an archive."""
    return config.model_copy(update={"archive": config.archive.model_copy(update={"enabled": True})})


async def publish(config: Config, *numbers: int) -> None:
    """Publish events as the gateway does, which archives them."""
    publisher = open_publisher(config)
    await publisher.start()
    assert await wait_ready(lambda: not publisher.unavailable_reason, 30.0)
    for number in numbers:
        await publisher.publish(
            Message("webhooks", KEY, f"id-{number}", "com.acme.x", {"provider": "acme"}, event(number))
        )
    await publisher.stop()


async def again(config: Config, number: int, **options: Any) -> Redelivered:
    """Deliver an event to the worker's queue again."""
    return await redeliver(config, config.data_dir, "acme", f"id-{number}", QUEUE, **options)


async def test_a_dead_letter_of_the_queue_is_redriven(broker: Broker) -> None:
    """It is not copied: it would be there once more when the group is redriven."""
    await broker.declare(QUEUE, DEAD)
    for number in range(3):
        await broker.put(DEAD, event(number), FAILED)

    assert await again(broker.config, 1) == Redelivered("dead_letters", DEAD, QUEUE, 1)
    assert (await ids(broker, DEAD), await ids(broker, QUEUE)) == (["id-0", "id-2"], ["id-1"])


async def test_an_archived_event_is_delivered_as_a_copy(broker: Broker) -> None:
    """Once, marked as replayed; near its time if that is known; and forced only if that is asked for."""
    config = archiving(broker.config)
    await broker.declare(QUEUE)
    await publish(config, 1, 2)
    planned = await plan(config, EventFilter(pattern="order.*"), limit=1)

    assert await again(config, 2) == Redelivered("archive", "", QUEUE, 1)
    ((number, headers, body),) = await broker.take_all(QUEUE)
    assert (number, headers["x-replayed"], "x-replay-force" in headers) == ("id-2", "true", False)
    assert body.startswith(b'{"replayed":true,')
    await again(config, 1, force=True, received_at=1795244400.0)
    *_, (number, headers, _) = await broker.take_all(QUEUE)
    assert (number, "x-replay-force" in headers) == ("id-1", True)
    elsewhere = await again(config, 1, received_at=1.0)  # nothing was bound when it was published
    assert elsewhere.source == "unrouted"
    assert (planned.count, [each.id for each in planned.first]) == (1, ["id-1"])
    assert (planned.first[0].provider, planned.first[0].type) == ("acme", "order.created")


async def test_a_replay_delivers_what_was_planned(broker: Broker) -> None:
    """In order, with its progress; a plan delivers nothing and names ten."""
    config = archiving(broker.config)
    await broker.declare(QUEUE)
    await publish(config, *range(12))
    planned = await plan(config, EventFilter(provider="acme"))
    assert await ids(broker, QUEUE) == []
    progress: list[tuple[int, int]] = []
    done = await run(
        config, EventFilter(provider="acme"), QUEUE, on_progress=lambda *numbers: progress.append(numbers)
    )

    assert (planned.count, len(planned.first), planned.first[0].id) == (12, 10, "id-0")
    assert (done.delivered, done.read) == (12, 12)
    assert await ids(broker, QUEUE) == [f"id-{number}" for number in range(12)]
    assert progress[0] == (0, 0)
    assert progress[-1][0] == progress[-1][1]
    with pytest.raises(OperatorError, match="there is no queue 'nowhere'"):
        await run(config, EventFilter(), "nowhere")


async def test_an_unrouted_event_is_moved(broker: Broker) -> None:
    """To the queue that it should have been in."""
    await broker.declare(QUEUE, UNROUTED)
    await broker.put(UNROUTED, event(1), {"provider": "acme"})

    assert await again(broker.config, 1) == Redelivered("unrouted", UNROUTED, QUEUE, 1)
    assert (await ids(broker, UNROUTED), await ids(broker, QUEUE)) == ([], ["id-1"])


async def test_a_quarantined_event_is_moved_if_it_passes_or_by_force(broker: Broker) -> None:
    """Without the header that says what it broke; what no worker can read stays."""
    await broker.declare(QUEUE, QUARANTINE)
    unreadable = {"provider": "acme", "violations": str(UNREADABLE.violations)}
    for number, data, headers in (
        (1, '{"total": 1}', {"provider": "acme", "violations": VIOLATIONS}),
        (2, '{"total": null}', {"provider": "acme", "violations": VIOLATIONS}),
        (3, '{"total": 1e999}', unreadable),
    ):
        await broker.put(QUARANTINE, event(number, data), headers, key=KEY)

    assert await again(broker.config, 1) == Redelivered("quarantine", QUARANTINE, QUEUE, 1)
    with pytest.raises(OperatorError, match="still breaks its schema: /total"):
        await again(broker.config, 2)
    assert (await again(broker.config, 2, force=True)).source == "quarantine"
    with pytest.raises(OperatorError, match="no reader of JSON takes"):
        await again(broker.config, 3, force=True)
    assert await ids(broker, QUARANTINE) == ["id-3"]
    taken = await broker.take_all(QUEUE)
    assert [number for number, _, _ in taken] == ["id-1", "id-2"]
    assert all("violations" not in headers for _, headers, _ in taken)


async def test_a_dead_letter_of_another_queue_is_found_last(broker: Broker) -> None:
    """It leaves that queue, as the operator asked."""
    await broker.declare(QUEUE, "other", "other.dead")
    await broker.put("other.dead", event(1), FAILED)
    with pytest.raises(EventNotFound, match=r"the dead letters of billing-agent.*archive.enabled is false"):
        await again(broker.config, 1)

    assert (await again(broker.config, 1, dead_queues=["other"])).queue == "other.dead"
    assert (await ids(broker, "other.dead"), await ids(broker, QUEUE)) == ([], ["id-1"])


async def test_there_has_to_be_a_queue_to_deliver_to(broker: Broker) -> None:
    """And another provider's event of the same id is another event."""
    await broker.declare(DEAD, QUARANTINE, UNROUTED)
    await broker.put(DEAD, event(1), FAILED)
    with pytest.raises(QueueNotFound, match=f"there is no queue {QUEUE}"):
        await again(broker.config, 1)
    await broker.declare(QUEUE)
    with pytest.raises(EventNotFound, match="stripe event 'id-1' is in no place"):
        await redeliver(broker.config, broker.config.data_dir, "stripe", "id-1", QUEUE)
    assert await ids(broker, DEAD) == ["id-1"]
