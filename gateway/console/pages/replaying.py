"""Replay: a form, a dry run with the number and the first events, and then a job."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.auditing import audit
from gateway.console.pages.jobs import start
from gateway.console.pages.site import Site, first_values
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Principal, Role
from gateway.errors import OperatorError
from gateway.journal.query_language import parse_moment
from gateway.operations import replay
from gateway.operations.letters import OnProgress
from gateway.operations.replay import Replayed, ReplayPlan
from gateway.queues.filter import EventFilter

_FIELDS = ("since", "until", "provider", "type", "id", "to", "force")


def routes(site: Site) -> list[Route]:
    """Return the routes of the page and its form."""
    services = site.services

    async def show(request: Request) -> Response:
        form = {name: request.query_params.get(name, "") for name in _FIELDS}
        plan: ReplayPlan | None = None
        problem = ""
        if form["since"] and services.config().archive.enabled:
            try:
                plan = await replay.plan(services.config(), filter_of(form, time.time()))
            except OperatorError as error:
                problem = str(error)
        return await _show(site, request, form, plan, problem)

    @require(Role.OPERATOR)
    async def run(request: Request) -> Response:
        given = first_values(form_of(request))
        form = {name: given.get(name, "") for name in _FIELDS}
        principal: Principal = request.state.principal
        if not form["to"].strip():
            raise OperatorError("Name the queue to deliver to.")
        # Until now at the latest: what comes while it runs was not in the dry run.
        chosen = filter_of({**form, "until": form["until"] or str(int(time.time()))}, time.time())

        async def work(on_progress: OnProgress) -> Replayed:
            return await replay.run(
                services.config(),
                chosen,
                form["to"].strip(),
                force=form["force"] == "1",
                actor=principal.name,
                on_progress=on_progress,
            )

        await audit(
            site, request, "replay", " ".join(f"{name}={text}" for name, text in form.items() if text)
        )
        return start(site, request, "replay", work, queue=form["to"].strip())

    return [
        Route("/replay", site.page(show), methods=["GET"]),
        Route("/replay", site.page(run), methods=["POST"]),
    ]


def filter_of(form: Mapping[str, str], now: float) -> EventFilter:
    """Return the conditions of a form.

    Raises:
        OperatorError: A time is not understood.
    """
    ids = [each for each in form["id"].replace(",", " ").split() if each]
    return EventFilter(
        provider=form["provider"] or None,
        pattern=form["type"].strip() or None,
        ids=frozenset(ids),
        since=parse_moment(form["since"].strip(), now) if form["since"].strip() else -math.inf,
        until=parse_moment(form["until"].strip(), now) if form["until"].strip() else math.inf,
    )


async def _show(
    site: Site, request: Request, form: Mapping[str, str], plan: ReplayPlan | None, problem: str
) -> Response:
    config = site.services.config()
    health = await site.current.status()
    return site.render(
        request,
        "replay.html",
        form=form,
        plan=plan,
        problem=problem,
        is_archived=config.archive.enabled,
        providers=sorted(config.providers),
        workers=[queue.name for queue in (health.queues if health else ()) if queue.kind == "worker"],
    )
