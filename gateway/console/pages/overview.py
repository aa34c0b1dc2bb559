"""The first page: how it is in one line, the numbers of a day, the last failures, and what changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.charts import Bars
from gateway.console.pages.listing import by_event
from gateway.console.pages.navigation import label_of
from gateway.console.pages.providers import providers_of
from gateway.console.pages.site import Site
from gateway.console.pages.tiles import tiles_of
from gateway.console.pages.traffic import Day, day_of, latency_of, traffic_chart
from gateway.journal.entry import Entry, Kind
from gateway.journal.query import Query
from gateway.operations.search import histogram, search
from gateway.operations.status import Status

DAY = 86_400.0
"""Seconds that the page looks back."""

_FAILURES = 10
"""Failures on the page."""

_LOOKED_AT = 60
"""Failures that are read for them; an event can have several."""

_CHANGES = 8
"""Actions on the page."""


def routes(site: Site) -> list[Route]:
    """Return the route of the page."""

    async def overview(request: Request) -> Response:
        services, now = site.services, time.time()
        config = services.config()
        status = await site.current.status(request)
        try:
            content = await _journal_part(site, request, now)
            trouble = ""
        except OSError as error:
            content, trouble = None, f"{error.filename or config.data_dir}: {error.strerror or error}"
        return site.render(
            request,
            "overview.html",
            health=status,
            content=content,
            tiles=tiles_of(content.day, status, now) if content else [],
            trouble=trouble,
            config=config,
            links=problem_links(status),
        )

    return [Route("/", site.page(overview))]


class Content(NamedTuple):
    """What the page shows of the journal.

    Attributes:
        day: The numbers of the day.
        chart: The traffic of the day.
        failures: The last failures.
        changes: The last actions.
        providers: How the providers are.
        is_empty: Whether no request has ever come.
    """

    day: Day
    chart: Bars
    failures: Sequence[Entry]
    changes: Sequence[Entry]
    providers: Sequence[object]
    is_empty: bool


async def _journal_part(site: Site, request: Request, now: float) -> Content:
    journal = site.services.journal

    async def ask_day() -> tuple[Bars, Day]:
        bars = await site.ask(request, "journal", histogram, journal, Query(), now=now)
        latency = await site.ask(request, "journal", latency_of, journal, now - DAY, now)
        return traffic_chart(bars.bars), day_of(bars.bars, latency)

    chart, day = await site.remembered.get(("day", id(journal)), ask_day)
    failures = await site.ask(
        request, "journal", search, journal, Query(failures=True), limit=_LOOKED_AT, now=now
    )
    changes = await site.ask(request, "journal", journal.find, Query(kinds=(Kind.ACTION,)), limit=_CHANGES)
    providers = await providers_of(site, request)
    state = await site.ask(request, "journal", journal.state)
    return Content(
        day,
        chart,
        [entry for entry, _ in by_event(failures.entries)][:_FAILURES],
        changes.entries,
        providers,
        state.begins_at is None,
    )


_LINKS = {
    "spool": "/queues",
    "queue": "/queues",
    "broker": "/queues",
    "dead_letters": "/dead-letters",
    "quarantine": "/quarantine",
    "unrouted": "/unrouted",
    "provider": "/providers",
    "secret": "/providers",
    "journal": "/settings",
    "outbound": "/endpoints",
}
"""The pages to which the first word of a problem's part leads."""


class ProblemLink(NamedTuple):
    """Where a problem leads.

    Attributes:
        href: The path.
        label: What is found there.
    """

    href: str
    label: str


def problem_links(status: Status | None) -> list[ProblemLink | None]:
    """Return where each problem of a status leads; None for nowhere."""
    return [_link_of(problem.part) for problem in status.problems] if status else []


def _link_of(part: str) -> ProblemLink | None:
    kind, _, name = part.partition(":")
    if kind == "provider" and name:
        return ProblemLink(f"/providers/{name}", name)
    path = _LINKS.get(kind, "")
    if name.endswith(".dead"):
        path = "/dead-letters"
    elif name.endswith((".quarantine", ".unrouted")):
        path = f"/{name.rpartition('.')[2]}"
    return ProblemLink(path, label_of(path)) if path else None
