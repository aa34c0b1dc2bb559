"""All operations of the API, in the order of the documentation."""

from __future__ import annotations

from functools import cache
from typing import Any

from gateway.console.api import (
    acts,
    administration,
    archive,
    dead_letters,
    deliveries,
    delivery_replays,
    endpoint_acts,
    endpoints,
    events,
    jobs,
    lists,
    messages,
    providers,
    quarantine,
    refusals,
    state,
    tail,
    unrouted,
)
from gateway.console.api.openapi import openapi_document
from gateway.console.api.operation import Call, Operation
from gateway.console.security.roles import Role


async def _openapi(_: Call) -> Any:
    return _document()


@cache
def _document() -> dict[str, Any]:
    return openapi_document(OPERATIONS)


OPERATIONS: tuple[Operation, ...] = (
    *lists.OPERATIONS,
    *events.OPERATIONS,
    *tail.OPERATIONS,
    *providers.OPERATIONS,
    *refusals.OPERATIONS,
    *state.OPERATIONS,
    *dead_letters.OPERATIONS,
    *quarantine.OPERATIONS,
    *unrouted.OPERATIONS,
    *acts.OPERATIONS,
    *jobs.OPERATIONS,
    *endpoints.OPERATIONS,
    *endpoint_acts.OPERATIONS,
    *deliveries.OPERATIONS,
    *delivery_replays.OPERATIONS,
    *messages.OPERATIONS,
    *archive.OPERATIONS,
    *administration.OPERATIONS,
    Operation(
        method="GET",
        path="/openapi.json",
        role=Role.VIEWER,
        summary="Return this document, in OpenAPI 3.1.",
        handler=_openapi,
        result=dict[str, Any],
    ),
)
