"""What every store promises: the way in, the owner, and what operators see. One suite for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.outbound.ids import first_id, renewed_id, shard_of
from gateway.outbound.models import Delivery, DeliveryState, Operation, OutboundMessage, Trigger
from gateway.outbound.store import Conflict, DeliveryFilter, MessageFilter, MessagePlace, Store
from gateway.outbound.store.answers import Lease, Waiting
from support.outbound_records import a_delivery, a_message, a_record, an_attempt, an_endpoint, new_id
from support.waiting import wait_until_async

PENDING, HELD, DELIVERED, DEAD, CANCELLED = DeliveryState


async def accept(store: Store, message: OutboundMessage, *endpoints: str, **changes: Any) -> list[Delivery]:
    """Accept a message with a delivery to each endpoint."""
    found = [a_delivery(message, each, **changes) for each in endpoints or ("ep_shop",)]
    assert await store.accept([(message, found)]) == [True]
    return found


async def own(store: Store, endpoint: str = "ep_shop", owner: str = "one") -> int:
    """Take all shards, and return the epoch of an endpoint's."""
    leases = await store.lease(owner, 600.0, want=256)
    return next(each.epoch for each in leases if each.shard == shard_of(endpoint))


async def state_of(store: Store, delivery: Delivery) -> DeliveryState:
    """Return what has become of a delivery."""
    found = await store.delivery(delivery.id)
    assert found
    return found.state


async def due(store: Store, endpoint: str = "ep_shop", before: float = 1e12) -> list[str]:
    """Return the ids of the deliveries that are due."""
    return [each.id for each in await store.due(endpoint, before, 100)]


async def test_what_was_accepted_is_found_as_it_was(store: Store, now: float) -> None:
    """The message with its bytes, and each delivery with all its fields."""
    await store.put_endpoint(an_endpoint())
    message = a_message(
        at=now, body=b'{"\xc3\xbc": 1}\x00', subject="sub", sequence="0000000004", traceparent="00-1"
    )
    (delivery,) = await accept(store, message, order_key="in_1")

    assert await store.message(message.id) == message
    assert await store.messages([message.id, "msg_of-nobody"]) == {message.id: message}
    assert await store.delivery(delivery.id) == delivery
    assert await store.delivery("dlv_of-nobody") is None
    assert await store.message("msg_of-nobody") is None
    assert await store.messages_of_event(message.event_id) == [message]
    assert await store.messages_of_event(message.event_id, "stripe") == [message]
    assert await store.messages_of_event(message.event_id, "github") == []


async def test_a_message_is_accepted_once(store: Store, now: float) -> None:
    """Within a batch, and again later: nothing of the second is kept."""
    await store.put_endpoint(an_endpoint())
    one, other = a_message("evt_one", at=now), a_message("evt_other", at=now)
    first = [a_delivery(one), a_delivery(one, "ep_shop")]

    assert await store.accept([(one, first), (other, []), (one, [a_delivery(one)])]) == [True, True, False]
    changed = replace(one, body=b"changed", accepted_at=now + 9)
    assert await store.accept([(changed, [a_delivery(changed)])]) == [False]
    assert await store.accept([]) == []

    assert await store.message(one.id) == one
    found = await store.deliveries(DeliveryFilter(message=one.id), oldest_first=True)
    assert found == first


async def test_processes_that_accept_the_same_accept_it_once(open_store: Any, now: float) -> None:
    """Each message is new for one of them, whatever order they are in; its deliveries are those of that one."""
    stores: list[Store] = [await open_store() for _ in range(3)]
    await stores[0].put_endpoint(an_endpoint())
    messages = [a_message(at=now) for _ in range(40)]
    batches = [messages, messages[::-1], messages[20:] + messages[:20]] * 2

    answers = await asyncio.gather(
        *(
            stores[place % 3].accept([(each, [a_delivery(each)]) for each in batch])
            for place, batch in enumerate(batches)
        )
    )

    wins = Counter(
        each.id
        for batch, answer in zip(batches, answers, strict=True)
        for each, new in zip(batch, answer, strict=True)
        if new
    )
    assert wins == Counter(each.id for each in messages)
    assert await stores[1].count(DeliveryFilter(endpoint="ep_shop")) == len(messages)


