"""The last refused requests, which are kept in memory alone, and the explanation of one."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.site import Site
from gateway.console.security.gate import require
from gateway.console.security.roles import Role
from gateway.devtools.explain import Capture
from gateway.journal.capture import CapturedRequest
from gateway.journal.entry_ids import format_entry_id
from gateway.operations.explain import explain_refusal
from gateway.signatures.request import Headers

_MAX_BODY = 16 * 1024
"""Bytes of a body on the page."""


def routes(site: Site) -> list[Route]:
    """Return the routes of the list and of the explanation."""

    def kept() -> list[CapturedRequest]:
        ring = site.services.refusals
        return ring.records() if ring else []

    async def show_all(request: Request) -> Response:
        provider = request.query_params.get("provider", "")
        records = await site.ask(request, "memory", kept)
        return site.render(
            request,
            "refusals.html",
            records=[each for each in records if not provider or each.provider == provider],
            providers=sorted({each.provider for each in records}),
            provider=provider,
            is_captured=site.services.refusals is not None,
        )

    @require(Role.OPERATOR)
    async def show_one(request: Request) -> Response:
        records = await site.ask(request, "memory", kept)
        record = next(
            (each for each in records if format_entry_id(each.entry) == request.path_params["id"]), None
        )
        if record is None:
            return site.render(
                request,
                "trouble.html",
                404,
                title="The request is not kept any more",
                reason="Of each provider the last twenty refused requests are kept, in memory, until the gateway ends.",
            )
        explanation = None
        if record.provider in site.services.config().providers and record.body is not None:
            explanation = await site.ask(
                request,
                "explain",
                explain_refusal,
                site.services.config(),
                record.provider,
                Capture(record.method, record.url or record.path, Headers(record.headers), record.body),
                now=time.time(),
                arrived_at=record.at,
            )
        return site.render(
            request,
            "refusal.html",
            record=record,
            explanation=explanation,
            body=_readable(record.body),
            headers=[(_text(name), _text(value)) for name, value in record.headers],
            is_secret=True,
        )

    return [
        Route("/refusals", site.page(show_all)),
        Route("/refusals/{id}", site.page(show_one)),
    ]


def _text(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")


def _readable(body: bytes | None) -> str:
    return "" if body is None else _text(body[:_MAX_BODY])
