"""Jobs: what touches more than one event runs in the background, and is watched here."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.responses import Response

from gateway.console.api.encoding import encode
from gateway.console.api.operation import Call, Operation
from gateway.console.api.paths import PREFIX
from gateway.console.problems import Problem
from gateway.console.security.roles import Role
from gateway.operations.jobs import Job, Work


class JobList(msgspec.Struct):
    """The jobs of the console since its start.

    Attributes:
        jobs: Those that run and the last that ended, newest first.
    """

    jobs: list[Job]


async def start_job(
    call: Call, kind: str, work: Work, *, queue: str = "", target: str = "", is_harmless: bool = False
) -> Response:
    """Start a job, and answer 202 with where it can be watched.

    Args:
        call: The call that starts it.
        kind: What it does.
        work: Does it.
        queue: The queue that it works on.
        target: What the audit says that it is done to.
        is_harmless: Whether it changes nothing, and is no matter for the audit.

    Raises:
        OperatorError: It cannot be started now.
    """
    if not is_harmless:  # before it is done: what cannot be noted is not done
        await asyncio.to_thread(call.audit, kind, target or queue)
    details = {} if call.body is None else {"request": msgspec.to_builtins(call.body)}
    job = call.services.jobs.start(kind, work, queue=queue, actor=call.principal.name, details=details)
    return _answer(job)


def _answer(job: Job) -> Response:
    return Response(encode(job), 202, {"location": f"{PREFIX}/jobs/{job.id}"}, "application/json")


async def _list(call: Call) -> JobList:
    return JobList(call.services.jobs.all())


async def _get(call: Call) -> Job:
    return _existing(call.services.jobs.get(call.path["id"]))


async def _cancel(call: Call) -> Response:
    job = _existing(call.services.jobs.get(call.path["id"]))
    await asyncio.to_thread(call.audit, "job.cancel", f"{job.kind} {job.id}")
    return _answer(_existing(call.services.jobs.cancel(job.id)))


def _existing(job: Job | None) -> Job:
    if job is None:
        raise Problem(
            "not_found", "there is no such job, it ended long ago, or the console has started again since"
        )
    return job


OPERATIONS = (
    Operation(
        method="GET",
        path="/jobs",
        role=Role.VIEWER,
        summary="List the jobs that run, and the last that ended.",
        handler=_list,
        result=JobList,
    ),
    Operation(
        method="GET",
        path="/jobs/{id}",
        role=Role.VIEWER,
        summary="Return a job: how far it is, and what came of it.",
        handler=_get,
        result=Job,
        problems=("not_found",),
    ),
    Operation(
        method="DELETE",
        path="/jobs/{id}",
        role=Role.OPERATOR,
        summary="Cancel a job: it ends after the event that it is at.",
        handler=_cancel,
        result=Job,
        status=202,
        problems=("not_found",),
    ),
)
