"""The pages of replays: a form with a dry run, and how far one is."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.auditing import audit
from gateway.console.pages.endpoints import way_out
from gateway.console.pages.site import Site, first_values, redirect
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Role
from gateway.errors import OperatorError
from gateway.journal.query_language import QueryError, parse_moment
from gateway.operations import delivery_replays, endpoints
from gateway.operations.delivery_replays import ReplayPlan, read_where
from gateway.operations.outbound import Refused, keys_of
from gateway.outbound.labels import title_of
from gateway.outbound.models import DeliveryState
from gateway.outbound.store import DeliveryFilter

_FIELDS = ("states", "since", "until", "type", "where", "limit", "rate", "as_new")

STATES = {
    "dead,held": "that are dead or held",
    "dead": "that are dead",
    "held": "that are held",
    "delivered": "that were delivered",
    "delivered,dead,held,cancelled": "that have ended or are held",
}
"""What a replay takes, as the form offers it."""


def routes(site: Site) -> list[Route]:
    """Return the routes of the pages and their forms."""

    async def plan(request: Request) -> Response:
        return await _show_plan(site, request, _form(request.query_params))

    @require(Role.OPERATOR)
    async def begin(request: Request) -> Response:
        form, now, endpoint_id = _form(first_values(form_of(request))), time.time(), request.path_params["id"]
        principal = request.state.principal
        if form["as_new"] and not principal.role.includes(Role.ADMIN):
            raise Refused("forbidden", "New ids make receivers act again, which needs the role admin.")
        await audit(site, request, "endpoint.replay", f"{endpoint_id}{' as new' if form['as_new'] else ''}")
        try:
            wanted = _plan(form, now)
            # What is accepted while it runs was not in the dry run.
            until = min(wanted.wanted.until or now, now)
            operation = await delivery_replays.replay(
                site.services.config(),
                way_out(site).store,
                endpoint_id,
                wanted._replace(wanted=wanted.wanted._replace(until=until)),
                now=now,
                actor=principal.name,
            )
        except OperatorError as error:
            return await _show_plan(site, request, form, problem=str(error))
        return redirect(f"/replays/{operation.id}")

    async def show(request: Request) -> Response:
        store = way_out(site).store
        operation = await delivery_replays.show_operation(store, request.path_params["id"])
        found = await store.endpoint(operation.endpoint)
        title = title_of(found[0]) if found else operation.endpoint
        return site.render(request, "delivery_replay.html", operation=operation, title_of_endpoint=title)

    @require(Role.OPERATOR)
    async def cancel(request: Request) -> Response:
        number = request.path_params["id"]
        await audit(site, request, "operation.cancel", number)
        await delivery_replays.cancel_operation(way_out(site).store, number)
        return redirect(f"/replays/{number}")

    return [
        Route("/endpoints/{id}/replay", site.page(plan), methods=["GET"]),
        Route("/endpoints/{id}/replay", site.page(begin), methods=["POST"]),
        Route("/replays/{id}", site.page(show), methods=["GET"]),
        Route("/replays/{id}/cancel", site.page(cancel), methods=["POST"]),
    ]


async def _show_plan(site: Site, request: Request, form: Mapping[str, str], problem: str = "") -> Response:
    store, now = way_out(site).store, time.time()
    view = await endpoints.show_endpoint(store, request.path_params["id"], now=now)
    count = None
    if form["states"] and not problem:
        try:
            count = await delivery_replays.count_replay(store, view.id, _plan(form, now))
        except OperatorError as error:
            problem = str(error)
    return site.render(
        request,
        "delivery_replay_plan.html",
        endpoint=view,
        form=form,
        states=STATES,
        found=count,
        problem=problem,
    )


def _form(given: Mapping[str, str]) -> dict[str, str]:
    return {name: given.get(name, "").strip() for name in _FIELDS}


def _plan(form: Mapping[str, str], now: float) -> ReplayPlan:
    """Return what the form asks for.

    Raises:
        OperatorError: Something in it is not understood.
    """
    states = form["states"] if form["states"] in STATES else "dead,held"
    try:
        since, until = (parse_moment(form[name], now) if form[name] else None for name in ("since", "until"))
    except QueryError as error:
        raise OperatorError(str(error)) from None
    if not re.fullmatch(r"[0-9]{0,9}", form["limit"]):
        raise OperatorError("limit: a number of deliveries, such as 100; empty for all")
    try:
        rate = float(form["rate"] or delivery_replays.DEFAULT_RATE)
    except ValueError:
        raise OperatorError("rate: a number of deliveries a second, such as 10") from None
    return ReplayPlan(
        DeliveryFilter(
            states=tuple(map(DeliveryState, states.split(","))),
            keys=keys_of(form["type"]),
            since=since,
            until=until,
        ),
        read_where(form["where"]) if form["where"] else (),
        int(form["limit"]) if form["limit"] else None,
        rate,
        form["as_new"] == "1",
    )
