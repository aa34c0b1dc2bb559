"""The pages of deliveries: the list, one of them with its attempts, and the replay of many."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.auditing import audit
from gateway.console.pages.endpoints import way_out
from gateway.console.pages.formatting import address
from gateway.console.pages.listing import Chip
from gateway.console.pages.site import Site, first_values, redirect
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Principal, Role
from gateway.errors import OperatorError
from gateway.journal.query_language import QueryError, parse_moment
from gateway.operations import deliveries, endpoints
from gateway.operations.delivery_models import title_of
from gateway.operations.outbound import Refused
from gateway.outbound.models import DeliveryState
from gateway.outbound.store import DeliveryFilter

_PAGE_SIZE = 50
"""Deliveries on a page."""

_FIELDS = ("state", "endpoint", "type", "event", "outcome")
"""The fields of the filter."""

_PRESETS = (
    ("All", ""),
    ("Waiting", "pending"),
    ("Held", "held"),
    ("Dead", "dead"),
    ("Delivered", "delivered"),
    ("Cancelled", "cancelled"),
)

_REPLAY_FIELDS = ("states", "since", "until", "type", "rate")

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

    async def show_all(request: Request) -> Response:
        return await _show_all(site, request)

    async def show_one(request: Request) -> Response:
        return await _show_one(site, request)

    @require(Role.OPERATOR)
    async def act(request: Request) -> Response:
        form, delivery_id = first_values(form_of(request)), request.path_params["id"]
        action, config, store = form.get("action", ""), site.services.config(), way_out(site).store
        principal: Principal = request.state.principal
        if action not in {"redeliver", "cancel"}:
            raise Refused("malformed_request", "The form is not complete. Go back, and choose again.")
        await audit(site, request, f"delivery.{action}", delivery_id)
        try:
            if action == "cancel":
                await deliveries.cancel(config, store, delivery_id, actor=principal.name)
            else:
                await deliveries.redeliver(config, store, delivery_id, actor=principal.name)
        except Refused as error:
            if error.reason == "not_found":
                raise
            return await _show_one(site, request, problem=str(error))
        done = "delivery_cancelled" if action == "cancel" else "delivery_renewed"
        return redirect(f"/deliveries/{delivery_id}?done={done}")

    async def plan(request: Request) -> Response:
        form = {name: request.query_params.get(name, "") for name in _REPLAY_FIELDS}
        return await _plan(site, request, form)

    @require(Role.OPERATOR)
    async def replay(request: Request) -> Response:
        given, principal = first_values(form_of(request)), request.state.principal
        form = {name: given.get(name, "") for name in _REPLAY_FIELDS}
        endpoint_id, now = request.path_params["id"], time.time()
        wanted = _replay_filter(form, now)
        # What is accepted while it runs was not in the dry run.
        wanted = wanted._replace(until=min(wanted.until or now, now))
        await audit(site, request, "endpoint.replay", endpoint_id)
        operation = await deliveries.replay(
            site.services.config(),
            way_out(site).store,
            endpoint_id,
            wanted,
            rate=_rate(form),
            now=now,
            actor=principal.name,
        )
        return redirect(f"/replays/{operation.id}")

    async def show_replay(request: Request) -> Response:
        store = way_out(site).store
        operation = await deliveries.show_operation(store, request.path_params["id"])
        found = await store.endpoint(operation.endpoint)
        title = title_of(found[0]) if found else operation.endpoint
        return site.render(request, "delivery_replay.html", operation=operation, title_of_endpoint=title)

    @require(Role.OPERATOR)
    async def cancel_replay(request: Request) -> Response:
        number = request.path_params["id"]
        await audit(site, request, "operation.cancel", number)
        await deliveries.cancel_operation(way_out(site).store, number)
        return redirect(f"/replays/{number}")

    return [
        Route("/deliveries", site.page(show_all), methods=["GET"]),
        Route("/deliveries/{id}", site.page(show_one), methods=["GET"]),
        Route("/deliveries/{id}", site.page(act), methods=["POST"]),
        Route("/endpoints/{id}/replay", site.page(plan), methods=["GET"]),
        Route("/endpoints/{id}/replay", site.page(replay), methods=["POST"]),
        Route("/replays/{id}", site.page(show_replay), methods=["GET"]),
        Route("/replays/{id}/cancel", site.page(cancel_replay), methods=["POST"]),
    ]


async def _show_all(site: Site, request: Request) -> Response:
    is_on = site.services.config().has_way_out
    form = {name: request.query_params.get(name, "").strip() for name in _FIELDS}
    context: dict[str, Any] = {"page": None, "endpoints": [], "next": ""}
    if is_on:
        store, before = way_out(site).store, request.query_params.get("before", "")
        page = await deliveries.list_deliveries(store, _filter(form), after=before, limit=_PAGE_SIZE)
        known = [each for each, _ in await store.endpoints()]
        context = {
            "page": page.deliveries,
            "endpoints": [(each.id, title_of(each)) for each in known],
            "next": address("/deliveries", **form, before=page.next) if page.next else "",
        }
    chips = [
        Chip(label, address("/deliveries", **{**form, "state": state}), form["state"] == state)
        for label, state in _PRESETS
    ]
    return site.render(request, "deliveries.html", is_on=is_on, form=form, chips=chips, **context)


async def _show_one(site: Site, request: Request, problem: str = "") -> Response:
    store = way_out(site).store
    delivery = await deliveries.show_delivery(store, request.path_params["id"])
    attempts = await deliveries.attempts_of(store, delivery.id)
    return site.render(
        request,
        "delivery.html",
        delivery=delivery,
        attempts=list(reversed(attempts)),
        problem=problem,
        is_waiting=delivery.state in {DeliveryState.PENDING, DeliveryState.HELD},
    )


async def _plan(site: Site, request: Request, form: Mapping[str, str]) -> Response:
    store, now = way_out(site).store, time.time()
    view = await endpoints.show_endpoint(store, request.path_params["id"], now=now)
    count, problem = None, ""
    if form["states"]:
        try:
            _rate(form)
            count = await deliveries.count_replay(store, view.id, _replay_filter(form, now))
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


def _filter(form: Mapping[str, str]) -> DeliveryFilter:
    states = tuple(DeliveryState(each) for each in form["state"].split(",") if each in set(DeliveryState))
    return DeliveryFilter(
        endpoint=form["endpoint"],
        event_id=form["event"],
        states=states,
        keys=(form["type"],) if form["type"] else (),
        outcome=form["outcome"],
    )


def _replay_filter(form: Mapping[str, str], now: float) -> DeliveryFilter:
    """Return the conditions of the form of a replay.

    Raises:
        OperatorError: A time is not understood.
    """
    states = form["states"] if form["states"] in STATES else "dead,held"
    try:
        since, until = (
            parse_moment(form[name].strip(), now) if form[name].strip() else None
            for name in ("since", "until")
        )
    except QueryError as error:
        raise OperatorError(str(error)) from None
    return DeliveryFilter(
        states=tuple(map(DeliveryState, states.split(","))),
        keys=(form["type"].strip(),) if form["type"].strip() else (),
        since=since,
        until=until,
    )


def _rate(form: Mapping[str, str]) -> float:
    """Return how many deliveries become due in a second.

    Raises:
        OperatorError: It is no number.
    """
    try:
        return float(form["rate"] or deliveries.DEFAULT_REPLAY_RATE)
    except ValueError:
        raise OperatorError("The rate is a number of deliveries a second, such as 10.") from None
