"""What the acts on dead-lettered, quarantined and unrouted events have in common: to read and to move them.

An act can be cancelled between any two events: the one that is being moved or deleted is finished first, so that no copy
is left. A process that is killed loses nothing; at most, one event is in both queues, with the same id.

The module has slightly more than 200 lines because each way through a queue is written down with its contract.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2s
from typing import Any

from gateway.config import Config
from gateway.errors import EventNotFound
from gateway.operations.actions import Action, ActionReports, reported_actions
from gateway.operations.readings import open_letters
from gateway.queues.dead_letters import DeadLetter, DeadLetterQueue
from gateway.queues.filter import EventFilter

OnProgress = Callable[[int, int], None]
"""Takes how many events are done, and how many there may be in all: first 0, when the queue is open, and the same number
twice at the end."""

OnLetter = Callable[[DeadLetter], None]
"""Takes each event that something was done with, or would be."""

EVERYTHING = EventFilter()
"""Selects all events."""

_MAX_TEXT = 300
"""Characters of a text that groups events."""


def ignore(*_: object) -> None:
    """Do nothing with progress or an event."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a queue had.

    Attributes:
        size: The number of its events.
        matched: The number of selected events by provider; ``?`` stands for what is not an event.
    """

    size: int
    matched: Mapping[str, int]

    @property
    def total(self) -> int:
        """The number of selected events."""
        return sum(self.matched.values())


async def read_letters(
    config: Config,
    queue: str,
    event_filter: EventFilter = EVERYTHING,
    limit: int | None = None,
    *,
    on_letter: OnLetter = ignore,
    on_progress: OnProgress = ignore,
) -> Found:
    """Pass the first ``limit`` selected events of a queue on, in its order, and count all of them.

    Raises:
        OperatorError: The queue does not exist, the broker fails, or no event has an id that was asked for.
    """
    matched: Counter[str] = Counter()
    seen = 0
    async with open_letters(config, queue) as letters:
        on_progress(0, letters.size)
        async for letter in letters.browse():
            seen += 1
            on_progress(seen, max(letters.size, seen))
            if event_filter.accepts(letter):
                matched[letter.provider or "?"] += 1
                if limit is None or matched.total() <= limit:
                    on_letter(letter)
        size = letters.size
    expect_found(queue, event_filter, matched.total())
    return Found(size, dict(matched.most_common()))


async def move_letters(
    config: Config,
    source: str,
    target: str,
    event_filter: EventFilter,
    limit: int | None = None,
    *,
    action: Action,
    actor: str = "",
    dry_run: bool = False,
    on_letter: OnLetter = ignore,
    on_progress: OnProgress = ignore,
) -> int:
    """Move the selected events to another queue, oldest first, and return their number.

    Args:
        config: The configuration.
        source: The queue that has the events.
        target: The queue that gets them.
        event_filter: Selects the events.
        limit: The number of events at most.
        action: What is reported of each event.
        actor: Who acts; by default the system's user.
        dry_run: Whether the events stay where they are.
        on_letter: Called for each event after it was moved.
        on_progress: Called after each event.

    Raises:
        OperatorError: A queue does not exist, the broker fails, or no event has an id that was asked for.
    """
    count = 0
    async with (
        reported_actions(config, actor) as actions,
        open_letters(config, source, target, is_changed=not dry_run) as letters,
    ):
        total = min(letters.size, limit or letters.size)
        on_progress(0, total)

        async def move(letter: DeadLetter) -> None:
            nonlocal count
            if not dry_run:
                await letters.move(letter, target)
                note(actions, action, letter, target)
            count += 1
            on_letter(letter)
            on_progress(count, max(total, count))

        async for letter in select(letters, event_filter, limit):
            await finish(move(letter))
    expect_found(source, event_filter, count)
    on_progress(count, count)
    return count


async def select(
    letters: DeadLetterQueue, event_filter: EventFilter, limit: int | None = None
) -> AsyncIterator[DeadLetter]:
    """Yield the first ``limit`` selected events. The queue is read to its end, or else its order would change."""
    count = 0
    async for letter in letters.browse():
        if (limit is None or count < limit) and event_filter.accepts(letter):
            count += 1
            yield letter


async def finish(act: Coroutine[Any, Any, None]) -> None:
    """Await an act on one event; if this task is cancelled meanwhile, end it only when the act is done."""
    task = asyncio.ensure_future(act)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # it was cancelled in any case; nobody is to be told twice
        raise


def expect_found(queue: str, event_filter: EventFilter, count: int) -> None:
    """Report that an event that was asked for by its id is not in the queue.

    Raises:
        EventNotFound: The filter names ids, and ``count`` is 0.
    """
    if event_filter.ids and not count:
        ids = ", ".join(map(repr, event_filter.ids))
        raise EventNotFound(f"{queue} has no event with the id {ids}")


def note(actions: ActionReports, action: Action, letter: DeadLetter, queue: str) -> None:
    """Report an action on an event."""
    texts = {name: str(letter.event.get(name) or "") for name in ("subject", "account", "summary")}
    actions.note(
        action,
        routing_key=letter.routing_key if not letter.provider else f"{letter.provider}.{letter.word}",
        event_id=letter.message_id,
        queue=queue,
        **texts,
    )


def group_id(*words: str) -> str:
    """Return a short id for what a group has in common, fit for addresses."""
    return blake2s("\0".join(words).encode("utf-8", "replace"), digest_size=8).hexdigest()


def brief(value: object) -> str:
    """Return a header or another text of a message as the text of a group."""
    return str(value or "")[:_MAX_TEXT]


def moment_of(text: object) -> float | None:
    """Return a time in RFC 3339 as Unix seconds; None if it is none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        return None
