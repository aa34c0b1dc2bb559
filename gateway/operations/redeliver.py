"""Deliver one event to a queue again, from wherever its payload is kept.

A dead letter of the queue itself is redriven, and an unrouted or quarantined event is moved: it is in one place. From the
archive a copy is delivered, marked as replayed, which a worker with idempotency skips if it has handled the event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gateway.config import Config
from gateway.errors import EventNotFound, OperatorError, QueueNotFound
from gateway.events.message import DEAD_SUFFIX
from gateway.events.validation import UNREADABLE
from gateway.operations import dead_letters, replay, unrouted
from gateway.operations.actions import Action, reported_actions
from gateway.operations.letters import expect_found, finish, move_letters, note, select
from gateway.operations.quarantine_groups import quarantine_queue
from gateway.operations.readings import open_letters
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.dead_letters.quarantine import Revalidator, without_violations
from gateway.queues.filter import EventFilter

_CLOCK_SKEW = 3600.0
"""Seconds around the time of receipt in which the archive is searched, as the clocks of machines differ."""

Source = Literal["dead_letters", "archive", "unrouted", "quarantine"]
"""Where an event was found."""


@dataclass(frozen=True, slots=True)
class Redelivered:
    """An event that was delivered again.

    Attributes:
        source: Where it was found.
        queue: The queue that it was in; empty for the archive.
        to: The queue that it is in now.
        copies: How many copies of it there were and are.
    """

    source: Source
    queue: str
    to: str
    copies: int


async def redeliver(
    config: Config,
    folder: Path,
    provider: str,
    event_id: str,
    to: str,
    *,
    force: bool = False,
    dead_queues: Sequence[str] = (),
    received_at: float | None = None,
    actor: str = "",
) -> Redelivered:
    """Deliver an event to a queue again.

    It is looked for among the dead letters of that queue, in the archive, among unrouted events, in the quarantine, and last
    among the dead letters of other queues, which it then leaves.

    Args:
        config: The configuration.
        folder: The folder of the configuration file, which schema files are relative to.
        provider: The provider.
        event_id: The CloudEvents id.
        to: A worker's queue.
        force: Whether a worker handles the event though it has handled it before, and whether an event leaves the
            quarantine though it still breaks its schema.
        dead_queues: Further workers' queues whose dead letters are searched.
        received_at: When the event was received, in Unix seconds; otherwise all of the archive is searched.
        actor: Who acts; by default the system's user.

    Raises:
        QueueNotFound: There is no queue to deliver to.
        EventNotFound: The event is in none of these places.
        OperatorError: It still breaks its schema, or the broker fails.
    """
    wanted = EventFilter(provider=provider, ids=[event_id])

    async def redrive(queue: str) -> Redelivered:
        source = queue + DEAD_SUFFIX
        if queue == to:
            count = await dead_letters.redrive(config, to, wanted, actor=actor)
        else:
            count = await move_letters(config, source, to, wanted, action=Action.REDRIVEN, actor=actor)
        return Redelivered("dead_letters", source, to, count)

    async def copy() -> Redelivered:
        span = EventFilter(provider=provider, ids=[event_id])
        if received_at is not None:
            span = replace(span, since=received_at - _CLOCK_SKEW, until=received_at + _CLOCK_SKEW)
        done = await replay.run(config, span, to, 1, force=force, actor=actor)
        if not done.delivered:
            raise EventNotFound("the archive does not have the event")
        return Redelivered("archive", "", to, 1)

    async def route() -> Redelivered:
        count = await unrouted.route(config, to, wanted, actor=actor)
        return Redelivered("unrouted", unrouted.unrouted_queue(config), to, count)

    async def release() -> Redelivered:
        count = await _release_to(config, folder, wanted, to, force=force, actor=actor)
        return Redelivered("quarantine", quarantine_queue(config), to, count)

    places: list[tuple[str, Callable[[], Awaitable[Redelivered]]]] = [
        (f"the dead letters of {to}", lambda: redrive(to)),
        *([("the archive", copy)] if config.archive.enabled else []),
        ("the unrouted events", route),
        ("the quarantine", release),
        *((f"the dead letters of {each}", _bound(redrive, each)) for each in dead_queues if each != to),
    ]
    for _, look in places:
        try:
            return await look()
        except EventNotFound:
            continue
        except QueueNotFound as error:
            if error.queue == to:
                raise
    looked = [name for name, _ in places]
    hint = (
        "" if config.archive.enabled else "; archive.enabled is false, so that published events are not kept"
    )
    raise EventNotFound(
        f"{provider} event {event_id!r} is in no place that could be searched: {', '.join(looked)}{hint}"
    )


def _bound(act: Callable[[str], Awaitable[Redelivered]], queue: str) -> Callable[[], Awaitable[Redelivered]]:
    return lambda: act(queue)


async def _release_to(
    config: Config, folder: Path, wanted: EventFilter, to: str, *, force: bool, actor: str
) -> int:
    """Move an event from the quarantine to a queue if it passes its schema now, or by force."""
    revalidator, source, count = Revalidator(config, folder), quarantine_queue(config), 0
    refused = ""
    async with (
        reported_actions(config, actor) as actions,
        open_letters(config, source, to, is_changed=True) as letters,
    ):

        async def move(letter: DeadLetter) -> None:
            nonlocal count
            await letters.move(without_violations(letter), to)
            note(actions, Action.RELEASED, letter, to)
            count += 1

        async for letter in select(letters, wanted):
            validation = revalidator.validate(letter)
            if validation == UNREADABLE or (validation.violations and not force):
                refused = str(validation.violations)
            else:
                await finish(move(letter))
    if refused and not count:
        remedy = "" if refused == UNREADABLE.violations else "; change the schema, or force it"
        raise OperatorError(f"the event is in quarantine and still breaks its schema: {refused}{remedy}")
    expect_found(source, wanted, count)
    return count
