"""What an operator does with events that no queue was bound for, over both brokers."""

from __future__ import annotations

import pytest

from gateway.errors import OperatorError
from gateway.operations.unrouted import drop, groups, listing, route
from gateway.queues.filter import EventFilter
from gateway.queues.unrouted import UnroutedFilter
from support.letter_queues import EVERYTHING, QUEUE, Broker, event, ids

UNROUTED = "webhooks.unrouted"


async def fill(broker: Broker) -> None:
    """Three events of two types."""
    await broker.declare(UNROUTED, QUEUE)
    for number, kind in enumerate(["order.created", "order.paid", "order.created"]):
        body = event(number, eventtype=kind, receivedat=f"2026-11-21T07:00:0{number}Z")
        await broker.put(UNROUTED, body, {"provider": "acme"})


async def test_unrouted_events_are_grouped_by_type(broker: Broker) -> None:
    """With the span in which they came."""
    await fill(broker)
    found = await groups(broker.config)
    first, second = found.groups

    assert (found.queue, found.total) == (UNROUTED, 3)
    assert (first.provider, first.type, first.count, first.example) == ("acme", "order.created", 2, "id-2")
    assert first.first is not None
    assert first.last == first.first + 2
    assert (second.type, second.count) == ("order.paid", 1)


async def test_unrouted_events_go_where_they_are_sent_or_are_deleted(broker: Broker) -> None:
    """By pattern; the rest waits."""
    await fill(broker)
    count = await route(broker.config, QUEUE, UnroutedFilter(patterns=("acme.order.created",)), actor="ada")

    assert count == 2
    assert await ids(broker, QUEUE) == ["id-0", "id-2"]
    assert [letter.message_id for letter in await listing(broker.config)] == ["id-1"]
    assert await drop(broker.config, EventFilter(ids=["id-1"]), confirmed=1) == 1
    assert (await groups(broker.config)).groups == ()


async def test_unrouted_events_cannot_be_routed_to_themselves(broker: Broker) -> None:
    """They would go round for ever."""
    await fill(broker)
    with pytest.raises(OperatorError, match="is the queue of the unrouted events"):
        await route(broker.config, UNROUTED, EVERYTHING)
    assert len(await ids(broker, UNROUTED)) == 3
