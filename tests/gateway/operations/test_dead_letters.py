"""What an operator does with dead letters, over both brokers: grouped by cause, redriven, deleted; never lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import OperatorError
from gateway.operations.dead_letters import DeadLetterFilter, drop, groups, listing, redrive
from gateway.operations.dropping import Listed, drop_listed
from gateway.operations.grouping import MAX_GROUPS
from gateway.operations.letters import read_letters
from gateway.operations.readings import open_letters
from gateway.queues.dead_letters import DeadLetter
from support.letter_queues import DEAD, EVERYTHING, FAILED, QUEUE, Broker, embedded, event, ids

PLACE = {"x-exception": "ValueError", "x-exception-at": "agent.py:7"}


async def fill(broker: Broker, *headers: dict[str, Any]) -> None:
    """Put an event into the dead-letter queue for each of these headers."""
    await broker.declare(QUEUE, DEAD)
    for number, each in enumerate(headers):
        await broker.put(DEAD, event(number), FAILED | each)


async def test_dead_letters_are_grouped_by_exception_and_place(broker: Broker) -> None:
    """The largest group first, with the span of its failures and the one that failed last."""
    await fill(
        broker,
        PLACE | {"x-reason": "failed 3 times"},
        {},
        PLACE | {"x-last-failed-at": "2026-11-21T10:00:00Z", "x-attempts": 5},
        PLACE | {"x-exception-at": "agent.py:9"},
        PLACE | {"x-first-failed-at": "2026-11-21T07:00:00Z"},
    )
    found = await groups(broker.config, QUEUE)
    first, *others = found.groups

    assert (found.queue, found.total, len(others)) == (QUEUE, 5, 2)
    assert (first.exception, first.place, first.count, first.attempts) == ("ValueError", "agent.py:7", 3, 5)
    assert (first.example, first.example_provider) == ("id-2", "acme")
    assert (first.providers, first.types) == (("acme",), ("order.created",))
    assert first.first is not None
    assert first.last is not None
    assert first.last - first.first == 3 * 3600
    assert {(each.exception, each.place, each.count) for each in others} == {
        ("LookupError", "", 1),
        ("ValueError", "agent.py:9", 1),
    }
    assert len({each.id for each in found.groups}) == 3


async def test_what_is_no_event_is_in_a_group_too(broker: Broker) -> None:
    """Somebody else may publish to the queue; its words are the cause."""
    await broker.declare(DEAD)
    await broker.put(DEAD, b'{"id":"odd"}', {"x-reason": "by hand"})
    (group,) = (await groups(broker.config, QUEUE)).groups

    assert (group.exception, group.reason, group.first, group.providers) == ("", "by hand", None, ())


async def test_one_group_is_redriven_and_the_others_stay(broker: Broker) -> None:
    """As one event is, or all; what was read before is read anew."""
    await fill(broker, PLACE, {}, PLACE)
    before = await groups(broker.config, QUEUE)
    largest = before.groups[0].id
    progress: list[tuple[int, int]] = []
    moved: list[str] = []
    count = await redrive(
        broker.config,
        QUEUE,
        DeadLetterFilter(group=largest),
        actor="ada",
        on_letter=lambda letter: moved.append(letter.message_id),
        on_progress=lambda done, total: progress.append((done, total)),
    )
    after = await groups(broker.config, QUEUE)

    assert (count, moved) == (2, ["id-0", "id-2"])
    assert (progress[0], progress[-1]) == ((0, 3), (2, 2))
    assert await ids(broker, QUEUE) == ["id-0", "id-2"]
    assert (before.total, after.total) == (3, 1)
    assert await redrive(broker.config, QUEUE, DeadLetterFilter(ids=["id-1"])) == 1
    assert await ids(broker, DEAD) == []


async def test_a_dry_run_moves_nothing_and_a_limit_is_kept(broker: Broker) -> None:
    """The oldest come first."""
    await fill(broker, {}, {}, {})
    seen: list[str] = []
    count = await redrive(
        broker.config,
        QUEUE,
        EVERYTHING,
        2,
        dry_run=True,
        on_letter=lambda letter: seen.append(letter.message_id),
    )

    assert (count, seen) == (2, ["id-0", "id-1"])
    assert await ids(broker, DEAD) == ["id-0", "id-1", "id-2"]
    assert [each.message_id for each in await listing(broker.config, QUEUE, EVERYTHING, 2)] == seen


async def test_events_are_deleted_only_if_their_number_was_confirmed(broker: Broker) -> None:
    """It may have changed since somebody looked."""
    await fill(broker, PLACE, {}, PLACE)
    (largest, _) = (await groups(broker.config, QUEUE)).groups
    selection = DeadLetterFilter(group=largest.id)
    with pytest.raises(
        OperatorError, match=r"has 2 such events now, and 3 were confirmed; nothing was deleted"
    ):
        await drop(broker.config, QUEUE, selection, confirmed=3)
    assert await ids(broker, DEAD) == ["id-0", "id-1", "id-2"]

    assert await drop(broker.config, QUEUE, selection, confirmed=2) == 2
    assert await ids(broker, DEAD) == ["id-1"]


async def test_what_fails_again_after_it_was_listed_is_not_deleted(broker: Broker) -> None:
    """It is another failure, which nobody has seen."""
    await fill(broker, {}, {})
    listed = Listed()
    await read_letters(broker.config, DEAD, EVERYTHING, 1, on_letter=listed.add)
    await broker.put(DEAD, event(0), FAILED | {"x-last-failed-at": "2026-11-21T10:00:00Z"})

    assert await drop_listed(broker.config, DEAD, listed) == 1
    assert await ids(broker, DEAD) == ["id-1", "id-0"]


@pytest.mark.parametrize("act", ["redrive", "drop"])
async def test_a_cancelled_act_leaves_each_event_in_one_place(broker: Broker, act: str) -> None:
    """The event that was under way is finished first: no copy is left, and what was done is counted."""
    total, done = 40, 0
    await fill(broker, *[{}] * total)

    def count(*_: object) -> None:
        nonlocal done
        done += 1

    listed = Listed()
    await read_letters(broker.config, DEAD, on_letter=listed.add)
    for turns in (2, 3, 4, 6, 9):
        wanted = done + 3
        if act == "redrive":
            work = redrive(broker.config, QUEUE, EVERYTHING, on_letter=count)
        else:
            work = drop_listed(broker.config, DEAD, listed, on_progress=count)
        task = asyncio.create_task(work)
        while done < wanted and not task.done():
            await asyncio.sleep(0)
        # A few turns of the event loop later the next event is on its way.
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    left, moved = await ids(broker, DEAD), await ids(broker, QUEUE)
    expected = [f"id-{number}" for number in range(total)]
    assert sorted(left + moved) == sorted(expected if act == "redrive" else left)
    assert len(set(left)) == len(left)
    assert 0 < len(left) < total
    if act == "redrive":
        assert len(moved) == done


async def test_viewers_share_a_reading_and_an_act_ends_it(broker: Broker) -> None:
    """RabbitMQ shows a message to one consumer: two who look at once would see a part each."""
    await fill(broker, *[{}] * 30)
    found = await asyncio.gather(*(groups(broker.config, QUEUE) for _ in range(5)))
    await broker.put(DEAD, event("new"), FAILED)
    shared = await groups(broker.config, QUEUE)
    await redrive(broker.config, QUEUE, DeadLetterFilter(ids=["id-0"]))
    anew = await groups(broker.config, QUEUE)

    assert [each.total for each in (*found, shared, anew)] == [30] * 6 + [30]
    assert len({each.at for each in (*found, shared)}) == 1
    assert anew.at > shared.at


async def test_a_queue_that_is_being_emptied_shows_what_it_had(broker: Broker) -> None:
    """Rather than let a page wait for minutes."""
    await fill(broker, {}, {})
    before = await groups(broker.config, QUEUE)
    async with open_letters(broker.config, DEAD, is_changed=True) as letters:
        async for letter in letters.browse():
            await letters.drop(letter)
            assert await groups(broker.config, QUEUE) == before
    assert (await groups(broker.config, QUEUE)).total == 0


@pytest.mark.parametrize("queue", [QUEUE, DEAD])
async def test_a_queue_that_is_not_there_is_named(broker: Broker, queue: str) -> None:
    """The one that has the events, and the one that they are to go to."""
    await broker.declare(*{QUEUE, DEAD} - {queue})
    with pytest.raises(OperatorError, match=rf"there is no queue {queue}\b"):
        await redrive(broker.config, QUEUE, EVERYTHING)


async def test_an_id_that_is_not_there_is_told(broker: Broker) -> None:
    """Nothing was done, which should not look like success."""
    await fill(broker, {})
    with pytest.raises(OperatorError, match="has no event with the id 'id-7'"):
        await redrive(broker.config, QUEUE, DeadLetterFilter(ids=["id-7"]))


def test_a_group_selects_with_other_conditions() -> None:
    """All have to be met."""
    letter = DeadLetter(0, "", "id-0", FAILED | PLACE, event(0))
    assert not DeadLetterFilter(group="another").accepts(letter)
    assert DeadLetterFilter().accepts(letter)
    assert not DeadLetterFilter(provider="stripe").accepts(letter)


async def test_causes_without_number_are_counted_and_not_kept(tmp_path: Path) -> None:
    """Another program can put any text there."""
    async with embedded(tmp_path) as broker:
        await broker.declare(DEAD)
        for number in range(MAX_GROUPS + 5):
            headers = {"x-reason": f"{number} " + "x" * 5000, "x-attempts": "many"}
            await broker.put(DEAD, event(number, provider="y" * 5000), headers)
        found = await groups(broker.config, QUEUE)

    assert (found.total, len(found.groups), found.others) == (MAX_GROUPS + 5, MAX_GROUPS, 5)
    assert max(len(group.reason) + len(group.providers[0]) for group in found.groups) <= 600
