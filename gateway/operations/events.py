"""One event: its timeline, its payload, and the answer for an id that the journal does not have."""

from __future__ import annotations

from gateway.config import Config
from gateway.journal import Journal
from gateway.operations.event_models import EventView, NotFound, Payload


def event_view(
    config: Config, journal: Journal, event_id: str, provider: str = "", *, now: float
) -> EventView | None:
    """Return what is known of an event; None if the journal has no entry of it.

    Without a provider, the one that has the newest entry is taken, and the others are named.
    """
    raise NotImplementedError


async def not_found(
    config: Config,
    journal: Journal,
    event_id: str,
    provider: str = "",
    *,
    now: float,
    around: float | None = None,
) -> NotFound:
    """Return what can be said of an id that the journal does not have.

    Args:
        config: The configuration.
        journal: The journal.
        event_id: The id.
        provider: The provider, if it is known.
        now: The time, in Unix seconds.
        around: When the event should have come; refusals are counted one hour before and after it. By default, those of
            the last 24 hours are.
    """
    raise NotImplementedError


async def payload(config: Config, view: EventView, *, is_whole: bool) -> Payload | None:
    """Read the event in one of the places where its payload may be; None if it is in none of them.

    Raises:
        OperatorError: A place cannot be read.
    """
    raise NotImplementedError
