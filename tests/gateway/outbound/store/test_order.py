"""What every store promises of deliveries that go one after another."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.outbound.ids import shard_of
from gateway.outbound.models import Delivery, DeliveryState, Operation, Trigger
from gateway.outbound.store import Conflict, DeliveryFilter, Store
from support.outbound_records import a_delivery, a_message, a_record, an_endpoint, new_id

PENDING, HELD, DELIVERED, DEAD, CANCELLED = DeliveryState


async def accept(
    store: Store, now: float, *, key: str = "in_1", sequence: str = "", **changes: Any
) -> Delivery:
    """Accept a message with a delivery of an order key."""
    message = a_message(at=now, sequence=sequence)
    delivery = a_delivery(message, order_key=key, **changes)
    assert await store.accept([(message, [delivery])]) == [True]
    return delivery


async def own(store: Store) -> int:
    """Take all shards, and return the epoch of the endpoint's."""
    leases = await store.lease("one", 600.0, want=256)
    return next(each.epoch for each in leases if each.shard == shard_of("ep_shop"))


async def due(store: Store, without: tuple[str, ...] = ()) -> list[str]:
    """Return the ids of the deliveries that are due, in their order."""
    found = [each.id for each in await store.due("ep_shop", 1e12, 100, without)]
    assert bool(found) >= bool(await store.next_due(["ep_shop"])) or without
    return sorted(found)


async def test_one_of_each_key_is_due(store: Store, now: float) -> None:
    """The oldest; those without a key are due all."""
    await store.put_endpoint(an_endpoint(order="subject"))
    first = await accept(store, now)
    second = await accept(store, now + 1)
    other = await accept(store, now + 2, key="in_2")
    free = [await accept(store, now + 3, key="") for _ in range(2)]

    assert await due(store) == sorted([first.id, other.id, *(each.id for each in free)])
    assert await due(store, (first.id,)) == sorted([other.id, *(each.id for each in free)])
    epoch = await own(store)
    await store.record([a_record(first, DELIVERED, epoch, at=now)])
    assert await due(store, tuple(each.id for each in free)) == sorted([second.id, other.id])


async def test_one_that_failed_keeps_its_turn(store: Store, now: float) -> None:
    """The others of its key wait until it is due again."""
    await store.put_endpoint(an_endpoint(order="subject"))
    epoch = await own(store)
    first = await accept(store, now)
    await accept(store, now + 1)

    await store.record([a_record(first, PENDING, epoch, at=now, due_at=now + 500)])

    assert await store.due("ep_shop", now + 499, 10) == []
    assert await store.next_due(["ep_shop"]) == {"ep_shop": now + 500}
    assert (await store.waiting(["ep_shop"]))["ep_shop"].next_due == now + 500


async def test_sequences_decide_where_there_are_some(store: Store, now: float) -> None:
    """One that comes late takes the turn of those after it."""
    await store.put_endpoint(an_endpoint(order="subject"))
    epoch = await own(store)
    third = await accept(store, now, sequence="0000000003")
    second = await accept(store, now + 1, sequence="0000000002")
    first = await accept(store, now + 2, sequence="0000000001")

    for each in (first, second, third):
        assert await due(store) == [each.id]
        await store.record([a_record(each, DELIVERED, epoch, at=now)])
    assert await due(store) == []


@pytest.mark.parametrize("on_dead", ["skip", "hold"])
async def test_a_dead_one_holds_its_key_where_that_is_wanted(store: Store, now: float, on_dead: str) -> None:
    """And its own key alone."""
    await store.put_endpoint(an_endpoint(order="subject", on_dead=on_dead))
    epoch = await own(store)
    first, second = await accept(store, now), await accept(store, now + 1)
    other, free = await accept(store, now, key="in_2"), await accept(store, now, key="")

    await store.record([a_record(first, DEAD, epoch, at=now)])
    late = await accept(store, now + 2, key="in_3")

    expected = {other.id, free.id, late.id} | ({second.id} if on_dead == "skip" else set())
    assert await due(store) == sorted(expected)


