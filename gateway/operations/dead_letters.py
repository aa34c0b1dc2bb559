"""Dead letters: the events that a worker has given up, to be redriven or deleted."""

from __future__ import annotations

from gateway.config import Config
from gateway.events.message import DEAD_SUFFIX
from gateway.operations.actions import Action
from gateway.operations.dead_letter_groups import DeadGroup, DeadGroups, DeadLetterFilter, groups
from gateway.operations.dropping import drop_letters
from gateway.operations.letters import OnLetter, OnProgress, ignore, move_letters, read_letters
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.filter import EventFilter

__all__ = ["DeadGroup", "DeadGroups", "DeadLetterFilter", "drop", "groups", "listing", "redrive"]


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
