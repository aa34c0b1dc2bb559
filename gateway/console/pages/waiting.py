"""What waits for a person: quarantined events, dead letters and unrouted events, in groups of one cause."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.site import Site
from gateway.console.pages.tiles import waiting_in
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Role
from gateway.errors import OperatorError
from gateway.events.message import DEAD_SUFFIX
from gateway.operations import dead_letters, quarantine, unrouted
from gateway.operations.quarantine import Check, QuarantineFilter, QuarantineGroup


def routes(site: Site) -> list[Route]:
    """Return the routes of the pages."""

    async def show_dead(request: Request) -> Response:
        health = await site.current.status(is_fresh=True)
        queues = [queue for queue in (health.queues if health else ()) if queue.kind == "dead_letters"]
        names = [queue.name.removesuffix(DEAD_SUFFIX) for queue in queues]
        full = [name for name, queue in zip(names, queues, strict=True) if queue.ready]
        chosen = request.query_params.get("queue", "") or next(iter(full), "")
        groups = await dead_letters.groups(site.services.config(), chosen) if chosen else None
        return site.render(
            request,
            "dead_letters.html",
            queues=list(zip(names, queues, strict=True)),
            chosen=chosen,
            groups=groups,
        )

    async def show_quarantine(request: Request) -> Response:
        try:
            groups, trouble = await quarantine.groups(site.services.config()), ""
        except OperatorError as error:
            health = await site.current.status(is_fresh=True)
            groups, trouble = None, str(error) if health is None or waiting_in(health, "quarantine") else ""
        return site.render(request, "quarantine.html", groups=groups, trouble=trouble)

    async def show_group(request: Request) -> Response:
        return await _show_group(site, request, None, "")

    @require(Role.OPERATOR)
    async def check_group(request: Request) -> Response:
        schema = form_of(request).get("schema", [""])[0]
        services = site.services
        event_filter = QuarantineFilter(group=request.path_params["group"])
        try:
            checked, problem = (
                await quarantine.check(
                    services.config(), services.folder, event_filter, schema.strip() or None
                ),
                "",
            )
        except OperatorError as error:
            checked, problem = None, str(error)
        return await _show_group(site, request, checked, problem, schema)

    async def show_unrouted(request: Request) -> Response:
        health = await site.current.status(is_fresh=True)
        try:
            groups = await unrouted.groups(site.services.config())
        except OperatorError:
            if waiting_in(health, "unrouted"):
                raise
            groups = None  # the queue does not exist before the first event
        workers = [queue.name for queue in (health.queues if health else ()) if queue.kind == "worker"]
        return site.render(request, "unrouted.html", groups=groups, workers=workers)

    return [
        Route("/dead-letters", site.page(show_dead)),
        Route("/quarantine", site.page(show_quarantine)),
        Route("/quarantine/{group}", site.page(show_group), methods=["GET"]),
        Route("/quarantine/{group}", site.page(check_group), methods=["POST"]),
        Route("/unrouted", site.page(show_unrouted)),
    ]


async def _show_group(
    site: Site, request: Request, checked: Check | None, problem: str, schema: str = ""
) -> Response:
    services = site.services
    groups = await quarantine.groups(services.config())
    wanted = request.path_params["group"]
    group: QuarantineGroup | None = next((each for each in groups.groups if each.id == wanted), None)
    if group is None:
        return site.render(
            request,
            "trouble.html",
            404,
            title="The group is empty",
            reason="Its events were released or dropped, or the group never existed.",
        )
    proposal, trouble = None, ""
    if request.query_params.get("tab") == "proposal" or schema or checked:
        try:
            proposal = await quarantine.proposal(services.config(), services.folder, wanted)
        except OperatorError as error:
            trouble = str(error)
    return site.render(
        request,
        "quarantine_group.html",
        group=group,
        shape=orjson.dumps(group.shape, option=orjson.OPT_INDENT_2, default=str).decode(),
        proposal=proposal,
        trouble=trouble,
        checked=checked,
        problem=problem,
        schema=schema or (proposal.yaml if proposal else ""),
    )