async def held_key(store: Store, now: float) -> tuple[Delivery, Delivery, int]:
    """Return a dead delivery, the one that waits behind it, and the epoch."""
    await store.put_endpoint(an_endpoint(order="subject", on_dead="hold"))
    epoch = await own(store)
    dead, waits = await accept(store, now), await accept(store, now + 1)
    await store.record([a_record(dead, DEAD, epoch, at=now)])
    assert await due(store) == []
    assert await store.next_due(["ep_shop"]) == {}
    return dead, waits, epoch


async def test_redelivering_frees_a_key(store: Store, now: float) -> None:
    """The dead one goes first, then the next."""
    dead, waits, epoch = await held_key(store, now)

    again = await store.redeliver(dead.id, trigger=Trigger.MANUAL, at=now)
    assert await due(store) == [dead.id]
    await store.record([a_record(again, DEAD, epoch, at=now)])
    assert await due(store) == []
    again = await store.redeliver(dead.id, trigger=Trigger.MANUAL, at=now)
    await store.record([a_record(again, DELIVERED, epoch, at=now)])
    assert await due(store) == [waits.id]


async def test_cancelling_a_dead_one_frees_its_key(store: Store, now: float) -> None:
    """Only if dead ones are named: to cancel what waits is another decision."""
    dead, waits, _ = await held_key(store, now)

    assert await store.cancel(DeliveryFilter(delivery=dead.id)) == 0
    assert await due(store) == []
    assert await store.cancel(DeliveryFilter(delivery=dead.id, states=(DEAD,))) == 1
    assert await due(store) == [waits.id]
    assert await store.cancel(DeliveryFilter(endpoint="ep_shop", states=(DELIVERED,))) == 0


async def test_other_ends_of_a_dead_one_free_its_key(store: Store, now: float) -> None:
    """It was forgotten, it became too old, or its endpoint skips dead ones from now on."""
    dead, waits, epoch = await held_key(store, now)
    await store.forget(dead.message)
    assert await due(store) == [waits.id]

    await store.record([a_record(waits, DEAD, epoch, at=now)])
    behind = await accept(store, now + 3)
    assert await due(store) == []
    await store.put_endpoint(an_endpoint(order="subject", on_dead="skip"))
    assert await due(store) == [behind.id]
    await store.put_endpoint(an_endpoint(order="subject", on_dead="hold"))
    assert await due(store) == []
    await store.prune(now + 31 * 86_400.0)
    assert await due(store) == [behind.id]


async def test_a_key_moves_on_when_its_first_is_cancelled(store: Store, now: float) -> None:
    """By a person, with its operation, or with its message."""
    await store.put_endpoint(an_endpoint(order="subject"))
    epoch = await own(store)
    found = [await accept(store, now + place) for place in range(4)]
    await store.record([a_record(found[0], DELIVERED, epoch, at=now)])
    operation = Operation(
        id=new_id("op", now), endpoint="ep_shop", created_at=now, actor="", state="running", total=0
    )
    await store.replay(operation, DeliveryFilter(delivery=found[0].id), rate=1.0)
    assert await due(store) == [found[0].id]

    await store.cancel_operation(operation.id)
    assert await due(store) == [found[1].id]
    await store.cancel(DeliveryFilter(delivery=found[1].id))
    assert await due(store) == [found[2].id]
    await store.forget(found[2].message)
    assert await due(store) == [found[3].id]


async def test_what_is_resumed_takes_its_place(store: Store, now: float) -> None:
    """A held delivery holds nobody up; once it is resumed, it is the oldest."""
    await store.put_endpoint(an_endpoint(order="subject"))
    held = await accept(store, now, state=HELD)
    second = await accept(store, now + 1)
    assert await due(store) == [second.id]

    await store.resume("ep_shop", since=0.0)

    assert await due(store) == [held.id]


async def test_keys_of_endpoints_are_apart(store: Store, now: float) -> None:
    """The same subject at two endpoints is two keys."""
    for name in ("shop", "other"):
        await store.put_endpoint(an_endpoint(name, order="subject"))
    first = await accept(store, now)
    other = await accept(store, now, endpoint="ep_other")

    assert [each.id for each in await store.due("ep_other", 1e12, 10)] == [other.id]
    assert await due(store) == [first.id]


