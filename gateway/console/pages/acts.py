"""What the forms of the pages do. Each act is one of :mod:`gateway.operations`, and needs a role.

An act on one event or many runs as a job, so that no form waits for a broker; the job's page says what came of it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages import jobs
from gateway.console.pages.formatting import plural
from gateway.console.pages.site import Site, first_values, redirect
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Principal, Role
from gateway.errors import OperatorError
from gateway.events.message import DEAD_SUFFIX
from gateway.operations import dead_letters, quarantine, unrouted
from gateway.operations.dead_letters import DeadLetterFilter
from gateway.operations.letters import OnProgress
from gateway.operations.quarantine import QuarantineFilter
from gateway.queues.filter import EventFilter


def routes(site: Site) -> list[Route]:
    """Return the routes of the forms."""
    services = site.services

    @require(Role.OPERATOR)
    async def redrive(request: Request) -> Response:
        form = first_values(form_of(request))
        queue, actor = form.get("queue", ""), _actor(request)
        chosen = _dead_filter(form)

        async def work(on_progress: OnProgress) -> int:
            return await dead_letters.redrive(
                services.config(), queue, chosen, actor=actor, on_progress=on_progress
            )

        await audit(site, request, "redrive", f"{queue} {form.get('id') or form.get('group', '')}")
        return jobs.start(site, request, "redrive", work, queue=queue + DEAD_SUFFIX)

    @require(Role.OPERATOR)
    async def release(request: Request) -> Response:
        form, actor = first_values(form_of(request)), _actor(request)
        group, is_forced = form.get("group", ""), form.get("force") == "1"

        async def work(on_progress: OnProgress) -> quarantine.Released:
            return await quarantine.release(
                services.config(),
                services.folder,
                QuarantineFilter(group=group),
                force=is_forced,
                actor=actor,
                on_progress=on_progress,
            )

        await audit(site, request, "release", f"group {group}{', forced' if is_forced else ''}")
        queue = quarantine.quarantine_queue(services.config())
        return jobs.start(site, request, "release", work, queue=queue)

    @require(Role.OPERATOR)
    async def route(request: Request) -> Response:
        fields = form_of(request)
        target, types, actor = fields.get("to", [""])[0].strip(), fields.get("type", []), _actor(request)
        if not types:
            raise OperatorError("No type is chosen. Go back and choose the events to route.")

        async def work(on_progress: OnProgress) -> int:
            moved = 0
            for each in types:
                provider, _, event_type = each.partition(".")
                moved += await unrouted.route(
                    services.config(),
                    target,
                    _type_filter(provider, event_type),
                    actor=actor,
                    on_progress=on_progress,
                )
            return moved

        await audit(site, request, "route", f"{plural(len(types), 'type')} to {target}")
        return jobs.start(site, request, "route", work, queue=unrouted.unrouted_queue(services.config()))

    @require(Role.ADMIN)
    async def drop(request: Request) -> Response:
        form, actor = first_values(form_of(request)), _actor(request)
        confirmed = _confirmed(form)
        is_dead = form.get("kind") == "dead_letters"
        queue = (
            form.get("queue", "") + DEAD_SUFFIX if is_dead else quarantine.quarantine_queue(services.config())
        )

        async def work(on_progress: OnProgress) -> int:
            config = services.config()
            if is_dead:
                return await dead_letters.drop(
                    config,
                    form.get("queue", ""),
                    _dead_filter(form),
                    confirmed=confirmed,
                    actor=actor,
                    on_progress=on_progress,
                )
            chosen = QuarantineFilter(group=form.get("group", ""))
            return await quarantine.drop(
                config, chosen, confirmed=confirmed, actor=actor, on_progress=on_progress
            )

        await audit(site, request, "drop", f"{confirmed} of {queue}, group {form.get('group', '')}")
        back = "/dead-letters" if is_dead else "/quarantine"
        return jobs.start(site, request, "drop", work, queue=queue, details={"back": back})

    @require(Role.ADMIN)
    async def forget(request: Request) -> Response:
        form = first_values(form_of(request))
        provider, event_id = form.get("provider", ""), form.get("id", "")
        if not event_id or form.get("confirm", "").strip() != event_id:
            raise OperatorError("The id that you typed is another one. Nothing was erased.")
        await audit(site, request, "forget", f"{provider}/{event_id}")
        await site.ask(request, "journal", services.journal.forget, event_id, provider)
        return redirect("/events?done=forgotten")

    return [
        _post(site, "/redrive", redrive),
        _post(site, "/release", release),
        _post(site, "/route", route),
        _post(site, "/drop", drop),
        _post(site, "/forget", forget),
    ]


def _post(site: Site, path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
    return Route(path, site.page(handler), methods=["POST"])


def _actor(request: Request) -> str:
    principal: Principal = request.state.principal
    return principal.name


def _dead_filter(form: dict[str, str]) -> DeadLetterFilter:
    event_id = form.get("id", "")
    return DeadLetterFilter(
        group=form.get("group") or None, ids=frozenset({event_id}) if event_id else frozenset()
    )


def _type_filter(provider: str, event_type: str) -> EventFilter:
    return EventFilter(provider=provider or None, pattern=event_type or None)


def _confirmed(form: dict[str, str]) -> int:
    text = form.get("confirmed", "").strip()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise OperatorError("Type the number of events to drop.")
    return int(text)


async def audit(site: Site, request: Request, action: str, target: str) -> None:
    """Write down who does something, before it is done.

    Raises:
        OSError: It cannot be written; then it must not be done.
    """
    principal: Principal = request.state.principal
    await site.ask(
        request,
        "audit",
        site.services.access.audit.add,
        action,
        actor=principal.name,
        role=principal.role,
        target=target,
        client=request.state.caller.client,
    )
