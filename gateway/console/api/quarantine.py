"""The quarantine: genuine events that break their schema."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from starlette.responses import Response

from gateway.console.api.dropping import start_drop
from gateway.console.api.jobs import start_job
from gateway.console.api.operation import Call, Operation
from gateway.console.api.selections import FAILS, Dropping, Move, Selection, filter_of, work_of
from gateway.console.security.roles import Role
from gateway.operations import quarantine
from gateway.operations.jobs import Job
from gateway.operations.quarantine import Proposal, QuarantineFilter, QuarantineGroups, quarantine_queue


class Release(Move, kw_only=True):
    """Quarantined events to release.

    Attributes:
        force: Whether events that still break their schema are released, too.
    """

    force: bool = False


class Checking(Selection, kw_only=True):
    """Quarantined events to validate again.

    Attributes:
        schema: A schema in JSON or YAML to validate them with; by default those in force.
    """

    schema: Annotated[str, Meta(max_length=512 * 1024)] | None = None


async def _quarantine(call: Call) -> QuarantineGroups:
    return await quarantine.groups(call.services.config())


async def _proposal(call: Call) -> Proposal:
    return await quarantine.proposal(call.services.config(), call.services.folder, call.path["group"])


async def _check(call: Call) -> Response:
    body: Checking = call.body
    config = call.services.config()
    work = work_of(
        quarantine.check,
        config,
        call.services.folder,
        filter_of(QuarantineFilter, body),
        body.schema,
    )
    return await start_job(call, "check", work, queue=quarantine_queue(config), is_harmless=True)


async def _release(call: Call) -> Response:
    body: Release = call.body
    config = call.services.config()
    work = work_of(
        quarantine.release,
        config,
        call.services.folder,
        filter_of(QuarantineFilter, body),
        body.limit,
        force=body.force,
        dry_run=body.dry_run,
        actor=call.principal.name,
    )
    return await start_job(
        call,
        "release",
        work,
        queue=quarantine_queue(config),
        target=body.group or body.provider or "all",
        is_harmless=body.dry_run,
    )


async def _drop_quarantined(call: Call) -> Response:
    queue = quarantine_queue(call.services.config())
    return await start_drop(call, quarantine.drop, selects=QuarantineFilter, queue=queue)


OPERATIONS = (
    Operation(
        method="GET",
        path="/quarantine",
        role=Role.VIEWER,
        summary="Return the quarantined events, by the rule that they break.",
        handler=_quarantine,
        result=QuarantineGroups,
        problems=(*FAILS, "not_found"),
    ),
    Operation(
        method="GET",
        path="/quarantine/{group}/proposal",
        role=Role.OPERATOR,
        summary="Propose a schema that the events of a group pass, and its difference to the present one.",
        handler=_proposal,
        result=Proposal,
        problems=(*FAILS, "not_found"),
    ),
    Operation(
        method="POST",
        path="/quarantine/check",
        role=Role.OPERATOR,
        summary="Count the quarantined events that would pass now, or with another schema.",
        handler=_check,
        body=Checking,
        result=Job,
        status=202,
    ),
    Operation(
        method="POST",
        path="/quarantine/release",
        role=Role.OPERATOR,
        summary="Publish quarantined events that pass their schema now.",
        handler=_release,
        body=Release,
        result=Job,
        status=202,
    ),
    Operation(
        method="POST",
        path="/quarantine/drop",
        role=Role.ADMIN,
        summary="Delete quarantined events.",
        handler=_drop_quarantined,
        body=Dropping,
        result=Job,
        status=202,
    ),
)