@pytest.mark.parametrize("on_dead", ["skip", "hold"])
async def test_whatever_happens_at_once_the_order_is_right_at_the_end(
    open_store: Any, now: float, on_dead: str
) -> None:
    """Three processes accept, record, redeliver, cancel and resume deliveries of few keys; every key is in order."""
    stores: list[Store] = [await open_store() for _ in range(3)]
    await stores[0].put_endpoint(an_endpoint(order="subject", on_dead=on_dead))
    epoch = await own(stores[0])
    chance = random.Random(7)
    accepted: list[Delivery] = []

    async def act(store: Store, number: int) -> None:
        known = await store.delivery(chance.choice(accepted).id) if accepted else None
        match number % 6 if known else 0:
            case 0 | 1:
                key, sequence = chance.choice(["in_1", "in_2", "in_3", ""]), str(chance.randrange(10))
                state = chance.choice([PENDING, PENDING, HELD])
                accepted.append(await accept(store, now + number, key=key, sequence=sequence, state=state))
            case 2 | 3:
                assert known
                ready = await store.due("ep_shop", 1e12, 3)
                state = chance.choice([DELIVERED, DEAD, PENDING])
                await store.record([a_record(each, state, epoch, at=now) for each in ready])
            case 4:
                assert known
                with_body = await store.message(known.message)
                assert with_body
                await store.redeliver(known.id, trigger=Trigger.MANUAL, at=now)
            case _:
                assert known
                choice = chance.randrange(4)
                if choice == 0:
                    await store.resume("ep_shop", since=now + number / 2)
                elif choice == 1:
                    await store.cancel(DeliveryFilter(delivery=known.id, states=(DEAD, PENDING)))
                else:
                    await store.cancel(DeliveryFilter(delivery=known.id))

    for turn in range(25):
        await asyncio.gather(*(act(store, turn * 6 + place) for place, store in enumerate(stores * 2)))

    everything = await stores[0].deliveries(DeliveryFilter(), limit=1000, oldest_first=True)
    sequences = {
        each.id: message.sequence for each in everything if (message := await stores[0].message(each.message))
    }
    expected = {each.id for each in everything if each.state is PENDING and not each.order_key}
    for key in {each.order_key for each in everything} - {""}:
        of_key = [each for each in everything if each.order_key == key]
        waiting = [each.id for each in of_key if each.state is PENDING]
        is_held = on_dead == "hold" and any(each.state is DEAD for each in of_key)
        if waiting and not is_held:
            expected.add(min(waiting, key=lambda each: (sequences[each], each)))
    assert len(everything) == len(accepted) > 20
    assert await due(stores[1]) == sorted(expected)


async def test_redelivering_and_cancelling_at_once_end_in_one_of_both(open_store: Any, now: float) -> None:
    """And never in a delivery that is due though it was cancelled, or the other way round."""
    one: Store = await open_store()
    two: Store = await open_store()
    await one.put_endpoint(an_endpoint())
    for _ in range(10):
        delivery = await accept(one, now, key="")
        await asyncio.gather(
            one.redeliver(delivery.id, trigger=Trigger.MANUAL, at=now),
            two.cancel(DeliveryFilter(delivery=delivery.id)),
            two.redeliver(delivery.id, trigger=Trigger.MANUAL, at=now),
            one.cancel(DeliveryFilter(message=delivery.message)),
        )
        found = await one.delivery(delivery.id)
        assert found
        is_due = delivery.id in await due(two)
        assert is_due == (found.state is PENDING)
        assert (found.ended_at is None) == is_due
        assert found.round >= 1
        await one.cancel(DeliveryFilter(delivery=delivery.id))


async def test_a_redelivery_after_forgetting_is_refused_however_they_meet(
    open_store: Any, now: float
) -> None:
    """Nothing is due that has no body."""
    one: Store = await open_store()
    two: Store = await open_store()
    await one.put_endpoint(an_endpoint())
    for _ in range(10):
        delivery = await accept(one, now, key="")
        answers = await asyncio.gather(
            one.redeliver(delivery.id, trigger=Trigger.MANUAL, at=now),
            two.forget(delivery.message),
            return_exceptions=True,
        )
        assert isinstance(answers[0], Delivery | Conflict)
        assert answers[1] is True
        message = await one.message(delivery.message)
        assert message
        assert message.body is None
        assert await due(two) == []
        assert replace(message, subject="") == message