async def test_due_deliveries_come_longest_due_first(store: Store, now: float) -> None:
    """Those under way are passed over, and so is what is not due, held, or another endpoint's."""
    for name in ("shop", "other"):
        await store.put_endpoint(an_endpoint(name))
    message = a_message(at=now)
    moments = [now + 3, now + 1, now + 2, now + 1, now + 99]
    found = [a_delivery(message, due_at=each) for each in moments]
    others = [a_delivery(message, "ep_other", due_at=now), a_delivery(message, due_at=now, state=HELD)]
    await store.accept([(message, [*found, *others])])

    expected = [found[each].id for each in (1, 3, 2, 0)]
    assert [each.id for each in await store.due("ep_shop", now + 3, 10)] == expected
    assert [each.id for each in await store.due("ep_shop", now + 3, 2)] == expected[:2]
    without = await store.due("ep_shop", now + 3, 2, [expected[0], expected[2]])
    assert [each.id for each in without] == [expected[1], expected[3]]
    assert await store.due("ep_shop", now, 10) == []
    assert await store.due("ep_unknown", now, 10) == []
    assert await store.next_due(["ep_shop", "ep_other", "ep_unknown"]) == {
        "ep_shop": now + 1,
        "ep_other": now,
    }


async def test_what_waits_is_counted(store: Store, now: float) -> None:
    """By state, with the age of the oldest."""
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    (oldest,) = await accept(store, a_message(at=now - 50), due_at=now + 7)
    await accept(store, a_message(at=now), due_at=now + 5)
    await accept(store, a_message(at=now), state=HELD)
    for state in (DEAD, DELIVERED):
        (ended,) = await accept(store, a_message(at=now - 90))
        await store.record([a_record(ended, state, epoch, at=now)])

    waiting = await store.waiting(["ep_shop", "ep_unknown"])

    assert waiting == {
        "ep_shop": Waiting(pending=2, held=1, dead=1, oldest=oldest.created_at, next_due=now + 5),
        "ep_unknown": Waiting(),
    }
    assert (await store.waiting(["ep_shop"], max_counted=1))["ep_shop"].pending == 1


async def test_an_attempt_that_failed_is_tried_again(store: Store, now: float) -> None:
    """The delivery has what the owner wrote; the attempt has every field."""
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    (delivery,) = await accept(store, a_message(at=now))
    failed = a_record(delivery, PENDING, epoch, at=now, due_at=now + 30, retry_after=5.5, next_at=now + 30)

    assert await store.record([failed]) == [True]

    assert await store.delivery(delivery.id) == failed.delivery
    assert await store.attempts(delivery.id) == [failed.attempt]
    assert await store.next_due(["ep_shop"]) == {"ep_shop": now + 30}
    delivered = a_record(failed.delivery, DELIVERED, epoch, at=now + 31)
    assert await store.record([delivered]) == [True]
    found = await store.delivery(delivery.id)
    assert found
    assert found.ended_at
    assert replace(found, ended_at=None) == delivered.delivery
    assert [each.number for each in await store.attempts(delivery.id)] == [1, 2]
    assert await due(store) == []


async def test_an_attempt_before_it_is_recorded_with_it(store: Store, now: float) -> None:
    """The one on a kept connection that the receiver had closed."""
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    (delivery,) = await accept(store, a_message(at=now))
    earlier = an_attempt(delivery, at=now, outcome="reset", status=None)
    record = a_record(replace(delivery, made=1), DELIVERED, epoch, at=now + 1)._replace(earlier=earlier)
    for _ in range(2):
        assert await store.record([record]) == [True]

    assert await store.attempts(delivery.id) == list(record.attempts) == [earlier, record.attempt]


async def test_a_record_may_be_written_twice(store: Store, now: float) -> None:
    """The connection broke during the commit, and the owner cannot know. Two attempts of one delivery go together."""
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    (delivery,) = await accept(store, a_message(at=now))
    first = a_record(delivery, PENDING, epoch, at=now)
    second = a_record(first.delivery, DELIVERED, epoch, at=now + 1)

    for _ in range(2):
        assert await store.record([first, second]) == [True, True]

    assert await state_of(store, delivery) is DELIVERED
    assert await store.attempts(delivery.id) == [first.attempt, second.attempt]
    assert await store.record([]) == []


