"""Dead letters: the events that a worker has given up, grouped by cause, to be redriven or deleted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from typing_extensions import override

from gateway.config import Config
from gateway.events.message import ATTEMPTS, DEAD_SUFFIX, EXCEPTION, EXCEPTION_AT, FIRST_FAILED_AT, REASON
from gateway.operations.actions import Action
from gateway.operations.dropping import drop_letters
from gateway.operations.letters import (
    OnLetter,
    OnProgress,
    group_id,
    ignore,
    moment_of,
    move_letters,
    read_letters,
)
from gateway.operations.readings import read_shared
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.filter import EventFilter, FilteredEvent

_MAX_NAMED = 10
"""Providers and types that a group names; a page has room for no more."""


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters of one queue with one cause.

    Attributes:
        id: Names the group in addresses.
        queue: The worker's queue.
        exception: The type of the exception; empty if other programs put the events there.
        place: The file and line that raised it; empty if unknown.
        reason: Why the worker gave up: the handler's own words, or how often it failed.
        providers: The providers of the events, the first ten.
        types: Their event types, the first ten.
        count: The number of events.
        first: When the first of them failed first, in Unix seconds; None if unknown.
        last: When the last of them failed last.
        attempts: The most attempts of one of them.
        example: The id of the one that failed last.
        example_provider: Its provider.
    """

    id: str
    queue: str
    exception: str
    place: str
    reason: str
    providers: tuple[str, ...]
    types: tuple[str, ...]
    count: int
    first: float | None
    last: float | None
    attempts: int
    example: str
    example_provider: str


@dataclass(frozen=True, slots=True)
class DeadGroups:
    """The dead letters of one queue.

    Attributes:
        queue: The worker's queue.
        total: Their number.
        groups: Their groups, the largest first.
        at: When the queue was read, in Unix seconds.
    """

    queue: str
    total: int
    groups: tuple[DeadGroup, ...]
    at: float


@dataclass(frozen=True, slots=True)
class DeadLetterFilter(EventFilter):
    """Conditions on dead letters.

    Attributes:
        group: The id of their group; None for all.
    """

    group: str | None = None

    @override
    def accepts(self, event: FilteredEvent) -> bool:
        is_in_group = self.group is None or (
            isinstance(event, DeadLetter) and group_id(*_cause_of(event)) == self.group
        )
        return is_in_group and EventFilter.accepts(self, event)


async def groups(config: Config, queue: str, *, on_progress: OnProgress = ignore) -> DeadGroups:
    """Return the dead letters of a worker's queue by cause; several viewers share one reading.

    Raises:
        OperatorError: The queue has no dead-letter queue, or the broker cannot be reached.
    """

    async def read() -> DeadGroups:
        gathered: dict[tuple[str, ...], _Gathered] = {}

        def gather(letter: DeadLetter) -> None:
            gathered.setdefault(_cause_of(letter), _Gathered(letter)).add(letter)

        found = await read_letters(config, queue + DEAD_SUFFIX, on_letter=gather, on_progress=on_progress)
        made = [each.group(cause, queue) for cause, each in gathered.items()]
        made.sort(key=lambda group: (-group.count, -(group.last or 0), group.id))
        return DeadGroups(queue, found.total, tuple(made), time.time())

    return await read_shared(config, queue + DEAD_SUFFIX, "dead", read)


async def listing(config: Config, queue: str, event_filter: EventFilter, limit: int = 50) -> list[DeadLetter]:
    """Return the first ``limit`` selected dead letters of a worker's queue.

    Raises:
        OperatorError: The queue has no dead-letter queue, the broker cannot be reached, or no event has an id that was
            asked for.
    """
    listed: list[DeadLetter] = []
    await read_letters(config, queue + DEAD_SUFFIX, event_filter, limit, on_letter=listed.append)
    return listed


async def redrive(
    config: Config,
    queue: str,
    event_filter: EventFilter,
    limit: int | None = None,
    *,
    actor: str = "",
    dry_run: bool = False,
    on_letter: OnLetter = ignore,
    on_progress: OnProgress = ignore,
) -> int:
    """Return the selected dead letters to the worker's queue, as if they had never failed, and return their number.

    Raises:
        OperatorError: A queue does not exist, the broker fails, or no event has an id that was asked for.
    """
    return await move_letters(
        config,
        queue + DEAD_SUFFIX,
        queue,
        event_filter,
        limit,
        action=Action.REDRIVEN,
        actor=actor,
        dry_run=dry_run,
        on_letter=on_letter,
        on_progress=on_progress,
    )


async def drop(
    config: Config,
    queue: str,
    event_filter: EventFilter,
    *,
    confirmed: int,
    actor: str = "",
    on_progress: OnProgress = ignore,
) -> int:
    """Delete the selected dead letters if there are as many as somebody has confirmed, and return their number.

    Raises:
        OperatorError: There are more or fewer, the queue has no dead-letter queue, or the broker fails.
    """
    return await drop_letters(
        config, queue + DEAD_SUFFIX, event_filter, confirmed=confirmed, actor=actor, on_progress=on_progress
    )


@dataclass(slots=True)
class _Gathered:
    """A group while a queue is read."""

    example: DeadLetter
    count: int = 0
    attempts: int = 0
    first: float | None = None
    last: float | None = None
    providers: dict[str, None] = field(default_factory=dict)
    types: dict[str, None] = field(default_factory=dict)

    def add(self, letter: DeadLetter) -> None:
        self.count += 1
        attempts = letter.headers.get(ATTEMPTS)
        self.attempts = max(self.attempts, attempts if isinstance(attempts, int) else 0)
        last = moment_of(letter.when)
        first = moment_of(letter.headers.get(FIRST_FAILED_AT)) or last
        if first is not None:
            self.first = first if self.first is None else min(self.first, first)
        if last is not None and (self.last is None or last >= self.last):
            self.last, self.example = last, letter
        for name, names in ((letter.provider, self.providers), (letter.word, self.types)):
            if name and len(names) < _MAX_NAMED:
                names[name] = None

    def group(self, cause: tuple[str, ...], queue: str) -> DeadGroup:
        exception, place, reason = cause
        return DeadGroup(
            group_id(*cause),
            queue,
            exception,
            place,
            reason or str(self.example.headers.get(REASON) or ""),
            tuple(self.providers),
            tuple(self.types),
            self.count,
            self.first,
            self.last,
            self.attempts,
            self.example.message_id,
            self.example.provider,
        )


def _cause_of(letter: DeadLetter) -> tuple[str, str, str]:
    """Return exception and place; the reason only where there is no exception, as it may differ for each event."""
    exception, place = (str(letter.headers.get(header) or "") for header in (EXCEPTION, EXCEPTION_AT))
    return exception, place, "" if exception else letter.why
