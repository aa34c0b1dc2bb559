"""The numbers at the top of the first page, each with its line of the last day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.console.pages.formatting import UNKNOWN, count, milliseconds, plural, rate, size
from gateway.console.pages.traffic import Day
from gateway.operations.status import QueueKind, Status


class Tile(NamedTuple):
    """A number with its line.

    Attributes:
        label: What it is.
        value: The number now.
        unit: Its unit.
        aside: What else there is to say.
        values: The line of the last day.
        tone: The tone of the line.
        href: Where to see more.
    """

    label: str
    value: str
    unit: str
    aside: str
    values: Sequence[float]
    tone: str
    href: str


def tiles_of(day: Day, status: Status | None, now: float) -> list[Tile]:
    """Return the tiles of a day and of how everything is."""
    hour = f"since:{int(now - 3600)}"
    waiting = {kind: waiting_in(status, kind) for kind in ("quarantine", "dead_letters")}
    spooled = status.spool.events if status and status.spool else 0
    return [
        Tile(
            "Requests a second",
            rate(day.per_second),
            "",
            f"{count(day.requests)} in 24 h",
            day.totals,
            "",
            "/requests",
        ),
        Tile(
            "Refused",
            count(day.refused),
            "",
            f"{day.refused_share} of the requests",
            day.refused_by_bar,
            "bad" if day.refused else "quiet",
            f"/requests?q=is:failed+kind:received+{hour}",
        ),
        Tile(
            "Answered in",
            milliseconds(day.p50 * 1000) if day.p50 is not None else UNKNOWN,
            "p50",
            f"p99 {milliseconds(day.p99 * 1000)}" if day.p99 is not None else "no requests yet",
            [value or 0.0 for value in day.p99_by_bar],
            "",
            "/providers",
        ),
        Tile(
            "Spooled",
            count(spooled),
            "",
            size(status.spool.size) + " on disk"
            if status and status.spool and spooled
            else "nothing waits on disk",
            [],
            "warn",
            "/queues",
        ),
        Tile(
            "Quarantined",
            count(waiting["quarantine"]),
            "",
            f"{count(day.quarantined)} in 24 h",
            day.quarantined_by_bar,
            "warn" if day.quarantined else "quiet",
            "/quarantine",
        ),
        Tile(
            "Dead letters",
            count(waiting["dead_letters"]),
            "",
            plural(
                sum(queue.kind == "dead_letters" and bool(queue.ready) for queue in status.queues), "queue"
            )
            if status
            else "",
            [],
            "bad",
            "/dead-letters",
        ),
    ]


def waiting_in(status: Status | None, kind: QueueKind) -> int:
    """Return how many events wait in the queues of a kind."""
    return sum(queue.ready or 0 for queue in status.queues if queue.kind == kind) if status else 0