async def test_an_owner_that_lost_its_shard_changes_nothing(store: Store, now: float) -> None:
    """Its attempt is kept all the same: the receiver got it."""
    await store.put_endpoint(an_endpoint())
    old = await own(store)
    (delivery,) = await accept(store, a_message(at=now))
    await store.release("one")
    late = a_record(delivery, PENDING, old, at=now, due_at=now + 1)
    assert await store.record([late]) == [True]  # nobody took the shard meanwhile
    new = await own(store, owner="two")

    lost = a_record(late.delivery, DEAD, old, at=now + 2)
    assert await store.record([lost]) == [False]

    assert new > old
    assert await store.delivery(delivery.id) == late.delivery
    assert await store.attempts(delivery.id) == [late.attempt, lost.attempt]


async def test_what_somebody_decided_meanwhile_stays(store: Store, now: float) -> None:
    """A delivery that was cancelled or redelivered during an attempt is not changed by its end."""
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    (cancelled,) = await accept(store, a_message(at=now))
    (again,) = await accept(store, a_message(at=now))
    assert await store.cancel(DeliveryFilter(delivery=cancelled.id)) == 1
    await store.redeliver(again.id, trigger=Trigger.MANUAL, at=now + 5)

    records = [a_record(each, DELIVERED, epoch, at=now) for each in (cancelled, again)]
    assert await store.record(records) == [True, True]

    assert await state_of(store, cancelled) is CANCELLED
    assert await state_of(store, again) is PENDING
    assert await due(store) == [again.id]
    assert len(await store.attempts(cancelled.id)) == 1


async def test_shards_are_leased_to_one_process_each(open_store: Any) -> None:
    """They are shared, renewed, given up, and each change of the owner has a new epoch."""
    one: Store = await open_store()
    two: Store = await open_store()
    first = await one.lease("one", 600.0, want=256)
    assert [each.shard for each in first] == list(range(256))
    assert {each.epoch for each in first} == {1}
    assert await two.lease("two", 600.0, want=128) == []
    assert await two.owners() == 2

    half = await one.lease("one", 600.0, want=128)
    other = await two.lease("two", 600.0, want=128)

    assert len(half) == len(other) == 128
    assert {each.shard for each in half} | {each.shard for each in other} == set(range(256))
    assert {each.epoch for each in half} == {1}
    assert {each.epoch for each in other} == {2}
    present = await one.now()
    assert all(each.until > present + 500 for each in half)
    given_up = half[0].shard
    await one.release("one", [given_up, other[0].shard])
    assert len(await two.lease("two", 600.0, want=256)) == 129
    assert len(await one.lease("one", 600.0, want=128)) == 127
    await one.release("one")
    assert await two.owners() == 1
    assert len(await two.lease("two", 600.0, want=256)) == 256


async def test_a_lease_that_is_not_renewed_ends(store: Store) -> None:
    """The next process takes the shards; the one that comes too late gets none back."""
    assert len(await store.lease("one", 0.05, want=256)) == 256

    taken: list[Lease] = await wait_until_async(lambda: store.lease("two", 600.0, want=256))
    assert len(taken) == 256
    assert await store.lease("one", 600.0, want=256) == []
    assert {each.epoch for each in await store.lease("two", 600.0, want=256)} == {2}


async def test_processes_that_take_shards_at_once_share_them(open_store: Any) -> None:
    """No shard has two owners."""
    stores: list[Store] = [await open_store() for _ in range(4)]

    leases = await asyncio.gather(
        *(each.lease(f"owner {place}", 600.0, want=64) for place, each in enumerate(stores))
    )

    assert sorted(each.shard for found in leases for each in found) == list(range(256))


