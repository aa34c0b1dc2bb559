"""The live tail: the newest entries, and a stream of rows that the script adds above them.

The rows are made here, in the words of the lists, so that the script has no words of its own.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.console.pages.formatting import address, entry_path, iso, milliseconds
from gateway.console.pages.site import Site
from gateway.console.pages.wording import label_of, tone_of
from gateway.console.problems import Problem
from gateway.console.tails import Batch, Tail, Tails
from gateway.journal.entry import Entry
from gateway.journal.query import Query
from gateway.journal.query_language import QueryError, parse_query
from gateway.operations.search import describe, search

_FIRST_ROWS = 50
"""Rows that the page has without the script."""


def routes(site: Site) -> list[Route]:
    """Return the routes of the page and of its stream."""
    journal = site.services.journal
    tails = Tails(journal, _encode)

    async def show(request: Request) -> Response:
        text, now = request.query_params.get("q", "").strip(), time.time()
        problem, query = "", Query()
        try:
            query = parse_query(text, now)
        except QueryError as error:
            problem = str(error)
        position = await site.ask(request, "journal", journal.position)
        found = await site.ask(request, "journal", search, journal, query, limit=_FIRST_ROWS, now=now)
        return site.render(
            request,
            "live.html",
            search_text=text,
            problem=problem,
            entries=() if problem else found.entries,
            stream=address("/live/rows", q=text),
            cursor=position,
        )

    async def stream(request: Request) -> Response:
        try:
            query = parse_query(request.query_params.get("q", "").strip(), time.time())
        except QueryError as error:
            raise Problem("invalid_query", str(error)) from error
        cursor = request.headers.get("last-event-id") or request.query_params.get("cursor", "")
        position = int(cursor) if cursor.isdigit() and len(cursor) < 19 else None
        tail = await tails.join(query, position)
        if tail is None:
            raise Problem("overloaded", "there are too many live tails")
        return StreamingResponse(
            _stream(tails, tail), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    return [Route("/live", site.page(show)), Route("/live/rows", stream)]


async def _stream(tails: Tails, tail: Tail) -> AsyncIterator[bytes]:
    try:
        yield b": the tail begins\n\n"
        async for batch in tail.batches():
            yield batch.encoded() if batch else b": still here\n\n"
    finally:
        await tails.leave(tail)


def _encode(batch: Batch) -> bytes:
    message = {"rows": [row_of(entry) for entry in batch.entries], "skipped": batch.more}
    return b"id: %d\nevent: rows\ndata: %b\n\n" % (batch.position, orjson.dumps(message))


def row_of(entry: Entry) -> dict[str, Any]:
    """Return an entry as the script shows it."""
    under = [entry.provider or "unknown provider"]
    under += [entry.type] if entry.summary and entry.type else []
    under += [each for each in (entry.event_id or entry.reason, entry.queue) if each]
    is_spooled = entry.outcome == "accepted" and entry.reason == "spooled"
    return {
        "label": "spooled" if is_spooled else label_of(entry.outcome),
        "tone": tone_of(entry.outcome, entry.reason),
        "title": entry.summary or describe(entry),
        "under": " · ".join(under),
        "took": milliseconds(entry.ms),
        "at": iso(entry.at),
        "href": entry_path(entry),
    }
