"""What the operations of endpoints, deliveries and messages have in common."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, Meta
from starlette.responses import Response

from gateway.console.api.encoding import encode
from gateway.console.api.lists import Cursor
from gateway.console.api.operation import Call
from gateway.console.problems import Problem
from gateway.operations.messages import WayOut
from gateway.outbound.store import Store

PageLimit = Annotated[int, Meta(ge=1, le=250)]
Order = Annotated[str, Meta(pattern="^(asc|desc)$")]
Result = TypeVar("Result")

FAILS = ("operation_failed", "deliveries_unavailable")
"""What each of these operations may answer."""

FINDS = (*FAILS, "not_found")
"""What those may answer that name something."""


class PageParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which page of a list.

    Attributes:
        cursor: The `next` of the page before.
        limit: The most entries to return.
    """

    cursor: Cursor = ""
    limit: PageLimit = 50


class Asked(NamedTuple):
    """What an operation on the way out works with.

    Attributes:
        store: The store.
        tenant: The only tenant that is seen; empty for all.
        now: The time, in Unix seconds.
        actor: Who asks.
    """

    store: Store
    tenant: str
    now: float
    actor: str


def asked(call: Call) -> Asked:
    """Return what an operation works with.

    Raises:
        Problem: The way out is off, or its database is away.
    """
    return Asked(way_out(call).store, call.principal.tenant, time.time(), call.principal.name)


def way_out(call: Call) -> WayOut:
    """Return the endpoints and their deliveries.

    Raises:
        Problem: The way out is off, or its database is away.
    """
    found = call.services.outbound
    if found is not None:
        return found
    if call.services.config().has_way_out:
        raise Problem("deliveries_unavailable", "the database is being opened", {"retry-after": "5"})
    raise Problem("operation_failed", "nothing is delivered to endpoints here: set outbound.enabled to true")


async def note(call: Call, action: str, target: str) -> None:
    """Note in the audit what is about to be done."""
    await asyncio.to_thread(call.audit, action, target)


def fields_of(body: msgspec.Struct) -> str:
    """Return the names of the fields that a body sets, for the audit: never their values."""
    return ", ".join(name for name in body.__struct_fields__ if getattr(body, name) not in (UNSET, None))


def answer(value: object, status: int, **headers: str) -> Response:
    """Return an answer with header fields of its own."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(encode(value), status, named, "application/json")