async def test_deliveries_are_found_by_each_condition(store: Store, now: float) -> None:
    """Newest first; conditions go together."""
    await store.put_endpoint(an_endpoint())
    await store.put_endpoint(an_endpoint("other", tenant="acme"))
    epoch = await own(store)
    old = a_message("evt_old", at=now - 5000)
    new = a_message("evt_new", at=now, key="github.issues.opened")
    first, second = await accept(store, old, "ep_shop", "ep_other")
    third, fourth = await accept(store, new, "ep_shop", "ep_other", state=HELD)
    await store.record([a_record(first, DEAD, epoch, at=now)])

    async def found(**conditions: Any) -> list[Delivery]:
        wanted = DeliveryFilter(**conditions)
        listed = await store.deliveries(wanted)
        assert await store.count(wanted) == len(listed)
        return [next(known for known in everything if known.id == each.id) for each in listed]

    everything = [fourth, third, second, first]
    assert await found() == everything
    assert await found(tenant="acme") == [fourth, second]
    assert await found(tenant="default") == [third, first]
    assert await found(endpoint="ep_shop") == [third, first]
    assert await found(delivery=second.id) == [second]
    assert await found(message=old.id) == [second, first]
    assert await found(event_id="evt_new") == [fourth, third]
    assert await found(states=(HELD, DEAD)) == [fourth, third, first]
    assert await found(states=(HELD,), endpoint="ep_other") == [fourth]
    assert await found(states=(HELD,), event_id="evt_old") == []
    assert await found(keys=("github.*.opened", "gitlab.#")) == [fourth, third]
    assert await found(keys=("stripe.#",), endpoint="ep_other") == [second]
    assert await found(keys=("stripe.*",)) == []
    assert await found(outcome="status") == [first]
    assert await found(status=500) == [first]
    assert await found(status=404) == []
    assert await found(since=now - 1) == [fourth, third]
    assert await found(since=now) == [fourth, third]
    assert await found(until=now) == [second, first]
    assert await found(since=now - 5000, until=now - 4999, endpoint="ep_shop") == [first]
    assert await found(outcome="status", states=(HELD, DELIVERED)) == []
    assert await found(outcome="status", endpoint="ep_shop") == [first]


@pytest.mark.parametrize("types", [3, 60])
async def test_deliveries_are_found_by_patterns(store: Store, now: float, types: int) -> None:
    """Whether few types match or many."""
    await store.put_endpoint(an_endpoint())
    accepted = [
        (message, [a_delivery(message)])
        for message in (
            a_message(at=now + number, key=f"acme.n{number % types}.done") for number in range(2 * types)
        )
    ]
    await store.accept([*accepted, (a_message(at=now, key="other.done"), [])])
    ids = [delivery.id for _, (delivery,) in accepted]

    async def found(*keys: str, **conditions: Any) -> list[str]:
        wanted = DeliveryFilter(keys=keys, **conditions)
        listed = [each.id for each in await store.deliveries(wanted, limit=200, oldest_first=True)]
        assert await store.count(wanted) == len(listed)
        assert [each.id for each in await store.deliveries(wanted, limit=2)] == listed[::-1][:2]
        return listed

    assert await found("acme.#") == ids
    assert await found("acme.*.done", states=(PENDING, DELIVERED)) == ids
    assert await found("acme.n1.*", "acme.n2.#") == sorted(ids[1::types] + ids[2::types])
    assert await found("acme.n1.done", states=(DELIVERED,)) == []
    assert await found("other.#") == []


@pytest.mark.parametrize(
    "wanted", [DeliveryFilter(), DeliveryFilter(endpoint="ep_shop"), DeliveryFilter(states=(PENDING, HELD))]
)
async def test_deliveries_are_read_page_by_page(store: Store, now: float, wanted: DeliveryFilter) -> None:
    """In both directions, each once, though others are accepted meanwhile."""
    await store.put_endpoint(an_endpoint())
    accepted = []
    for place in range(7):
        accepted += await accept(store, a_message(at=now + place), state=HELD if place % 2 else PENDING)
    expected = [each.id for each in accepted]

    newest_first: list[str] = []
    while page := await store.deliveries(wanted, limit=3, before=newest_first[-1] if newest_first else ""):
        newest_first += [each.id for each in page]
        await accept(store, a_message(at=now + 100))
    oldest_first: list[str] = []
    while page := await store.deliveries(
        wanted,
        limit=3,
        after=oldest_first[-1] if oldest_first else "",
        before=first_id("dlv", now + 50),
        oldest_first=True,
    ):
        oldest_first += [each.id for each in page]

    assert newest_first == expected[::-1]
    assert oldest_first == expected
    between = await store.deliveries(wanted, after=expected[1], before=expected[4])
    assert [each.id for each in between] == [expected[3], expected[2]]


