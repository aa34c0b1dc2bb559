"""Lists of entries of the journal."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.console.api.cursors import make_cursor, open_cursor
from gateway.console.api.encoding import EntryView, view_of
from gateway.console.api.operation import Call, Operation
from gateway.console.security.headers import timed
from gateway.console.security.roles import Role
from gateway.journal.entry import Kind
from gateway.journal.query_language import MAX_QUERY, parse_query
from gateway.operations.search import search

Limit = Annotated[int, Meta(ge=1, le=500)]
Text = Annotated[str, Meta(max_length=MAX_QUERY)]
Cursor = Annotated[str, Meta(max_length=500)]


class ListParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which entries to list.

    Attributes:
        q: The query, such as `provider:stripe outcome:dead since:2h`, as in the search field and in `gateway events`.
        cursor: The `next` of the page before.
        limit: The most entries to return.
    """

    q: Text = ""
    cursor: Cursor = ""
    limit: Limit = 50


class EntryPage(msgspec.Struct):
    """A page of entries, newest first.

    Attributes:
        entries: The entries.
        next: The cursor of the next page; null if there is none.
        searched_until: How far back the search has looked; null if the journal is empty. It ends after 80 ms.
        is_complete: Whether there is nothing to find beyond this page.
        headline: What was found, as a sentence.
    """

    entries: list[EntryView]
    next: str | None
    searched_until: float | None
    is_complete: bool
    headline: str


async def _list(call: Call, kinds: tuple[str, ...]) -> EntryPage:
    parameters: ListParameters = call.parameters
    query = parse_query(parameters.q, call.now)
    if kinds:
        query = replace(query, kinds=kinds)
    signer, name = call.services.access.signer, call.operation.path
    before = open_cursor(signer, name, parameters.cursor, parameters.q) if parameters.cursor else None
    with timed(call.request, "journal"):
        found = await asyncio.to_thread(
            search, call.services.journal, query, before=before, limit=parameters.limit, now=call.now
        )
    return EntryPage(
        [view_of(entry) for entry in found.entries],
        None if found.next is None else make_cursor(signer, name, found.next, parameters.q),
        found.searched_until,
        found.is_complete,
        found.headline,
    )


async def _entries(call: Call) -> EntryPage:
    return await _list(call, ())


async def _requests(call: Call) -> EntryPage:
    return await _list(call, (Kind.RECEIVED,))


_PROBLEMS = ("invalid_query", "invalid_cursor", "journal_unavailable")

OPERATIONS = (
    Operation(
        method="GET",
        path="/entries",
        role=Role.VIEWER,
        summary="List what happened to requests and events, newest first.",
        handler=_entries,
        parameters=ListParameters,
        result=EntryPage,
        problems=_PROBLEMS,
    ),
    Operation(
        method="GET",
        path="/requests",
        role=Role.VIEWER,
        summary="List the requests of providers, refused ones included, newest first.",
        handler=_requests,
        parameters=ListParameters,
        result=EntryPage,
        problems=_PROBLEMS,
    ),
)
