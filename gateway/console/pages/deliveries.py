"""The pages of deliveries: the list, and one of them with its attempts."""

from __future__ import annotations

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
from gateway.operations import deliveries
from gateway.operations.outbound import Refused, keys_of
from gateway.outbound.labels import title_of
from gateway.outbound.models import DeliveryState
from gateway.outbound.store import DeliveryFilter

_PAGE_SIZE = 50
"""Deliveries on a page."""

_FIELDS = ("state", "endpoint", "type", "event", "outcome")
"""The fields of the filter."""

_DONE = {"redeliver": "delivery_renewed", "once": "delivery_tried", "cancel": "delivery_cancelled"}
"""What the page says after each action."""

_PRESETS = (
    ("All", ""),
    ("Waiting", "pending"),
    ("Held", "held"),
    ("Dead", "dead"),
    ("Delivered", "delivered"),
    ("Cancelled", "cancelled"),
)


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
        if action not in _DONE:
            raise Refused("malformed_request", "The form is not complete. Go back, and choose again.")
        await audit(site, request, f"delivery.{action}", delivery_id)
        try:
            if action == "cancel":
                await deliveries.cancel(config, store, delivery_id, actor=principal.name)
            else:
                await deliveries.redeliver(
                    config, store, delivery_id, retries=action == "redeliver", actor=principal.name
                )
        except Refused as error:
            if error.reason == "not_found":
                raise
            return await _show_one(site, request, problem=str(error))
        return redirect(f"/deliveries/{delivery_id}?done={_DONE[action]}")

    return [
        Route("/deliveries", site.page(show_all), methods=["GET"]),
        Route("/deliveries/{id}", site.page(show_one), methods=["GET"]),
        Route("/deliveries/{id}", site.page(act), methods=["POST"]),
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


def _filter(form: Mapping[str, str]) -> DeliveryFilter:
    states = tuple(DeliveryState(each) for each in form["state"].split(",") if each in set(DeliveryState))
    return DeliveryFilter(
        endpoint=form["endpoint"],
        event_id=form["event"],
        states=states,
        keys=keys_of(form["type"]),
        outcome=form["outcome"],
    )
