"""Group the events of a queue by what they have in common, such as the cause of their failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from gateway.config import Config
from gateway.operations.letters import OnProgress, read_letters
from gateway.queues.dead_letters import DeadLetter

MAX_GROUPS = 200
"""Groups of a queue that are told apart: other programs can put any text where a cause should be."""

Cause = tuple[str, ...]
"""What the events of a group have in common."""


class Group(Protocol):
    """A group while its queue is read."""

    count: int

    def add(self, letter: DeadLetter) -> None:
        """Add an event."""


G = TypeVar("G", bound=Group)


@dataclass(frozen=True, slots=True)
class Grouped(Generic[G]):
    """The events of a queue by cause.

    Attributes:
        groups: The groups in the order in which they were found; no more than :data:`MAX_GROUPS`.
        total: The number of events.
    """

    groups: dict[Cause, G]
    total: int

    @property
    def others(self) -> int:
        """The number of events in further groups."""
        return self.total - sum(group.count for group in self.groups.values())


async def read_groups(
    config: Config,
    queue: str,
    cause_of: Callable[[DeadLetter], Cause],
    new_group: Callable[[], G],
    on_progress: OnProgress,
) -> Grouped[G]:
    """Read a queue, and group its events.

    Raises:
        OperatorError: The queue does not exist, or the broker fails.
    """
    groups: dict[Cause, G] = {}

    def gather(letter: DeadLetter) -> None:
        cause = cause_of(letter)
        if cause not in groups and len(groups) < MAX_GROUPS:
            groups[cause] = new_group()
        if cause in groups:
            groups[cause].add(letter)

    found = await read_letters(config, queue, on_letter=gather, on_progress=on_progress)
    return Grouped(groups, found.total)
