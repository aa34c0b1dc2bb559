"""The live tail: the newest entries, above which the script adds what the API's stream brings."""

from __future__ import annotations

import time

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.api.tail_messages import LIST_NAME, Place
from gateway.console.pages.formatting import address
from gateway.console.pages.site import Site
from gateway.console.pages.wording import words_by_outcome
from gateway.journal.query import Query
from gateway.journal.query_language import QueryError, parse_query
from gateway.operations.search import search

_FIRST_ROWS = 50
"""Rows that the page has without the script."""


def routes(site: Site) -> list[Route]:
    """Return the route of the page."""
    services = site.services
    words = orjson.dumps(words_by_outcome()).decode()

    async def show(request: Request) -> Response:
        text, now = request.query_params.get("q", "").strip(), time.time()
        problem, query = "", Query()
        try:
            query = parse_query(text, now)
        except QueryError as error:
            problem = str(error)
        position = await site.ask(request, "journal", services.journal.position)
        found = await site.ask(
            request, "journal", search, services.journal, query, limit=_FIRST_ROWS, now=now
        )
        return site.render(
            request,
            "live.html",
            search_text=text,
            problem=problem,
            entries=() if problem else found.entries,
            stream=address(f"/api/v1{LIST_NAME}", q=text),
            cursor=Place(position).cursor(services.access.signer, text),
            words=words,
        )

    return [Route("/live", site.page(show))]
