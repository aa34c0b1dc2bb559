"""The page of an event: its state in words, its timeline and its actions; and the page for an event that is not found."""

from __future__ import annotations

import shlex
import time
from typing import NamedTuple
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.auditing import audit
from gateway.console.pages.exporting import plain
from gateway.console.pages.formatting import iso
from gateway.console.pages.site import Site
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Principal, Role
from gateway.errors import OperatorError
from gateway.operations.event_models import EventView, Payload
from gateway.operations.events import event_view, not_found, payload

TABS = ("timeline", "envelope", "payload", "headers", "related")
"""The tabs, the first of which is shown by default."""

_MAX_SHOWN = 256 * 1024
"""Characters of a payload on a page; the rest is had by the command line."""


class Command(NamedTuple):
    """A command line that does what the page does.

    Attributes:
        label: What it does.
        text: The command line.
    """

    label: str
    text: str


def routes(site: Site) -> list[Route]:
    """Return the routes of the page."""

    async def show(request: Request) -> Response:
        provider = request.path_params.get("provider") or request.query_params.get("provider", "")
        event_id = request.path_params.get("id") or request.query_params.get("id", "")
        tab = request.query_params.get("tab", "")
        return await _show(site, request, provider, event_id, tab if tab in TABS else TABS[0])

    @require(Role.OPERATOR)
    async def show_values(request: Request) -> Response:
        form = {name: values[0] for name, values in form_of(request).items()}
        provider, event_id = form.get("provider", ""), form.get("id", "")
        await audit(site, request, "payload.view", f"{provider}/{event_id}")
        tab = form.get("tab", "")
        return await _show(
            site, request, provider, event_id, tab if tab in TABS else "payload", is_whole=True
        )

    return [
        Route("/events/{provider}/{id}", site.page(show), methods=["GET"]),
        Route("/event", site.page(show), methods=["GET"]),
        Route("/event/values", site.page(show_values), methods=["POST"]),
    ]


async def _show(
    site: Site, request: Request, provider: str, event_id: str, tab: str, *, is_whole: bool = False
) -> Response:
    services, now = site.services, time.time()
    config = services.config()
    view = await site.ask(
        request, "journal", event_view, config, services.journal, event_id, provider, now=now
    )
    if view is None:
        missing = await not_found(config, services.journal, event_id, provider, now=now)
        return site.render(
            request, "missing.html", 404, missing=missing, provider=provider, event_id=event_id
        )
    found: Payload | None = None
    trouble = ""
    if tab in {"envelope", "payload", "headers"}:
        principal: Principal = request.state.principal
        may_read = principal.role.includes(Role.OPERATOR) and config.console.payloads != "off"
        wants_whole = may_read and (is_whole or config.console.payloads == "full")
        try:
            found = await payload(config, view, is_whole=wants_whole)
        except OperatorError as error:
            trouble = str(error)
    return site.render(
        request,
        "event.html",
        view=view,
        tab=tab,
        tabs=TABS,
        payload=found,
        shown=_shown(found, tab),
        trouble=trouble,
        queues=sorted({*view.queues, *(await _worker_queues(site))}),
        is_secret=found is not None and found.is_whole,
        payloads=config.console.payloads,
        commands=_commands(view, f"{request.state.caller.scheme}://{request.state.caller.host}"),
        trace_url=config.console.trace_url,
        as_json=lambda entry: orjson.dumps(plain(entry), option=orjson.OPT_INDENT_2).decode(),
    )


async def _worker_queues(site: Site) -> list[str]:
    health = await site.current.status()
    return [queue.name for queue in (health.queues if health else ()) if queue.kind == "worker"]


def _shown(found: Payload | None, tab: str) -> str:
    """Return the text of a tab: the CloudEvent without its data, the data alone, or the headers."""
    if found is None:
        return ""
    event = found.event if isinstance(found.event, dict) else {"data": found.event}
    content: object
    if tab == "headers":
        content = found.headers
    elif tab == "envelope":
        content = {name: value for name, value in event.items() if name not in {"data", "data_base64"}}
    else:
        content = event.get("data", event.get("data_base64"))
    return orjson.dumps(content, option=orjson.OPT_INDENT_2, default=str).decode()[:_MAX_SHOWN]


def _commands(view: EventView, console: str) -> list[Command]:
    to = view.queues[0] if view.queues else "QUEUE"
    event_id = shlex.quote(view.event_id)
    since = shlex.quote(iso(view.first_at - 60))
    path = f"{console}/api/v1/events/{view.provider}/{quote(view.event_id, safe='')}/redeliver"
    curl = (
        f'curl -X POST -H "Authorization: Bearer $GATEWAY_TOKEN" -H "Content-Type: application/json" '
        f"-d {shlex.quote(orjson.dumps({'to': to}).decode())} {shlex.quote(path)}"
    )
    return [
        Command("Show it", f"gateway events show {event_id} --provider {shlex.quote(view.provider)}"),
        Command("Redeliver it", f"gateway replay --since {since} --id {event_id} --to {shlex.quote(to)}"),
        Command("Redeliver it over HTTP", curl),
    ]