async def test_a_test_is_an_attempt_of_no_delivery(store: Store, now: float) -> None:
    """It is kept, and may be written twice."""
    message = a_message(at=now)
    attempt = replace(an_attempt(a_delivery(message), at=now), delivery="", message="", trigger=Trigger.TEST)

    for _ in range(2):
        await store.add_attempt(attempt)

    assert await store.attempts("") == [attempt]


async def test_texts_of_others_cannot_keep_an_event_out(store: Store, now: float) -> None:
    """Whatever their length and their characters; what is found by them is found."""
    await store.put_endpoint(an_endpoint(order="subject"))
    odd = ["nul \0 inside", "half \ud800 a pair", "x" * 9000, "\U0001f600" * 3000, "", "'; --", "%s ? {}"]
    accepted = []
    for text in odd:
        message = a_message(at=now, event_id=f"{text} ", subject=text, key=f"agent.{text}", sequence=text)
        (delivery,) = await accept(store, message, order_key=text)
        accepted.append((message, delivery))

    for message, delivery in accepted:
        (found,) = await store.messages_of_event(message.event_id)
        assert found.body == message.body
        (listed,) = await store.deliveries(DeliveryFilter(event_id=message.event_id))
        assert listed.id == delivery.id
    assert len(await due(store)) == len(odd)


async def test_redelivering_begins_a_new_round(store: Store, now: float) -> None:
    """Of whatever has ended, is held, or waits."""
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    found = [
        (await accept(store, a_message(at=now), state=state))[0]
        for state in (PENDING, HELD, PENDING, PENDING, PENDING)
    ]
    await store.record(
        [
            a_record(each, state, epoch, at=now)
            for each, state in zip(found[2:4], (DEAD, DELIVERED), strict=True)
        ]
    )
    await store.cancel(DeliveryFilter(delivery=found[4].id))

    for each in found:
        changed = await store.redeliver(each.id, trigger=Trigger.MANUAL, at=now + 7)
        assert changed == await store.delivery(each.id)
        assert (changed.state, changed.round, changed.attempts, changed.due_at) == (PENDING, 1, 0, now + 7)
        assert (changed.trigger, changed.ended_at) == (Trigger.MANUAL, None)

    assert await due(store) == [each.id for each in found]


async def test_what_cannot_be_sent_is_not_redelivered(store: Store, now: float) -> None:
    """Nobody knows it, it is under way, or its body or its endpoint is gone."""
    await store.put_endpoint(an_endpoint())
    await store.put_endpoint(an_endpoint("other"))
    (delivery,) = await accept(store, a_message(at=now))
    forgotten = a_message(at=now)
    (without_body,) = await accept(store, forgotten)
    (without_endpoint,) = await accept(store, a_message(at=now), "ep_other")
    await store.forget(forgotten.id)
    await store.delete_endpoint("ep_other")

    with pytest.raises(KeyError):
        await store.redeliver("dlv_of-nobody", trigger=Trigger.MANUAL, at=now)
    with pytest.raises(Conflict):
        await store.redeliver(delivery.id, trigger=Trigger.MANUAL, at=now, under_way=True)
    for each in (without_body, without_endpoint):
        with pytest.raises(Conflict):
            await store.redeliver(each.id, trigger=Trigger.MANUAL, at=now)
        assert await state_of(store, each) is CANCELLED
    assert await due(store) == [delivery.id]


@pytest.mark.parametrize("since", [0.0, 50.0, None])
async def test_resuming_decides_about_what_is_held(store: Store, now: float, since: float | None) -> None:
    """What is old enough is cancelled, the rest is due in the order in which it was accepted."""
    await store.put_endpoint(an_endpoint())
    await store.put_endpoint(an_endpoint("other"))
    held = [(await accept(store, a_message(at=now - age), state=HELD))[0] for age in (100, 51, 50, 2)]
    (other,) = await accept(store, a_message(at=now), "ep_other", state=HELD)
    first = {0.0: 0, 50.0: 2, None: 4}[since]

    moment = now - since if since else since
    assert await store.resume("ep_shop", since=moment) == 4 - first

    assert await due(store) == [each.id for each in held[first:]]
    assert [await state_of(store, each) for each in held[:first]] == [CANCELLED] * first
    assert await state_of(store, other) is HELD
    for each in await store.deliveries(DeliveryFilter(states=(CANCELLED,))):
        assert each.ended_at


