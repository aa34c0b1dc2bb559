"""The groups of quarantined events: those that break the same rules in the same places."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from gateway.config import Config
from gateway.errors import MalformedJson
from gateway.events.strict_json import parse_json
from gateway.operations.grouping import read_groups
from gateway.operations.letters import OnProgress, brief, group_id, ignore, moment_of
from gateway.operations.payload_shapes import shape_of
from gateway.operations.readings import read_shared
from gateway.publishers import QUARANTINE_SUFFIX
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.dead_letters.quarantine import data_of
from gateway.queues.filter import EventFilter, FilteredEvent

_NUMBER = re.compile(r"(?<=/)\d+(?=[/:])")
"""A position in a list, within a path: whichever item breaks a rule, the cause is the same."""


@dataclass(frozen=True, slots=True)
class QuarantineGroup:
    """Quarantined events that break the same rules.

    Attributes:
        id: Names the group in addresses.
        provider: The provider.
        type: The event type as routing keys spell it.
        path: The first place that breaks a rule; `*` stands for any position in a list.
        rule: The rule in words.
        violations: All places and rules, as the gateway gave them for the example.
        count: The number of events.
        first: When the first of them was received, in Unix seconds; None if unknown.
        last: When the last of them was received.
        example: The id of the last one.
        shape: The shape of the data of the first one: each value replaced by its type.
    """

    id: str
    provider: str
    type: str
    path: str
    rule: str
    violations: str
    count: int
    first: float | None
    last: float | None
    example: str
    shape: Any


@dataclass(frozen=True, slots=True)
class QuarantineGroups:
    """The quarantine.

    Attributes:
        queue: The queue of the quarantine.
        total: The number of its events.
        groups: Their groups, the largest first; those that were found first, if there are very many.
        at: When the queue was read, in Unix seconds.
        others: The number of events in further groups.
    """

    queue: str
    total: int
    groups: tuple[QuarantineGroup, ...]
    at: float
    others: int = 0


@dataclass(frozen=True, slots=True)
class QuarantineFilter(EventFilter):
    """Conditions on quarantined events.

    Attributes:
        group: The id of their group; None for all.
    """

    group: str | None = None

    @override
    def accepts(self, event: FilteredEvent) -> bool:
        is_in_group = self.group is None or group_id(*_cause_of(event)) == self.group
        return is_in_group and EventFilter.accepts(self, event)


def quarantine_queue(config: Config) -> str:
    """Return the name of the queue of the quarantine."""
    return config.rabbitmq.exchange + QUARANTINE_SUFFIX


async def groups(config: Config, *, on_progress: OnProgress = ignore) -> QuarantineGroups:
    """Return the quarantined events by provider, type, place and rule; several viewers share one reading.

    Raises:
        OperatorError: There is no quarantine yet, or the broker cannot be reached.
    """
    queue = quarantine_queue(config)

    async def read() -> QuarantineGroups:
        found = await read_groups(config, queue, _cause_of, _Gathered, on_progress)
        made = [each.group(cause) for cause, each in found.groups.items()]
        made.sort(key=lambda group: (-group.count, -(group.last or 0), group.id))
        return QuarantineGroups(queue, found.total, tuple(made), time.time(), found.others)

    return await read_shared(config, queue, "quarantine", read)


class _Gathered:
    """A group while the queue is read."""

    def __init__(self) -> None:
        self.example = self.violations = ""
        self.shape: Any = None
        self.count = 0
        self.first: float | None = None
        self.last: float | None = None

    def add(self, letter: DeadLetter) -> None:
        self.count += 1
        moment = moment_of(letter.when)
        if moment is not None:
            self.first = moment if self.first is None else min(self.first, moment)
        if self.count == 1 or (moment is not None and (self.last is None or moment >= self.last)):
            self.last = moment
            # Not the event itself, which may be large; nor the shape of each, which takes its time.
            self.example, self.violations = letter.message_id, brief(letter.why)
            if self.count == 1:
                self.shape = _shape_of(letter)

    def group(self, cause: tuple[str, ...]) -> QuarantineGroup:
        provider, event_type, _ = cause
        path, _, rule = cause[2].partition("; ")[0].partition(": ")
        return QuarantineGroup(
            group_id(*cause),
            provider,
            event_type,
            path if rule else "",
            rule or path,
            self.violations,
            self.count,
            self.first,
            self.last,
            self.example,
            self.shape,
        )


def _cause_of(event: FilteredEvent) -> tuple[str, str, str]:
    return brief(event.provider), brief(event.word), _NUMBER.sub("*", brief(event.why))


def _shape_of(letter: DeadLetter) -> Any:
    try:
        data = data_of(letter)
        return shape_of(parse_json(data)) if data else None
    except MalformedJson:
        return None
