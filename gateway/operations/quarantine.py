"""The quarantine: genuine events that break their schema, to be validated again and released, or deleted.

The module has slightly more than 200 lines because it names all that can be done to the quarantine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.backends import open_publisher
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.events.validation import Validation
from gateway.operations.actions import Action, reported_actions
from gateway.operations.dropping import drop_letters
from gateway.operations.letters import (
    EVERYTHING,
    OnProgress,
    expect_found,
    finish,
    ignore,
    note,
    read_letters,
    select,
)
from gateway.operations.quarantine_agents import AgentRevalidator, agents_of
from gateway.operations.quarantine_checks import Check, check
from gateway.operations.quarantine_groups import (
    QuarantineFilter,
    QuarantineGroup,
    QuarantineGroups,
    groups,
    quarantine_queue,
)
from gateway.operations.quarantine_proposals import Proposal, proposal
from gateway.operations.readings import open_letters
from gateway.publishers import Publisher, PublishUnavailable
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.dead_letters.quarantine import Revalidator
from gateway.queues.filter import EventFilter
from gateway.transport.readiness import wait_ready

__all__ = [
    "Check",
    "Proposal",
    "QuarantineFilter",
    "QuarantineGroup",
    "QuarantineGroups",
    "Released",
    "agents_of",
    "check",
    "drop",
    "groups",
    "listing",
    "proposal",
    "quarantine_queue",
    "release",
    "revalidate",
]

_CONNECT_TIMEOUT = 5.0
"""Seconds to wait for RabbitMQ before the first event is published."""

OnValidated = Callable[[DeadLetter, Validation, bool], None]
"""Takes an event, how it validates now, and whether it is released."""


@dataclass(frozen=True, slots=True)
class Released:
    """What a release did.

    Attributes:
        released: The number of events that were published, or would be.
        kept: The number of events that stay, because they still break their schema.
    """

    released: int
    kept: int


async def listing(
    config: Config, event_filter: EventFilter = EVERYTHING, limit: int = 50
) -> list[DeadLetter]:
    """Return the first ``limit`` selected events of the quarantine.

    Raises:
        OperatorError: There is no quarantine yet, the broker cannot be reached, or no event has an id that was asked for.
    """
    listed: list[DeadLetter] = []
    await read_letters(config, quarantine_queue(config), event_filter, limit, on_letter=listed.append)
    return listed


async def revalidate(
    config: Config,
    folder: Path,
    event_filter: EventFilter,
    limit: int | None = None,
    *,
    of_agents: bool = False,
    on_letter: Callable[[DeadLetter, Validation], None],
) -> None:
    """Validate the selected events against the current schemas, those of agents as the way out does. Nothing is released.

    Raises:
        OperatorError: A schema cannot be used, the broker fails, or no event has an id that was asked for.
    """
    revalidator = AgentRevalidator() if of_agents else Revalidator(config, folder)
    await read_letters(
        config,
        quarantine_queue(agents_of(config) if of_agents else config),
        event_filter,
        limit,
        on_letter=lambda letter: on_letter(letter, revalidator.validate(letter)),
    )


async def release(
    config: Config,
    folder: Path,
    event_filter: EventFilter,
    limit: int | None = None,
    *,
    force: bool = False,
    dry_run: bool = False,
    of_agents: bool = False,
    actor: str = "",
    on_letter: OnValidated = ignore,
    on_progress: OnProgress = ignore,
) -> Released:
    """Publish the selected events that pass the current schemas, as if they had just been received.

    An event leaves the quarantine once the broker has confirmed it.

    Args:
        config: The configuration.
        folder: The folder of the configuration file, which schema files are relative to.
        event_filter: Selects the events.
        limit: The number of events at most.
        force: Whether events that still break their schema are released, too.
        dry_run: Whether all events stay where they are.
        of_agents: Whether these are what agents have published. Of those, none is released that cannot be delivered.
        actor: Who acts; by default the system's user.
        on_letter: Called for each event when it is done.
        on_progress: Called after each event.

    Raises:
        OperatorError: A schema cannot be used, the broker fails or does not confirm, or no event has an id that was asked
            for.
    """
    source = agents_of(config) if of_agents else config
    queue, exchange = quarantine_queue(source), source.rabbitmq.exchange
    revalidator = AgentRevalidator() if of_agents else Revalidator(config, folder)
    released = kept = 0
    async with (
        reported_actions(config, actor) as actions,
        open_letters(config, queue, is_changed=not dry_run) as letters,
        _publishing(source) as publisher,
    ):
        total = min(letters.size, limit or letters.size)
        on_progress(0, total)

        async def release_one(letter: DeadLetter) -> None:
            nonlocal released, kept
            validation = revalidator.validate(letter)
            is_released = not validation.violations or (force and revalidator.can_be_forced(validation))
            if is_released and not dry_run:
                await publisher.publish(revalidator.released(letter, exchange, validation))
                await letters.drop(letter)
                note(actions, Action.RELEASED, letter, exchange)
            released, kept = released + is_released, kept + (not is_released)
            on_letter(letter, validation, is_released)
            on_progress(released + kept, max(total, released + kept))

        try:
            async for letter in select(letters, event_filter, limit):
                await finish(release_one(letter))
        except PublishUnavailable as error:
            raise OperatorError(
                f"the broker did not confirm an event: {error}; it stays in {queue}, as do the remaining events"
            ) from error
    expect_found(queue, event_filter, released + kept)
    on_progress(released + kept, released + kept)
    return Released(released, kept)


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
        quarantine_queue(config),
        event_filter,
        confirmed=confirmed,
        actor=actor,
        on_progress=on_progress,
    )


@asynccontextmanager
async def _publishing(config: Config) -> AsyncIterator[Publisher]:
    """Open a publisher without a spool: a released event leaves the quarantine only once the broker has it."""
    direct = config.model_copy(update={"spool": config.spool.model_copy(update={"enabled": False})})
    publisher = open_publisher(direct)
    await publisher.start()
    try:
        await wait_ready(
            lambda: not publisher.unavailable_reason, _CONNECT_TIMEOUT
        )  # a failure is reported by what follows
        yield publisher
    finally:
        await publisher.stop()
