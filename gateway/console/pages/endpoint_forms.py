"""The forms of endpoints: make one, change or delete it, rotate its secrets. A new secret is on one page, once."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.adapters import registry
from gateway.console.pages.auditing import audit
from gateway.console.pages.endpoint_fields import (
    DEFAULTS,
    fields_of,
    fields_of_view,
    mistake_of,
    settings_of,
)
from gateway.console.pages.endpoints import show_endpoint, way_out
from gateway.console.pages.site import Site, first_values, redirect
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Role
from gateway.operations import endpoint_secrets, endpoints
from gateway.operations.endpoint_models import EndpointView
from gateway.operations.endpoint_settings import EndpointChange, NewEndpoint
from gateway.operations.outbound import Refused
from gateway.signatures.units import parse_duration

OVERLAPS = {"24h": "24 hours", "1h": "an hour", "7d": "7 days", "0": "not at all: end them now"}
"""For how long the secrets before a new one sign beside it, as the form offers it."""

_PATH = "/endpoints/{id}"


def routes(site: Site) -> list[Route]:
    """Return the routes of the forms."""

    @require(Role.ADMIN)
    async def new(request: Request) -> Response:
        return _form(site, request, dict(DEFAULTS))

    @require(Role.ADMIN)
    async def create(request: Request) -> Response:
        form = fields_of(first_values(form_of(request)), is_new=True)
        await audit(site, request, "endpoint.create", ", ".join(name for name in form if form[name]))
        try:
            view, made = await endpoints.create_endpoint(
                site.services.config(),
                way_out(site).store,
                settings_of(form, NewEndpoint, {}),
                now=time.time(),
            )
        except Refused as error:
            return _form(site, request, form, error=str(error))
        return await show_endpoint(site, request, view.id, made=made, note="The endpoint was made.")

    return [
        # Before the page of one endpoint, whose path this is, too.
        Route("/endpoints/new", site.page(new), methods=["GET"]),
        Route("/endpoints", site.page(create), methods=["POST"]),
        *_changes(site),
        *_secrets(site),
    ]


def _changes(site: Site) -> list[Route]:
    """Return the routes of the forms that change or delete an endpoint."""

    @require(Role.ADMIN)
    async def edit(request: Request) -> Response:
        view = await _changeable(site, request)
        return _form(site, request, fields_of_view(view), view)

    @require(Role.ADMIN)
    async def change(request: Request) -> Response:
        view, given = await _changeable(site, request), first_values(form_of(request))
        before = fields_of_view(view)
        form = {**before, **fields_of(given, is_new=False)}
        await audit(
            site,
            request,
            "endpoint.change",
            f"{view.id}: {', '.join(name for name in form if form[name] != before[name])}",
        )
        try:
            changed = await endpoints.change_endpoint(
                site.services.config(),
                way_out(site).store,
                view.id,
                settings_of(form, EndpointChange, before),
                now=time.time(),
                expected=given.get("etag", ""),
            )
        except Refused as error:
            # The form gets the version that was just read, so that sending it again overwrites what others have changed.
            return _form(site, request, form, view, error=str(error))
        return redirect(f"/endpoints/{changed.id}?done=endpoint_changed")

    @require(Role.ADMIN)
    async def delete(request: Request) -> Response:
        view, given = await _changeable(site, request), first_values(form_of(request))
        if given.get("confirm", "").strip() != view.title:
            return await show_endpoint(
                site, request, view.id, problem="You typed another name. Nothing was deleted."
            )
        await audit(site, request, "endpoint.delete", view.id)
        await endpoints.delete_endpoint(way_out(site).store, view.id)
        return redirect("/endpoints?done=endpoint_deleted")

    return [
        Route(f"{_PATH}/edit", site.page(edit), methods=["GET"]),
        Route(f"{_PATH}/edit", site.page(change), methods=["POST"]),
        Route(f"{_PATH}/delete", site.page(delete), methods=["POST"]),
    ]


def _secrets(site: Site) -> list[Route]:
    """Return the routes of the forms about secrets."""

    @require(Role.ADMIN)
    async def rotate(request: Request) -> Response:
        form, endpoint_id = first_values(form_of(request)), request.path_params["id"]
        overlap = form.get("expire_previous", "24h")
        await audit(site, request, "endpoint.secret.add", endpoint_id)
        try:
            if overlap not in OVERLAPS:
                raise Refused("invalid_body", "The form is not complete. Choose again.")
            made = await endpoint_secrets.rotate_secret(
                site.services.config(),
                way_out(site).store,
                endpoint_id,
                now=time.time(),
                secret=form.get("secret", "").strip() or None,
                expire_previous=0.0 if overlap == "0" else parse_duration(overlap),
            )
        except Refused as error:
            if error.reason == "not_found":
                raise
            return await show_endpoint(site, request, endpoint_id, problem=str(error))
        return await show_endpoint(site, request, endpoint_id, made=[made], note="The secret was added.")

    @require(Role.ADMIN)
    async def end(request: Request) -> Response:
        secret_id, endpoint_id = (
            first_values(form_of(request)).get("secret_id", ""),
            request.path_params["id"],
        )
        await audit(site, request, "endpoint.secret.end", f"{endpoint_id} {secret_id}")
        try:
            await endpoint_secrets.end_secret(way_out(site).store, endpoint_id, secret_id, now=time.time())
        except Refused as error:
            if error.reason == "not_found":
                raise
            return await show_endpoint(site, request, endpoint_id, problem=str(error))
        return redirect(f"/endpoints/{endpoint_id}?done=secret_ended")

    return [
        Route(f"{_PATH}/secrets", site.page(rotate), methods=["POST"]),
        Route(f"{_PATH}/secrets/end", site.page(end), methods=["POST"]),
    ]


async def _changeable(site: Site, request: Request) -> EndpointView:
    """Return the endpoint of a request.

    Raises:
        Refused: There is none, or it is in the configuration file.
    """
    store, endpoint_id = way_out(site).store, request.path_params["id"]
    await endpoint_secrets.changeable(store, endpoint_id)
    return await endpoints.show_endpoint(store, endpoint_id, now=time.time())


def _form(
    site: Site, request: Request, form: Mapping[str, str], view: EndpointView | None = None, error: str = ""
) -> Response:
    way_out(site)  # says where the way out is off
    return site.render(
        request,
        "endpoint_form.html",
        form={**DEFAULTS, **form},
        endpoint=view,
        mistake=mistake_of(error) if error else None,
        adapters=registry.names(),
        is_secret=bool(form.get("secret")),
    )
