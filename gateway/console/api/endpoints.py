"""Endpoints: make, see, change and delete them, and their secrets."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.responses import Response

from gateway.console.api.cursors import make_text_cursor, open_text_cursor
from gateway.console.api.operation import Call, Operation
from gateway.console.api.outbound import (
    FAILS,
    FINDS,
    PageParameters,
    answer,
    asked,
    fields_of,
    note,
)
from gateway.console.problems import Problem
from gateway.console.security.roles import Role
from gateway.operations import endpoint_secrets, endpoints
from gateway.operations.endpoint_models import EndpointView, SecretView
from gateway.operations.endpoint_secrets import NewSecret
from gateway.operations.endpoint_settings import EndpointChange, NewEndpoint
from gateway.signatures.units import parse_duration

_CHANGES = ("endpoint_configured", "version_changed", "url_refused", "secret_invalid", "limit_reached")


class EndpointPage(msgspec.Struct):
    """A page of endpoints, newest first.

    Attributes:
        data: The endpoints.
        next: The cursor of the next page; null if there is none.
    """

    data: list[EndpointView]
    next: str | None


class CreatedEndpoint(msgspec.Struct):
    """A new endpoint.

    Attributes:
        endpoint: The endpoint as it is shown from now on.
        secrets: Its secrets, which are shown here and never again.
    """

    endpoint: EndpointView
    secrets: list[NewSecret]


class EndpointSecrets(msgspec.Struct):
    """The secrets of an endpoint.

    Attributes:
        data: The secrets, newest first, without their text.
    """

    data: list[SecretView]


class Rotation(msgspec.Struct, forbid_unknown_fields=True):
    """A further secret.

    Attributes:
        expire_previous: For how long the secrets before sign beside it, such as `24h`; `0s` ends them at once, `7d` is the most.
        secret: The secret; by default one is made.
    """

    expire_previous: Annotated[str, Meta(max_length=20)] = "24h"
    secret: Annotated[str, Meta(max_length=8192)] | None = None


async def _list(call: Call) -> EndpointPage:
    ask, parameters, signer = asked(call), call.parameters, call.services.access.signer
    before = open_text_cursor(signer, "/endpoints", parameters.cursor) if parameters.cursor else None
    views = await endpoints.endpoint_views(ask.store, now=ask.now, tenant=ask.tenant)
    ordered = sorted(views, key=_place, reverse=True)
    left = [each for each in ordered if before is None or _place(each) < before]
    page = left[: parameters.limit]
    is_more = len(left) > len(page)
    return EndpointPage(page, make_text_cursor(signer, "/endpoints", _place(page[-1])) if is_more else None)


def _place(view: EndpointView) -> str:
    return f"{view.created_at:020.3f} {view.id}"


async def _create(call: Call) -> Response:
    ask, body = asked(call), call.body
    await note(call, "endpoint.create", fields_of(body))
    view, secrets = await endpoints.create_endpoint(
        call.services.config(), ask.store, body, now=ask.now, tenant=ask.tenant
    )
    return answer(
        CreatedEndpoint(view, secrets), 201, etag=view.etag, location=f"/api/v1/endpoints/{view.id}"
    )


async def _show(call: Call) -> Response:
    ask = asked(call)
    view = await endpoints.show_endpoint(ask.store, call.path["id"], now=ask.now, tenant=ask.tenant)
    return answer(view, 200, etag=view.etag)


async def _change(call: Call) -> Response:
    ask, body = asked(call), call.body
    await note(call, "endpoint.change", f"{call.path['id']}: {fields_of(body)}")
    view = await endpoints.change_endpoint(
        call.services.config(),
        ask.store,
        call.path["id"],
        body,
        now=ask.now,
        expected=call.request.headers.get("if-match", ""),
        tenant=ask.tenant,
    )
    return answer(view, 200, etag=view.etag)


async def _delete(call: Call) -> None:
    ask = asked(call)
    await note(call, "endpoint.delete", call.path["id"])
    await endpoints.delete_endpoint(
        ask.store, call.path["id"], expected=call.request.headers.get("if-match", ""), tenant=ask.tenant
    )


async def _secrets(call: Call) -> EndpointSecrets:
    ask = asked(call)
    return EndpointSecrets(await endpoint_secrets.secrets_of(ask.store, call.path["id"], ask.tenant))


async def _rotate(call: Call) -> NewSecret:
    ask, body = asked(call), call.body
    try:
        overlap = 0.0 if body.expire_previous in {"0", "0s"} else parse_duration(body.expire_previous)
    except ValueError as error:
        raise Problem("invalid_body", f"expire_previous {error}") from None
    await note(call, "endpoint.secret.add", call.path["id"])
    return await endpoint_secrets.rotate_secret(
        call.services.config(),
        ask.store,
        call.path["id"],
        now=ask.now,
        secret=body.secret,
        expire_previous=overlap,
        tenant=ask.tenant,
    )


async def _end_secret(call: Call) -> None:
    ask = asked(call)
    await note(call, "endpoint.secret.end", f"{call.path['id']} {call.path['secret']}")
    await endpoint_secrets.end_secret(
        ask.store, call.path["id"], call.path["secret"], now=ask.now, tenant=ask.tenant
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/endpoints",
        role=Role.VIEWER,
        summary="List the endpoints, newest first.",
        handler=_list,
        parameters=PageParameters,
        result=EndpointPage,
        problems=(*FAILS, "invalid_cursor"),
        is_for_tenants=True,
    ),
    Operation(
        method="POST",
        path="/endpoints",
        role=Role.ADMIN,
        summary="Make an endpoint; its secret is in this answer alone.",
        handler=_create,
        body=NewEndpoint,
        result=CreatedEndpoint,
        status=201,
        keeps_answer=False,
        problems=(*FAILS, *_CHANGES[2:]),
        is_for_tenants=True,
    ),
    Operation(
        method="GET",
        path="/endpoints/{id}",
        role=Role.VIEWER,
        summary="Return an endpoint, how it is, and what waits for it.",
        handler=_show,
        result=EndpointView,
        problems=FINDS,
        is_for_tenants=True,
    ),
    Operation(
        method="PATCH",
        path="/endpoints/{id}",
        role=Role.ADMIN,
        summary="Change an endpoint; with `If-Match`, only if nobody else has.",
        handler=_change,
        body=EndpointChange,
        result=EndpointView,
        problems=(*FINDS, *_CHANGES),
        is_for_tenants=True,
    ),
    Operation(
        method="DELETE",
        path="/endpoints/{id}",
        role=Role.ADMIN,
        summary="Delete an endpoint, and cancel its deliveries.",
        handler=_delete,
        status=204,
        problems=(*FINDS, *_CHANGES[:2]),
        is_for_tenants=True,
    ),
    Operation(
        method="GET",
        path="/endpoints/{id}/secrets",
        role=Role.VIEWER,
        summary="List the secrets of an endpoint by their fingerprints.",
        handler=_secrets,
        result=EndpointSecrets,
        problems=FINDS,
        is_for_tenants=True,
    ),
    Operation(
        method="POST",
        path="/endpoints/{id}/secrets",
        role=Role.ADMIN,
        summary="Add a secret; it is in this answer alone, and those before sign beside it for a while.",
        handler=_rotate,
        body=Rotation,
        is_body_optional=True,
        result=NewSecret,
        status=201,
        keeps_answer=False,
        problems=(*FINDS, *_CHANGES),
        is_for_tenants=True,
    ),
    Operation(
        method="DELETE",
        path="/endpoints/{id}/secrets/{secret}",
        role=Role.ADMIN,
        summary="End a secret at once.",
        handler=_end_secret,
        status=204,
        problems=(*FINDS, *_CHANGES[:2]),
        is_for_tenants=True,
    ),
)
