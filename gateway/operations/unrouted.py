"""Unrouted events: those that no queue was bound for, to be moved to a worker's queue."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.config import Config
from gateway.errors import OperatorError
from gateway.operations.actions import Action
from gateway.operations.dropping import drop_letters
from gateway.operations.grouping import read_groups
from gateway.operations.letters import (
    EVERYTHING,
    OnLetter,
    OnProgress,
    brief,
    ignore,
    moment_of,
    move_letters,
    read_letters,
)
from gateway.operations.readings import read_shared
from gateway.publishers import UNROUTED_SUFFIX
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.filter import EventFilter


@dataclass(frozen=True, slots=True)
class UnroutedGroup:
    """Unrouted events of one type.

    Attributes:
        provider: The provider.
        type: The event type as routing keys spell it.
        count: The number of events.
        first: When the first of them was received, in Unix seconds; None if unknown.
        last: When the last of them was received.
        example: The id of the last one in the queue.
    """

    provider: str
    type: str
    count: int
    first: float | None
    last: float | None
    example: str


@dataclass(frozen=True, slots=True)
class UnroutedGroups:
    """The unrouted events.

    Attributes:
        queue: Their queue.
        total: Their number.
        groups: Their types, the most frequent first; those that were found first, if there are very many.
        at: When the queue was read, in Unix seconds.
        others: The number of events of further types.
    """

    queue: str
    total: int
    groups: tuple[UnroutedGroup, ...]
    at: float
    others: int = 0


def unrouted_queue(config: Config) -> str:
    """Return the name of the queue of unrouted events."""
    return config.rabbitmq.exchange + UNROUTED_SUFFIX


async def groups(config: Config, *, on_progress: OnProgress = ignore) -> UnroutedGroups:
    """Return the unrouted events by provider and type; several viewers share one reading.

    Raises:
        OperatorError: There is no such queue yet, or the broker cannot be reached.
    """
    queue = unrouted_queue(config)

    async def read() -> UnroutedGroups:
        found = await read_groups(config, queue, _kind_of, _Gathered, on_progress)
        made = [each.group(kind) for kind, each in found.groups.items()]
        made.sort(key=lambda group: (-group.count, group.provider, group.type))
        return UnroutedGroups(queue, found.total, tuple(made), time.time(), found.others)

    return await read_shared(config, queue, "unrouted", read)


@dataclass(slots=True)
class _Gathered:
    """A group while the queue is read."""

    count: int = 0
    first: float | None = None
    last: float | None = None
    example: str = ""

    def add(self, letter: DeadLetter) -> None:
        self.count += 1
        self.example = letter.message_id
        moment = moment_of(letter.when)
        if moment is not None:
            self.first = moment if self.first is None else min(self.first, moment)
            self.last = moment if self.last is None else max(self.last, moment)

    def group(self, kind: tuple[str, ...]) -> UnroutedGroup:
        provider, event_type = kind
        return UnroutedGroup(provider, event_type, self.count, self.first, self.last, self.example)


def _kind_of(letter: DeadLetter) -> tuple[str, str]:
    return brief(letter.provider), brief(letter.word)


async def listing(
    config: Config, event_filter: EventFilter = EVERYTHING, limit: int = 50
) -> list[DeadLetter]:
    """Return the first ``limit`` selected unrouted events.

    Raises:
        OperatorError: There is no such queue yet, the broker cannot be reached, or no event has an id that was asked for.
    """
    listed: list[DeadLetter] = []
    await read_letters(config, unrouted_queue(config), event_filter, limit, on_letter=listed.append)
    return listed


async def route(
    config: Config,
    target: str,
    event_filter: EventFilter,
    limit: int | None = None,
    *,
    actor: str = "",
    dry_run: bool = False,
    on_letter: OnLetter = ignore,
    on_progress: OnProgress = ignore,
) -> int:
    """Move the selected events to a worker's queue, oldest first, and return their number.

    Raises:
        OperatorError: A queue does not exist or is the one that has the events, the broker fails, or no event has an id
            that was asked for.
    """
    source = unrouted_queue(config)
    if target == source:
        raise OperatorError(f"{target} is the queue of the unrouted events; name a worker's queue with --to")
    return await move_letters(
        config,
        source,
        target,
        event_filter,
        limit,
        action=Action.ROUTED,
        actor=actor,
        dry_run=dry_run,
        on_letter=on_letter,
        on_progress=on_progress,
    )


async def drop(
    config: Config,
    event_filter: EventFilter,
    *,
    confirmed: int,
    actor: str = "",
    on_progress: OnProgress = ignore,
) -> int:
    """Delete the selected events if there are as many as somebody has confirmed, and return their number.

    Raises:
        OperatorError: There are more or fewer, or the broker fails.
    """
    return await drop_letters(
        config,
        unrouted_queue(config),
        event_filter,
        confirmed=confirmed,
        actor=actor,
        on_progress=on_progress,
    )
