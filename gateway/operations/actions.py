"""Actions of people: the journal learns who replayed, released, redrove, routed, dropped, forgot or sent an event.

An action that has been taken is reported afterwards. A report that cannot be sent changes nothing about the action.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

from gateway.backends import open_reports
from gateway.config import Config
from gateway.journal.entry import MAX_DETAIL, MAX_TEXT, Entry, Kind, cut
from gateway.journal.reports.sender import Reports


class Action(StrEnum):
    """The names of actions: the outcome of their entries."""

    REPLAYED = "replayed"
    """An event from the archive was published again."""
    RELEASED = "released"
    """An event left the quarantine for its queues."""
    REDRIVEN = "redriven"
    """A dead letter returned to its worker's queue."""
    ROUTED = "routed"
    """An unrouted event was moved to a queue."""
    DROPPED = "dropped"
    """An event was deleted from a queue."""
    FORGOTTEN = "forgotten"
    """An event left the deduplication store, or its texts left the journal."""
    SENT = "sent"
    """A test event was sent."""
    DRAINED = "drained"
    """An event left the spool by `gateway spool`."""
    VIEWED = "viewed"
    """Somebody looked at a payload."""


class ActionReports:
    """Reports actions of one actor. Nothing is raised, and nothing is waited for.

    Args:
        reports: Sends the entries; None if there is no journal.
        actor: Who acts.
    """

    def __init__(self, reports: Reports | None, actor: str) -> None:
        self._reports = reports
        self._actor = actor

    def note(
        self,
        action: Action,
        *,
        routing_key: str = "",
        event_id: str = "",
        subject: str = "",
        account: str = "",
        queue: str = "",
        reason: str = "",
        summary: str = "",
        detail: str = "",
    ) -> None:
        """Report that an action was taken on an event.

        Args:
            action: What was done.
            routing_key: `<provider>.<event type>` of the event, or the provider alone.
            event_id: The CloudEvents id.
            subject: The CloudEvents subject.
            account: The customer's account at the provider.
            queue: The queue that the event went to or left.
            reason: A word that tells more, such as the exception's type of a dead letter.
            summary: The envelope's one line.
            detail: More in words; never a value of the payload.
        """
        if self._reports is None:
            return
        provider, _, event_type = routing_key.partition(".")
        entry = Entry(
            self._reports.next_id(),
            Kind.ACTION,
            action,
            cut(reason, MAX_TEXT),
            cut(provider, MAX_TEXT),
            cut(event_type, MAX_TEXT),
            event_id=cut(event_id, MAX_TEXT),
            subject=cut(subject, MAX_TEXT),
            account=cut(account, MAX_TEXT),
            queue=cut(queue, MAX_TEXT),
            gateway=self._reports.gateway,
            actor=cut(self._actor, MAX_TEXT),
            summary=cut(summary, MAX_DETAIL),
            detail=cut(detail, MAX_DETAIL),
        )
        self._reports.send(entry)


@asynccontextmanager
async def reported_actions(config: Config, actor: str = "") -> AsyncIterator[ActionReports]:
    """Report the actions that are noted within the block; its end waits for them, for a second or two at most.

    Args:
        config: The configuration.
        actor: Who acts; by default the system's user.
    """
    reports = open_reports(config)
    if reports is None:
        yield ActionReports(None, actor)
        return
    await reports.start()
    try:
        yield ActionReports(reports, actor or system_user())
    finally:
        await reports.stop()


async def report_action(
    config: Config,
    action: Action,
    *,
    actor: str = "",
    routing_key: str = "",
    event_id: str = "",
    queue: str = "",
    reason: str = "",
    detail: str = "",
) -> None:
    """Report one action; see :meth:`ActionReports.note`."""
    async with reported_actions(config, actor) as actions:
        actions.note(
            action, routing_key=routing_key, event_id=event_id, queue=queue, reason=reason, detail=detail
        )


def system_user() -> str:
    """Return the name of the user that runs this process; its number if it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
