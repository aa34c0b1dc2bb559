"""One event: its timeline, its payload, and the answer for an id that the journal does not have."""

from __future__ import annotations

from gateway.config import Config
from gateway.journal import Journal
from gateway.operations.event_models import EventView, NotFound, Payload
from gateway.operations.event_view import event_view

__all__ = ["event_view", "not_found", "payload"]


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
