"""The lists of events and of requests: chips for the conditions, a histogram that narrows the time, and a table.

Requests are all that came in, one row each, refused ones included. Events are everything that happened to what they
carried, receipts, attempts, deliveries and what people did, one row an event with what happened to it last.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.formatting import address
from gateway.console.pages.site import Site
from gateway.console.pages.traffic import traffic_chart
from gateway.journal.entry import Entry, Kind
from gateway.journal.entry_ids import format_entry_id, parse_entry_id
from gateway.journal.query import Query
from gateway.journal.query_language import QueryError, format_query, keys_of, parse_query, without
from gateway.operations.search import SearchResult, histogram, search

PAGE_SIZE = 50
"""Rows of a page."""

_SPANS = (("1 hour", "1h"), ("24 hours", "24h"), ("7 days", "7d"), ("14 days", "14d"))

_PRESETS = {
    "/events": (
        ("All", ""),
        ("Failed", "is:failed"),
        ("Handled", "outcome:handled"),
        ("Will retry", "outcome:retried"),
        ("Dead-lettered", "outcome:dead"),
        ("Quarantined", "outcome:quarantined"),
        ("Actions", "kind:action"),
    ),
    "/requests": (
        ("All", ""),
        ("Accepted", "outcome:accepted"),
        ("Refused", "outcome:invalid_signature"),
        ("Quarantined", "outcome:quarantined"),
        ("Duplicates", "outcome:duplicate"),
        ("Slow", "ms:>500"),
    ),
}


class Chip(NamedTuple):
    """A link that changes the query.

    Attributes:
        label: What it says.
        href: Where it leads.
        is_on: Whether it is what the page shows.
    """

    label: str
    href: str
    is_on: bool = False


class Listing:
    """One of the two lists.

    Args:
        site: The pages.
        path: Its path.
        kind: The only kind of entries in it; empty for all.
    """

    def __init__(self, site: Site, path: str, kind: str = "") -> None:
        self._site = site
        self._path = path
        self._kind = kind

    async def show(self, request: Request) -> Response:
        """Show a page of the list."""
        text, now = request.query_params.get("q", "").strip(), time.time()
        try:
            query = parse_query(text, now)
            before = _cursor(request)
        except QueryError as error:
            return self._site.render(
                request, "listing.html", 400, **self._common(text, Query()), problem=str(error), result=None
            )
        result = await self._search(request, query, before, now)
        bars = await self._site.ask(
            request, "journal", histogram, self._site.services.journal, self._restricted(query), now=now
        )
        chart = traffic_chart(bars.bars, lambda at, until: self._narrowed(query, at, until))
        return self._site.render(
            request,
            "listing.html",
            **self._common(text, query),
            problem="",
            result=result,
            rows=[(entry, 1) for entry in result.entries] if self._kind else by_event(result.entries),
            chart=chart,
            ignored=[key for key in bars.ignored if key != "kind"],
            relaxations=[
                (relaxed, self._href(format_query(relaxed.query)))
                for relaxed in result.relaxations
                if relaxed.key != "kind"
            ],
            next=self._href(text, before=format_entry_id(result.next)) if result.next else "",
            newest=self._href(text) if before else "",
        )

    async def _search(self, request: Request, query: Query, before: int | None, now: float) -> SearchResult:
        return await self._site.ask(
            request,
            "journal",
            search,
            self._site.services.journal,
            self._restricted(query),
            before=before,
            limit=PAGE_SIZE if self._kind else 2 * PAGE_SIZE,
            now=now,
        )

    def _restricted(self, query: Query) -> Query:
        return replace(query, kinds=(self._kind,)) if self._kind and not query.kinds else query

    def _common(self, text: str, query: Query) -> dict[str, Any]:
        return {
            "path": self._path,
            "search_text": text,
            "chips": [Chip(label, self._href(words), text == words) for label, words in _PRESETS[self._path]],
            "conditions": self._conditions(query),
            "spans": self._spans(query, text),
        }

    def _conditions(self, query: Query) -> list[Chip]:
        """Return a chip for each condition, which drops it."""
        chips = []
        for key in keys_of(query):
            others = without(query, key)
            only = query
            for other in keys_of(query):
                only = without(only, other) if other != key else only
            chips.append(Chip(format_query(only), self._href(format_query(others))))
        return chips

    def _spans(self, query: Query, text: str) -> list[Chip]:
        base = format_query(without(without(query, "since"), "until"))
        return [
            Chip(label, self._href(f"{base} since:{span}".strip()), f"since:{span}" in text.split())
            for label, span in _SPANS
        ]

    def _narrowed(self, query: Query, at: float, until: float) -> str:
        return self._href(format_query(replace(query, since=at, until=until)))

    def _href(self, text: str, **more: str) -> str:
        return address(self._path, q=text, **more)


def by_event(entries: Sequence[Entry]) -> list[tuple[Entry, int]]:
    """Return the newest entry of each event, and how many entries of it there are."""
    found: dict[object, tuple[Entry, int]] = {}
    for entry in entries:
        key = (entry.provider, entry.event_id) if entry.event_id else entry.id
        newest, count = found.get(key, (entry, 0))
        found[key] = (newest, count + 1)
    return list(found.values())


def _cursor(request: Request) -> int | None:
    text = request.query_params.get("before", "")
    try:
        return parse_entry_id(text) if text else None
    except ValueError:
        raise QueryError(
            "the address of this page is not complete: its `before` is no id of an entry"
        ) from None


def routes(site: Site) -> list[Route]:
    """Return the routes of the two lists."""
    return [
        Route("/events", site.page(Listing(site, "/events").show)),
        Route("/requests", site.page(Listing(site, "/requests", Kind.RECEIVED).show)),
    ]
