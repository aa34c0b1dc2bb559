"""Replay: deliver archived events to one queue again, after a look at which they would be.

The module has slightly more than 200 lines because a look and a run are the same way through the archive.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.backends import open_archive
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.events.message import Message
from gateway.events.strict_json import load_event
from gateway.operations.actions import Action, reported_actions
from gateway.operations.letters import OnProgress, ignore
from gateway.queues.archive import Archive, NotThere, Replay, mark_replayed
from gateway.queues.filter import EventFilter, received_at_of

PLANNED = 10
"""Events that a plan names."""

OnMessage = Callable[[Message], None]
"""Takes each event that was delivered, or would be."""


@dataclass(slots=True)
class Replayed:
    """How far a replay is. It is kept up to date, so that a caller that is interrupted can say what was done.

    Attributes:
        delivered: The number of events that were delivered, or would be.
        read: The number of archived events that were looked at.
    """

    delivered: int = 0
    read: int = 0


@dataclass(frozen=True, slots=True)
class PlannedEvent:
    """An event that would be replayed.

    Attributes:
        id: The CloudEvents id.
        provider: The provider.
        type: The event type as routing keys spell it.
        received_at: When it was received, in Unix seconds; None if unknown.
        summary: The envelope's one line.
    """

    id: str
    provider: str
    type: str
    received_at: float | None
    summary: str


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What a replay would do.

    Attributes:
        count: The number of events that it would deliver.
        read: The number of archived events that were looked at.
        first: The first ten of them.
    """

    count: int
    read: int
    first: tuple[PlannedEvent, ...]


@dataclass(slots=True)
class _Plan:
    events: list[PlannedEvent] = field(default_factory=list)

    def add(self, message: Message) -> None:
        if len(self.events) >= PLANNED:
            return
        event = load_event(message.body)
        provider, _, event_type = message.routing_key.partition(".")
        self.events.append(
            PlannedEvent(
                message.message_id,
                provider,
                event_type,
                received_at_of(event),
                str(event.get("summary") or ""),
            )
        )


async def plan(
    config: Config,
    event_filter: EventFilter,
    limit: int | None = None,
    *,
    on_progress: OnProgress = ignore,
) -> ReplayPlan:
    """Return which events a replay would deliver. Nothing is delivered.

    Raises:
        OperatorError: There is no archive, or the broker fails.
    """
    made = _Plan()
    replayed = await look(config, event_filter, limit, on_message=made.add, on_progress=on_progress)
    return ReplayPlan(replayed.delivered, replayed.read, tuple(made.events))


async def look(
    config: Config,
    event_filter: EventFilter,
    limit: int | None = None,
    *,
    on_message: OnMessage = ignore,
    on_progress: OnProgress = ignore,
    replayed: Replayed | None = None,
) -> Replayed:
    """Pass the selected events of the archive on, oldest first. Nothing is delivered.

    Raises:
        OperatorError: There is no archive, or the broker fails.
    """
    replayed = replayed or Replayed()
    try:
        async with open_archive(config) as archive:

            async def show(message: Message) -> None:
                on_message(message)

            await _go_through(
                config, archive, Replay(archive, event_filter, show, limit), replayed, on_progress
            )
    except (NotThere, OSError) as error:
        raise _explained(config, error) from error
    return replayed


async def run(
    config: Config,
    event_filter: EventFilter,
    queue: str,
    limit: int | None = None,
    *,
    force: bool = False,
    actor: str = "",
    on_message: OnMessage = ignore,
    on_progress: OnProgress = ignore,
    replayed: Replayed | None = None,
) -> Replayed:
    """Deliver the selected events of the archive to a queue, in order, marked as replayed.

    Deliveries that were begun when it is cancelled are finished. Run again, it delivers the same events again: workers
    with idempotency skip those that they have handled, unless they are forced.

    Args:
        config: The configuration.
        event_filter: Selects the events.
        queue: The queue that gets them.
        limit: The number of events at most.
        force: Whether workers handle events that they have handled before.
        actor: Who acts; by default the system's user.
        on_message: Called for each event that was delivered.
        on_progress: Called now and then with how much of the archive was read.
        replayed: Kept up to date; returned at the end.

    Raises:
        OperatorError: There is no archive or no such queue, or the broker fails.
    """
    replayed = replayed or Replayed()
    try:
        async with open_archive(config) as archive, reported_actions(config, actor) as actions:
            await archive.open_queue(queue)

            async def deliver(message: Message) -> None:
                await archive.deliver(queue, mark_replayed(message, is_forced=force))
                actions.note(
                    Action.REPLAYED,
                    routing_key=message.routing_key,
                    event_id=message.message_id,
                    queue=queue,
                    detail="forced" if force else "",
                )
                on_message(message)

            await _go_through(
                config, archive, Replay(archive, event_filter, deliver, limit), replayed, on_progress
            )
    except (NotThere, OSError) as error:
        raise _explained(config, error) from error
    return replayed


async def _go_through(
    config: Config, archive: Archive, replay: Replay, replayed: Replayed, on_progress: OnProgress
) -> None:
    def show() -> None:
        first = replay.first or 0
        replayed.delivered, replayed.read = replay.delivered, replay.read
        on_progress(replay.place - first + 1, max(archive.last, replay.place) - first + 1)

    on_progress(0, 0)
    try:
        await replay.run(show)
    finally:
        replayed.delivered, replayed.read = replay.delivered, replay.read
    if not (replay.read or config.archive.enabled):  # one that was switched off may still hold events
        raise NotThere("nothing was found")


def _explained(config: Config, error: NotThere | OSError) -> OperatorError:
    if isinstance(error, OSError):
        return OperatorError(f"cannot replay: {error}")
    if config.archive.enabled:
        return OperatorError(str(error))
    return OperatorError(
        f"{error}; archive.enabled is false, so nothing is archived: set it to true and restart the gateway"
    )
