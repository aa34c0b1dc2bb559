"""Events are accepted in batches: once each, with a delivery for each endpoint that wants them, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from gateway.outbound.accept import BATCH_SIZE, Acceptor, Entry, Incoming
from gateway.outbound.cloudevent import read_event
from gateway.outbound.directory import Directory
from gateway.outbound.models import DeliveryState, EndpointState, Subscription
from gateway.outbound.store import DeliveryFilter, StoreUnavailable
from gateway.outbound.store.memory import MemoryStore
from support.outbound_records import an_endpoint

NOW = 1_795_251_502.0


class Database(MemoryStore):
    """A store that notes its batches, and can be away."""

    def __init__(self) -> None:
        super().__init__(lambda: NOW)
        self.is_away = False
        self.batches: list[int] = []

    async def accept(self, accepted: Sequence[Entry]) -> list[bool]:
        """Keep them, unless it is away."""
        if self.is_away:
            raise StoreUnavailable("away")
        self.batches.append(len(accepted))
        return await super().accept(accepted)


class Place:
    """An acceptor with what belongs to it."""

    def __init__(self) -> None:
        self.store = Database()
        self.directory = Directory(self.store)
        self.told: list[str] = []
        self.acceptor = Acceptor(self.store, self.directory, lambda: NOW, self._note)

    def _note(self, accepted: Sequence[Entry]) -> None:
        self.told += [message.event_id for message, _ in accepted]


@pytest.fixture
async def place() -> Place:
    """With one endpoint that wants events of Stripe, ordered by their subject."""
    made = Place()
    await made.store.put_endpoint(an_endpoint(order="subject"))
    await made.directory.refresh()
    return made


def incoming(event_id: str, key: str = "stripe.invoice.paid", **settings: object) -> Incoming:
    """An event."""
    members = {"id": event_id, "source": "/stripe", "type": "t", "subject": "in_1", "data": {}}
    body = json.dumps(members).encode()
    return Incoming(read_event(body), key, body, **settings)  # type: ignore[arg-type]


async def test_an_event_is_kept_with_a_delivery_for_each_endpoint_that_wants_it(place: Place) -> None:
    """With the order key of the endpoint; whoever delivers is told."""
    (accepted,) = await place.acceptor.accept([incoming("evt_1")])
    assert accepted.is_new
    (delivery,) = accepted.deliveries
    assert (delivery.state, delivery.order_key, delivery.due_at) == (DeliveryState.PENDING, "in_1", NOW)
    assert await place.store.message(accepted.message)
    assert place.told == ["evt_1"]


async def test_the_same_event_is_accepted_once(place: Place) -> None:
    """Within a batch, and later."""
    first = await place.acceptor.accept([incoming("evt_1"), incoming("evt_1")])
    later = await place.acceptor.accept([incoming("evt_1")])
    assert [each.is_new for each in first + later] == [True, False, False]
    assert [len(each.deliveries) for each in first + later] == [1, 0, 0]
    assert place.told == ["evt_1"]
    assert await place.store.count(DeliveryFilter()) == 1


async def test_what_comes_together_is_written_together_up_to_a_limit(place: Place) -> None:
    """However many callers there are."""
    await asyncio.gather(
        *(place.acceptor.accept([incoming(f"evt_{number}")]) for number in range(BATCH_SIZE + 5))
    )
    assert place.store.batches == [BATCH_SIZE, 5]


async def test_what_could_not_be_written_is_told_to_everybody_who_waits(place: Place) -> None:
    """It can be accepted again."""
    place.store.is_away = True
    answers = await asyncio.gather(
        *(place.acceptor.accept([incoming(f"evt_{number}")]) for number in range(3)), return_exceptions=True
    )
    assert {type(each) for each in answers} == {StoreUnavailable}
    assert place.told == []
    place.store.is_away = False
    assert (await place.acceptor.accept([incoming("evt_0")]))[0].is_new


async def test_an_event_that_nobody_wants_is_kept_only_where_its_sender_may_ask(place: Place) -> None:
    """One of the gateway's own is dropped; an agent's is kept."""
    own, emitted = await place.acceptor.accept(
        [incoming("evt_1", "github.push", keeps_unwanted=False), incoming("evt_2", "github.push")]
    )
    assert await place.store.message(own.message) is None
    assert await place.store.message(emitted.message)
    assert not emitted.deliveries


async def test_an_event_about_an_endpoint_does_not_go_there(place: Place) -> None:
    """Others get it."""
    await place.store.put_endpoint(an_endpoint("other", subscriptions=(Subscription(events=("#",)),)))
    await place.directory.refresh()
    (accepted,) = await place.acceptor.accept([incoming("evt_1", without="ep_shop")])
    assert [each.endpoint for each in accepted.deliveries] == ["ep_other"]


async def test_deliveries_to_a_disabled_or_full_endpoint_are_held(place: Place) -> None:
    """They are not dropped."""
    await place.store.put_endpoint(an_endpoint(max_pending=2))
    await place.directory.refresh()
    states = [
        (await place.acceptor.accept([incoming(f"evt_{number}")]))[0].deliveries[0].state
        for number in range(3)
    ]
    assert states == [DeliveryState.PENDING, DeliveryState.PENDING, DeliveryState.HELD]
    health = replace(place.directory.health["ep_shop"], state=EndpointState.DISABLED)
    await place.store.put_endpoint(an_endpoint())
    await place.store.put_health(health, by_person=True)
    await place.directory.refresh()
    (accepted,) = await place.acceptor.accept([incoming("evt_x")])
    assert accepted.deliveries[0].state is DeliveryState.HELD