async def test_a_replay_covers_what_matches(store: Store, now: float) -> None:
    """Oldest first, so many in each second, but neither what is on its way nor what has no body. It ends when all have."""
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    found = [(await accept(store, a_message(at=now - 9 + place)))[0] for place in range(6)]
    await store.record([a_record(each, DELIVERED, epoch, at=now) for each in found[:5]])
    await store.forget(found[4].message)
    asked = an_operation(now)
    begins_at = await store.now()

    begun = await store.replay(asked, DeliveryFilter(endpoint="ep_shop", since=now - 8), rate=2.0)

    assert begun == replace(asked, total=3, state="running")
    replayed = [
        each for each in await store.deliveries(DeliveryFilter(), oldest_first=True) if each.operation
    ]
    assert [each.id for each in replayed] == [each.id for each in found[1:4]]
    assert [each.trigger for each in replayed] == [Trigger.REPLAY] * 3
    assert replayed[1].due_at - replayed[0].due_at == pytest.approx(0.5)
    assert replayed[2].due_at - replayed[0].due_at == pytest.approx(1.0)
    assert replayed[0].due_at >= begins_at - 1
    assert await state_of(store, found[5]) is PENDING
    ends = (DELIVERED, DEAD, PENDING)
    await store.record(
        [a_record(each, state, epoch, at=now) for each, state in zip(replayed, ends, strict=True)]
    )
    assert await store.operation(asked.id) == replace(begun, done=1, failed=1)
    assert await store.cancel_operation(asked.id) is True
    assert await store.operation(asked.id) == replace(begun, done=1, failed=1, state="cancelled")
    assert await state_of(store, replayed[2]) is CANCELLED
    assert await store.operation("op_of-nobody") is None
    assert await store.cancel_operation("op_of-nobody") is False


async def test_a_round_may_have_one_attempt_alone(store: Store, now: float) -> None:
    """Until the next round: an attempt that is recorded changes nothing about it."""
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    (delivery,) = await accept(store, a_message(at=now))

    single = await store.redeliver(delivery.id, trigger=Trigger.MANUAL, at=now, retries=False)
    assert single.retries is False
    await store.record([a_record(replace(single, retries=True), DEAD, epoch, at=now)])
    kept = await store.delivery(delivery.id)
    assert kept
    assert (kept.state, kept.retries) == (DEAD, False)
    again = await store.redeliver(delivery.id, trigger=Trigger.MANUAL, at=now)
    assert again.retries is True


async def test_a_replay_may_choose_by_what_events_say(store: Store, now: float) -> None:
    """More than are read at a time; those that are forgotten have nothing to say."""
    await store.put_endpoint(an_endpoint())
    bodies = [b'{"n": %d}' % number for number in range(120)]
    found = [
        (await accept(store, a_message(at=now - 200 + number, body=body), state=HELD))[0]
        for number, body in enumerate(bodies)
    ]
    await store.forget(found[30].message)

    begun = await store.replay(
        an_operation(now),
        DeliveryFilter(endpoint="ep_shop", states=(HELD,)),
        rate=1000.0,
        chosen=lambda message: (message.body or b"").endswith(b"0}"),
    )

    assert begun.total == 11
    assert [await state_of(store, found[number]) for number in (10, 110, 11)] == [PENDING, PENDING, HELD]


@pytest.mark.parametrize("chosen", [None, lambda _: True])
async def test_a_replay_may_have_a_limit(store: Store, now: float, chosen: Any) -> None:
    """Of those that can be sent, the oldest are taken."""
    await store.put_endpoint(an_endpoint())
    found = [(await accept(store, a_message(at=now - 200 + number), state=HELD))[0] for number in range(110)]
    await store.forget(found[0].message)

    wanted = DeliveryFilter(endpoint="ep_shop", states=(HELD,))
    begun = await store.replay(an_operation(now), wanted, rate=1000.0, limit=102, chosen=chosen)

    assert begun.total == 102
    assert [await state_of(store, found[number]) for number in (0, 1, 102, 103)] == [
        CANCELLED,
        PENDING,
        PENDING,
        HELD,
    ]


