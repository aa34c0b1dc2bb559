"""What the forms of the pages do. Each act is one of :mod:`gateway.operations`, and needs a role.

An act on one event or many runs as a job, so that no form waits for a broker; the job's page says what came of it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.auditing import audit
from gateway.console.pages.formatting import plural
from gateway.console.pages.jobs import start
from gateway.console.pages.site import Site, first_values, redirect
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Principal, Role
from gateway.errors import OperatorError
from gateway.events.message import DEAD_SUFFIX
from gateway.operations import dead_letters, quarantine, unrouted
from gateway.operations.dead_letters import DeadLetterFilter
from gateway.operations.forget import forget_texts
from gateway.operations.letters import OnProgress
from gateway.operations.quarantine import QuarantineFilter
from gateway.queues.filter import EventFilter


def routes(site: Site) -> list[Route]:
    """Return the routes of the forms."""
    acts = Acts(site)
    return [
        _post(site, "/redrive", Role.OPERATOR, acts.redrive),
        _post(site, "/release", Role.OPERATOR, acts.release),
        _post(site, "/route", Role.OPERATOR, acts.route),
        _post(site, "/drop", Role.ADMIN, acts.drop),
        _post(site, "/forget", Role.ADMIN, acts.forget),
    ]


class Acts:
    """The forms' handlers.

    Args:
        site: The pages.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._services = site.services

    async def redrive(self, request: Request) -> Response:
        """Return dead letters to their worker's queue."""
        form = first_values(form_of(request))
        queue, actor = form.get("queue", ""), _actor(request)
        chosen = _dead_filter(form)

        async def work(on_progress: OnProgress) -> int:
            return await dead_letters.redrive(
                self._services.config(), queue, chosen, actor=actor, on_progress=on_progress
            )

        await audit(self._site, request, "redrive", f"{queue} {form.get('id') or form.get('group', '')}")
        return start(self._site, request, "redrive", work, queue=queue + DEAD_SUFFIX)

    async def release(self, request: Request) -> Response:
        """Publish quarantined events that pass their schema now."""
        form, actor = first_values(form_of(request)), _actor(request)
        group, is_forced = form.get("group", ""), form.get("force") == "1"

        async def work(on_progress: OnProgress) -> quarantine.Released:
            return await quarantine.release(
                self._services.config(),
                self._services.folder,
                QuarantineFilter(group=group),
                force=is_forced,
                actor=actor,
                on_progress=on_progress,
            )

        await audit(self._site, request, "release", f"group {group}{', forced' if is_forced else ''}")
        queue = quarantine.quarantine_queue(self._services.config())
        return start(self._site, request, "release", work, queue=queue)

    async def route(self, request: Request) -> Response:
        """Move unrouted events of the chosen types to a queue."""
        fields = form_of(request)
        target, types, actor = fields.get("to", [""])[0].strip(), fields.get("type", []), _actor(request)
        if not types:
            raise OperatorError("No type is chosen. Go back and choose the events to route.")

        async def work(on_progress: OnProgress) -> int:
            moved = 0
            for each in types:
                provider, _, event_type = each.partition(".")
                moved += await unrouted.route(
                    self._services.config(),
                    target,
                    _type_filter(provider, event_type),
                    actor=actor,
                    on_progress=on_progress,
                )
            return moved

        await audit(self._site, request, "route", f"{plural(len(types), 'type')} to {target}")
        return start(
            self._site, request, "route", work, queue=unrouted.unrouted_queue(self._services.config())
        )

    async def drop(self, request: Request) -> Response:
        """Delete the events of a group for good, if their number was typed."""
        form, actor = first_values(form_of(request)), _actor(request)
        confirmed = _confirmed(form)
        is_dead = form.get("kind") == "dead_letters"
        queue = (
            form.get("queue", "") + DEAD_SUFFIX
            if is_dead
            else quarantine.quarantine_queue(self._services.config())
        )

        async def work(on_progress: OnProgress) -> int:
            config = self._services.config()
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

        await audit(self._site, request, "drop", f"{confirmed} of {queue}, group {form.get('group', '')}")
        back = "/dead-letters" if is_dead else "/quarantine"
        return start(self._site, request, "drop", work, queue=queue, details={"back": back})

    async def forget(self, request: Request) -> Response:
        """Erase the texts of an event from the journal, if its id was typed."""
        form = first_values(form_of(request))
        provider, event_id = form.get("provider", ""), form.get("id", "")
        if not event_id or form.get("confirm", "").strip() != event_id:
            raise OperatorError("The id that you typed is another one. Nothing was erased.")
        # What is erased on request must not be kept in the audit for a year.
        await audit(self._site, request, "forget", provider)
        config, journal = self._services.config(), self._services.journal
        await forget_texts(config, provider, event_id, journal=journal, actor=_actor(request))
        return redirect("/events?done=forgotten")


def _post(site: Site, path: str, role: Role, handler: Callable[[Request], Awaitable[Response]]) -> Route:
    return Route(path, site.page(require(role)(handler)), methods=["POST"])


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
