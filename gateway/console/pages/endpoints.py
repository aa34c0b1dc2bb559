"""The pages of the endpoints: the list, and one of them with what can be done about it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.auditing import audit
from gateway.console.pages.site import Site, first_values, redirect
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Role
from gateway.journal.query_language import parse_moment
from gateway.operations import deliveries, endpoint_tests, endpoints
from gateway.operations.delivery_models import AttemptView
from gateway.operations.endpoint_secrets import NewSecret
from gateway.operations.endpoint_tests import Verified
from gateway.operations.messages import WayOut
from gateway.operations.outbound import Refused
from gateway.outbound.models import EndpointState
from gateway.outbound.store import DeliveryFilter

_LATEST = 10
"""Deliveries on the page of an endpoint."""

_DONE = {"enable": "enabled", "pause": "paused", "disable": "disabled"}
"""What the page says after each action."""


def routes(site: Site) -> list[Route]:
    """Return the routes of the pages and their forms."""

    async def show_all(request: Request) -> Response:
        is_on = site.services.config().has_way_out
        found = await endpoints.endpoint_views(way_out(site).store, now=time.time()) if is_on else []
        return site.render(
            request,
            "endpoints.html",
            endpoints=found,
            is_on=is_on,
            console_address=f"{request.state.caller.scheme}://{request.state.caller.host}",
        )

    async def show_one(request: Request) -> Response:
        return await show_endpoint(site, request, request.path_params["id"])

    @require(Role.OPERATOR)
    async def set_state(request: Request) -> Response:
        form, endpoint_id = first_values(form_of(request)), request.path_params["id"]
        action = form.get("action", "")
        if action not in _DONE:
            raise Refused("malformed_request", "The form is not complete. Go back, and choose again.")
        await audit(site, request, f"endpoint.{action}", endpoint_id)
        try:
            await _act(site, endpoint_id, action, form)
        except Refused as error:
            if error.reason == "not_found":
                raise
            return await show_endpoint(site, request, endpoint_id, problem=str(error))
        return redirect(f"/endpoints/{endpoint_id}?done={_DONE[action]}")

    return [
        Route("/endpoints", site.page(show_all), methods=["GET"]),
        Route("/endpoints/{id}", site.page(show_one), methods=["GET"]),
        Route("/endpoints/{id}/state", site.page(set_state), methods=["POST"]),
        *_trials(site),
    ]


def _trials(site: Site) -> list[Route]:
    """Return the routes of the forms that send an endpoint a request."""

    @require(Role.OPERATOR)
    async def test(request: Request) -> Response:
        form, endpoint_id, found = first_values(form_of(request)), request.path_params["id"], way_out(site)
        await audit(site, request, "endpoint.test", endpoint_id)
        try:
            attempt = await endpoint_tests.send_test(
                site.services.config(),
                found.store,
                endpoint_id,
                form.get("type", "").strip(),
                now=time.time(),
                limit=found.test_limit,
            )
        except Refused as error:
            if error.reason == "not_found":
                raise
            return await show_endpoint(site, request, endpoint_id, problem=str(error))
        return await show_endpoint(site, request, endpoint_id, attempt=attempt)

    @require(Role.OPERATOR)
    async def verify(request: Request) -> Response:
        endpoint_id, found = request.path_params["id"], way_out(site)
        await audit(site, request, "endpoint.verify", endpoint_id)
        try:
            verified = await endpoint_tests.verify(
                site.services.config(), found.store, endpoint_id, now=time.time(), limit=found.test_limit
            )
        except Refused as error:
            if error.reason == "not_found":
                raise
            return await show_endpoint(site, request, endpoint_id, problem=str(error))
        return await show_endpoint(site, request, endpoint_id, verified=verified)

    return [
        Route("/endpoints/{id}/test", site.page(test), methods=["POST"]),
        Route("/endpoints/{id}/verify", site.page(verify), methods=["POST"]),
    ]


def way_out(site: Site) -> WayOut:
    """Return the endpoints and their deliveries.

    Raises:
        Refused: Nothing is delivered to endpoints here, or the database is away.
    """
    if site.services.outbound is not None:
        return site.services.outbound
    if site.services.config().has_way_out:
        raise Refused("deliveries_unavailable", "The database of endpoints and deliveries is being opened.")
    raise Refused("not_found", "Nothing is delivered to endpoints here: outbound.enabled is off.")


async def show_endpoint(
    site: Site,
    request: Request,
    endpoint_id: str,
    *,
    attempt: AttemptView | None = None,
    verified: Verified | None = None,
    made: Sequence[NewSecret] = (),
    note: str = "",
    problem: str = "",
) -> Response:
    """Return the page of an endpoint.

    Args:
        site: The pages.
        request: The request.
        endpoint_id: The endpoint's id.
        attempt: A test that was just sent; None for none.
        verified: Whether its owner has just proved that they want requests; None if nobody asked.
        made: Secrets that were just made, which are shown this once.
        note: What was just done, as a sentence.
        problem: Why something was not done; empty if nothing went wrong.

    Raises:
        Refused: There is no such endpoint.
    """
    store, now = way_out(site).store, time.time()
    view = await endpoints.show_endpoint(store, endpoint_id, now=now)
    latest = await deliveries.list_deliveries(store, DeliveryFilter(endpoint=view.id), limit=_LATEST)
    return site.render(
        request,
        "endpoint.html",
        endpoint=view,
        latest=latest.deliveries,
        attempt=attempt,
        verified=verified,
        made=made,
        note=note,
        problem=problem,
        is_secret=bool(made),
    )


async def _act(site: Site, endpoint_id: str, action: str, form: Mapping[str, str]) -> None:
    store, now = way_out(site).store, time.time()
    if action != "enable":
        state = EndpointState.PAUSED if action == "pause" else EndpointState.DISABLED
        await endpoints.set_state(store, endpoint_id, state, now=now)
        return
    resume = form.get("resume", "all").strip()
    await endpoint_tests.enable(
        site.services.config(),
        store,
        endpoint_id,
        since=0.0 if resume == "all" else None if resume == "none" else parse_moment(resume, now),
        is_tested=form.get("untested") != "1",
        now=now,
    )