async def test_a_replay_may_give_new_ids(store: Store, now: float) -> None:
    """They stay until another one gives newer ones, whatever is recorded or redelivered."""
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    (delivery,) = await accept(store, a_message(at=now), state=HELD)
    asked = an_operation(now)

    await store.replay(asked, DeliveryFilter(endpoint="ep_shop"), rate=1.0, as_new=True)
    renewed = await store.delivery(delivery.id)
    assert renewed
    assert renewed.webhook_id == renewed_id(delivery.message, asked.id) != delivery.message
    assert renewed.message == delivery.message
    await store.record([a_record(replace(renewed, webhook_id=""), DEAD, epoch, at=now)])
    again = await store.redeliver(delivery.id, trigger=Trigger.MANUAL, at=now)
    assert again.webhook_id == renewed.webhook_id
    await store.record([a_record(again, DEAD, epoch, at=now)])
    await store.replay(an_operation(now + 1), DeliveryFilter(endpoint="ep_shop"), rate=1.0)
    replayed = await store.delivery(delivery.id)
    assert replayed
    assert replayed.webhook_id == renewed.webhook_id


async def test_messages_are_found_by_each_condition(store: Store, now: float) -> None:
    """Newest first, and without the bytes of their bodies."""
    acme = a_message(at=now - 3, tenant="acme")
    agents = a_message(at=now - 2, provider="", key="billing.agent.run.failed", source="/agents/billing")
    stripe = a_message("evt_known", at=now - 1)
    await store.accept([(acme, []), (agents, []), (stripe, [])])
    await store.forget(agents.id)

    assert await store.list_messages(MessageFilter()) == [
        replace(stripe, body=b""),
        replace(agents, body=None, subject=""),
        replace(acme, body=b""),
    ]
    for wanted, expected in (
        (MessageFilter(tenant="acme"), [acme]),
        (MessageFilter(tenant="default"), [stripe, agents]),
        (MessageFilter(event_id="evt_known"), [stripe]),
        (MessageFilter(provider="stripe"), [stripe, acme]),
        (MessageFilter(keys=("billing.#", "github.*")), [agents]),
        (MessageFilter(since=now - 2), [stripe, agents]),
        (MessageFilter(until=now - 2), [acme]),
        (MessageFilter(tenant="nobody"), []),
    ):
        found = await store.list_messages(wanted)
        assert [each.id for each in found] == [each.id for each in expected], wanted


