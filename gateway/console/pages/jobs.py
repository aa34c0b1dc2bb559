"""The page of a job, and the start of one: acts on more than one event run in the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.formatting import plural
from gateway.console.pages.site import Site, redirect
from gateway.console.security.gate import require
from gateway.console.security.roles import Principal, Role
from gateway.operations.jobs import Job, JobState, Work
from gateway.operations.quarantine import Released
from gateway.operations.replay import Replayed

_TONES = {
    JobState.RUNNING: ("info", "running"),
    JobState.CANCELLING: ("warn", "stopping"),
    JobState.DONE: ("good", "done"),
    JobState.FAILED: ("bad", "failed"),
    JobState.CANCELLED: ("warn", "cancelled"),
}

_TITLES = {
    "redrive": ("Redrive dead letters", "/dead-letters", "redriven"),
    "drop": ("Drop events", "/", "dropped"),
    "release": ("Release from quarantine", "/quarantine", "released"),
    "route": ("Route unrouted events", "/unrouted", "routed"),
    "replay": ("Replay from the archive", "/replay", "replayed"),
    "redeliver": ("Redeliver events", "/events", "redelivered"),
}


class ShownJob(NamedTuple):
    """A job as its page shows it.

    Attributes:
        id: Its id.
        title: What it does.
        queue: The queue that it works on.
        actor: Who started it.
        started_at: When, in Unix seconds.
        is_running: Whether it has not ended.
        tone: The tone of its state.
        label: Its state.
        done: Events that are done.
        total: Events that there may be; None if that is not known.
        text: What came of it.
        error: Why it failed.
        back: The page that it was started from.
    """

    id: str
    title: str
    queue: str
    actor: str
    started_at: float
    is_running: bool
    tone: str
    label: str
    done: int
    total: int | None
    text: str
    error: str
    back: str


def start(
    site: Site,
    request: Request,
    kind: str,
    work: Work,
    *,
    queue: str = "",
    details: Mapping[str, Any] | None = None,
) -> Response:
    """Start a job, and lead to its page.

    Raises:
        OperatorError: Another job works on the queue, or there are too many.
    """
    principal: Principal = request.state.principal
    job = site.services.jobs.start(kind, work, queue=queue, actor=principal.name, details=dict(details or {}))
    return redirect(f"/jobs/{job.id}")


def routes(site: Site) -> list[Route]:
    """Return the routes of a job's page."""

    async def show_all(request: Request) -> Response:
        return site.render(request, "jobs.html", jobs=[shown(job) for job in site.services.jobs.all()])

    async def show(request: Request) -> Response:
        job = site.services.jobs.get(request.path_params["id"])
        if job is None:
            return site.render(
                request,
                "trouble.html",
                404,
                title="No such job",
                reason="Jobs are kept in memory: until the console starts anew, and the last 200.",
            )
        return site.render(request, "job.html", job=shown(job))

    @require(Role.OPERATOR)
    async def cancel(request: Request) -> Response:
        number = request.path_params["id"]
        site.services.jobs.cancel(number)
        return redirect(f"/jobs/{number}?done=cancelled")

    return [
        Route("/jobs", site.page(show_all)),
        Route("/jobs/{id}", site.page(show), methods=["GET"]),
        Route("/jobs/{id}/cancel", site.page(cancel), methods=["POST"]),
    ]


def shown(job: Job) -> ShownJob:
    """Return a job as its page shows it."""
    title, back, participle = _TITLES.get(job.kind, (job.kind.capitalize(), "/", "done"))
    tone, label = _TONES[job.state]
    return ShownJob(
        job.id,
        title,
        job.queue,
        job.actor,
        job.started_at,
        not job.has_ended,
        tone,
        label,
        job.done,
        job.total,
        "" if job.state != JobState.DONE else _result(job.result, participle),
        job.error,
        str(job.details.get("back", back)),
    )


def _result(result: Any, participle: str) -> str:
    if isinstance(result, str):
        return result
    if isinstance(result, int):
        return f"{plural(result, 'event was', 'events were')} {participle}."
    if isinstance(result, Replayed):
        return f"{plural(result.delivered, 'event was', 'events were')} delivered again, of {plural(result.read, 'archived event')}."
    if isinstance(result, Released):
        kept = (
            f" {plural(result.kept, 'event still breaks', 'events still break')} the schema, and stays."
            if result.kept
            else ""
        )
        return f"{plural(result.released, 'event was', 'events were')} released.{kept}"
    return ""
