"""The groups of dead letters: those of one queue with one cause."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from typing_extensions import override

from gateway.config import Config
from gateway.events.message import ATTEMPTS, DEAD_SUFFIX, EXCEPTION, EXCEPTION_AT, FIRST_FAILED_AT, REASON
from gateway.operations.grouping import read_groups
from gateway.operations.letters import OnProgress, brief, group_id, ignore, moment_of
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
        groups: Their groups, the largest first; those that were found first, if there are very many.
        at: When the queue was read, in Unix seconds.
        others: The number of events in further groups.
    """

    queue: str
    total: int
    groups: tuple[DeadGroup, ...]
    at: float
    others: int = 0


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
        found = await read_groups(config, queue + DEAD_SUFFIX, _cause_of, _Gathered, on_progress)
        made = [each.group(cause, queue) for cause, each in found.groups.items()]
        made.sort(key=lambda group: (-group.count, -(group.last or 0), group.id))
        return DeadGroups(queue, found.total, tuple(made), time.time(), found.others)

    return await read_shared(config, queue + DEAD_SUFFIX, "dead", read)


@dataclass(slots=True)
class _Gathered:
    """A group while a queue is read."""

    example: str = ""
    example_provider: str = ""
    reason: str = ""
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
        if self.count == 1 or (last is not None and (self.last is None or last >= self.last)):
            self.last = last
            # Not the event itself, which may be large.
            self.example, self.example_provider = letter.message_id, letter.provider
            self.reason = brief(letter.headers.get(REASON))
        for name, names in ((letter.provider, self.providers), (letter.word, self.types)):
            if name and len(names) < _MAX_NAMED:
                names[brief(name)] = None

    def group(self, cause: tuple[str, ...], queue: str) -> DeadGroup:
        exception, place, reason = cause
        return DeadGroup(
            group_id(*cause),
            queue,
            exception,
            place,
            reason or self.reason,
            tuple(self.providers),
            tuple(self.types),
            self.count,
            self.first,
            self.last,
            self.attempts,
            self.example,
            self.example_provider,
        )


def _cause_of(letter: DeadLetter) -> tuple[str, str, str]:
    """Return exception and place; the reason only where there is no exception, as it may differ for each event."""
    exception, place = (brief(letter.headers.get(header)) for header in (EXCEPTION, EXCEPTION_AT))
    return exception, place, "" if exception else brief(letter.why)