async def test_messages_are_read_page_by_page_while_others_come(store: Store, now: float) -> None:
    """Each of those that were there comes once, also where many were accepted at one moment."""
    there = [a_message(at=now - number // 4) for number in range(23)]
    await store.accept([(each, []) for each in there])
    found: list[str] = []
    place = None
    while page := await store.list_messages(MessageFilter(tenant="default"), after=place, limit=5):
        found += [each.id for each in page]
        place = MessagePlace(page[-1].accepted_at, page[-1].id)
        await store.accept([(a_message(at=now + len(found)), [])])

    assert found == [each.id for each in sorted(there, key=lambda one: (one.accepted_at, one.id))[::-1]]


async def test_a_replay_is_done_when_nothing_is_pending(store: Store, now: float) -> None:
    """Also if it covers nothing."""
    asked = an_operation(now)

    assert await store.replay(asked, DeliveryFilter(), rate=1.0) == replace(asked, state="done")


def an_operation(now: float) -> Any:
    """Return a bulk replay that somebody asks for."""
    return Operation(
        id=new_id("op", now), endpoint="ep_shop", created_at=now, actor="anna", state="running", total=0
    )


async def test_thousands_are_changed_in_steps(store: Store, now: float) -> None:
    """More than one transaction takes; nothing is left out."""
    await store.put_endpoint(an_endpoint())
    messages = [a_message(at=now) for _ in range(1203)]
    await store.accept([(each, [a_delivery(each, state=HELD)]) for each in messages])

    assert await store.resume("ep_shop", since=0.0) == 1203
    assert await store.cancel(DeliveryFilter(endpoint="ep_shop")) == 1203
    replayed = await store.replay(an_operation(now), DeliveryFilter(endpoint="ep_shop"), rate=1000.0)
    assert replayed.total == 1203
    moments = [each.due_at for each in await store.due("ep_shop", 1e12, 2000)]
    assert moments[-1] - moments[0] == pytest.approx(1.202, abs=0.01)
    assert await store.cancel_operation(replayed.id)
    assert await store.count(DeliveryFilter(states=(CANCELLED,))) == 1203
    assert await store.cancel(DeliveryFilter(endpoint="ep_shop")) == 0


async def test_a_forgotten_message_leaves_no_trace_of_its_content(store: Store, now: float) -> None:
    """Not even where an attempt ends later; what waits is cancelled, for there is nothing left to send."""
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    message = a_message(at=now, subject="cus_anna")
    ended, waits, under_way = await accept(store, message, *["ep_shop"] * 3, order_key="cus_anna")
    await store.record([a_record(ended, DEAD, epoch, at=now)])

    assert await store.forget(message.id) is True
    assert await store.record([a_record(under_way, DELIVERED, epoch, at=now)]) == [True]

    assert await store.message(message.id) == replace(message, body=None, subject="")
    assert [await state_of(store, each) for each in (ended, waits, under_way)] == [DEAD, CANCELLED, CANCELLED]
    for each in (ended, waits, under_way):
        found = await store.delivery(each.id)
        assert found
        assert found.order_key == ""
        assert [attempt.excerpt for attempt in await store.attempts(each.id) if attempt.excerpt] == []
    assert len(await store.attempts(under_way.id)) == 1
    assert await store.forget("msg_of-nobody") is False
    assert await store.forget(message.id) is True


async def test_what_is_too_old_is_deleted(store: Store, now: float) -> None:
    """Each after its own time; what waits keeps its message."""
    day = 86_400.0
    await store.put_endpoint(an_endpoint())
    epoch = await own(store)
    ages = {"ended": 32, "held": 15.5, "resumed": 16, "fresh": 1}
    messages = {name: a_message(at=now - age * day) for name, age in ages.items()}
    deliveries = {}
    for name, message in messages.items():
        (deliveries[name],) = await accept(store, message, state=HELD if name == "held" else PENDING)
    record = a_record(deliveries["ended"], DEAD, epoch, at=now - 31.5 * day)
    await store.record([record._replace(delivery=replace(record.delivery, ended_at=now - 31 * day))])
    await store.record([a_record(deliveries["resumed"], PENDING, epoch, at=now)])
    old = replace(an_attempt(deliveries["resumed"], at=now - 33 * day), delivery="", trigger=Trigger.TEST)
    await store.add_attempt(old)

    assert await store.prune(now) == 2

    assert await store.delivery(deliveries["ended"].id) is None
    assert await store.attempts(deliveries["ended"].id) == []
    assert await store.attempts("") == []
    assert await state_of(store, deliveries["held"]) is CANCELLED
    assert await state_of(store, deliveries["resumed"]) is PENDING
    assert len(await store.attempts(deliveries["resumed"].id)) == 1
    kept = await store.messages([each.id for each in messages.values()])
    assert set(kept) == {messages["resumed"].id, messages["fresh"].id}
    assert await store.prune(now) == 0
    assert await store.prune(now + 31 * day) == 1
    assert await store.delivery(deliveries["held"].id) is None
    assert await store.accept([(messages["ended"], [])]) == [True]


async def test_everything_is_there_after_a_new_start(open_store: Any, now: float) -> None:
    """In another process too."""
    first: Store = await open_store()
    await first.put_endpoint(an_endpoint())
    message = a_message(at=now)
    (delivery,) = await accept(first, message)
    second: Store = await open_store()
    await first.stop()
    await first.start()

    for store in (first, second):
        assert await store.delivery(delivery.id) == delivery
        assert await store.message(message.id) == message
        assert [endpoint.id for endpoint, _ in await store.endpoints()] == ["ep_shop"]
