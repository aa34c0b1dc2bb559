"""Send a sample: a signed request, or one that was tampered with, goes to the gateway as its provider would send it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.auditing import audit
from gateway.console.pages.site import Site, first_values
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Principal, Role
from gateway.errors import OperatorError
from gateway.operations.test_events import TestEvent, sample_types, send

_TAMPERING = (
    ("", "nothing: a valid request"),
    ("body", "the body"),
    ("signature", "the signature"),
    ("timestamp", "the timestamp"),
    ("replay", "send it twice"),
)


def routes(site: Site) -> list[Route]:
    """Return the routes of the page and its form."""

    @require(Role.OPERATOR)
    async def show(request: Request) -> Response:
        return await _show(site, request, request.query_params)

    @require(Role.OPERATOR)
    async def send_sample(request: Request) -> Response:
        form = first_values(form_of(request))
        principal: Principal = request.state.principal
        provider = form.get("provider", "")
        try:
            await audit(
                site, request, "send", f"{provider} {form.get('type', '')} {form.get('tamper', '')}".strip()
            )
            sent = await send(
                site.services.config(),
                provider,
                form.get("type", "").strip() or None,
                tamper=form.get("tamper") or None,
                actor=principal.name,
            )
        except OperatorError as error:
            return await _show(site, request, form, problem=str(error))
        return await _show(site, request, form, sent=sent)

    return [
        Route("/send", site.page(show), methods=["GET"]),
        Route("/send", site.page(send_sample), methods=["POST"]),
    ]


async def _show(
    site: Site, request: Request, form: Mapping[str, str], sent: TestEvent | None = None, problem: str = ""
) -> Response:
    types = await asyncio.to_thread(sample_types, site.services.config())
    return site.render(
        request,
        "send.html",
        types=types,
        form={name: form.get(name, "") for name in ("provider", "type", "tamper")},
        sent=sent,
        problem=problem,
        tampering=_TAMPERING,
    )
