"""The search field, single entries, and the export of selected events."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.exporting import export_lines
from gateway.console.pages.formatting import address, event_path
from gateway.console.pages.site import Site, redirect
from gateway.journal.entry_ids import parse_entry_id
from gateway.journal.query import Query
from gateway.journal.query_language import QueryError, keys_of, parse_query


def routes(site: Site) -> list[Route]:
    """Return the routes of the search field, of single entries, and of the export."""

    async def find(request: Request) -> Response:
        """Lead a search to the event if it is the id of one, else to the list."""
        text = request.query_params.get("q", "").strip()
        try:
            query = parse_query(text, time.time())
        except QueryError:
            return redirect(address("/events", q=text))
        if not query.text or keys_of(query) != ["text"]:
            return redirect(address("/events", q=text))
        entries = await site.ask(request, "journal", site.services.journal.timeline, query.text)
        if entries:
            return redirect(event_path(entries[-1].provider, query.text))
        page = await site.ask(request, "journal", site.services.journal.find, query, limit=1)
        return redirect(address("/events", q=text) if page.entries else address("/event", id=query.text))

    async def show_entry(request: Request) -> Response:
        """Show one entry that belongs to no event, such as a refused request."""
        try:
            number = parse_entry_id(request.path_params["entry"])
        except ValueError:
            return site.render(
                request,
                "trouble.html",
                404,
                title="No such entry",
                reason="The address holds no id of an entry.",
            )
        page = await site.ask(
            request, "journal", site.services.journal.find, Query(), before=number + 1, limit=1
        )
        if not page.entries or page.entries[0].id != number:
            return site.render(
                request,
                "trouble.html",
                404,
                title="No such entry",
                reason="The journal does not have it any more; the oldest entries are deleted first.",
            )
        return site.render(request, "entry.html", entry=page.entries[0])

    async def export(request: Request) -> Response:
        """Give the selected events as JSON lines, from the journal: without payloads."""
        chosen = request.query_params.getlist("event")
        lines = await site.ask(request, "journal", export_lines, site.services.journal, chosen)
        disposition = 'attachment; filename="events.jsonl"'
        return Response(
            lines, media_type="application/octet-stream", headers={"Content-Disposition": disposition}
        )

    return [
        Route("/search", site.page(find)),
        Route("/entries/{entry}", site.page(show_entry)),
        Route("/export", site.page(export)),
    ]
