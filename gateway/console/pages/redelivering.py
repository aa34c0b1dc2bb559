"""Redeliver events to a queue, from wherever their payloads are kept: one, or those that were selected in a list."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.auditing import audit
from gateway.console.pages.exporting import MAX_EVENTS
from gateway.console.pages.formatting import event_path, plural
from gateway.console.pages.jobs import start
from gateway.console.pages.site import Site
from gateway.console.security.bodies import form_of
from gateway.console.security.gate import require
from gateway.console.security.roles import Principal, Role
from gateway.errors import OperatorError
from gateway.events.message import DEAD_SUFFIX
from gateway.operations.letters import OnProgress
from gateway.operations.redeliver import redeliver


def routes(site: Site) -> list[Route]:
    """Return the routes of the page and its form."""

    @require(Role.OPERATOR)
    async def show(request: Request) -> Response:
        chosen = _chosen(request.query_params.getlist("event"))
        return site.render(request, "redeliver.html", events=chosen, workers=await _queues(site, "worker"))

    @require(Role.OPERATOR)
    async def run(request: Request) -> Response:
        fields = form_of(request)
        events = _chosen(fields.get("event", []))
        target, is_forced = fields.get("to", [""])[0].strip(), fields.get("force") == ["1"]
        if not events or not target:
            raise OperatorError("Choose events, and name the queue to deliver to.")
        dead = [name.removesuffix(DEAD_SUFFIX) for name in await _queues(site, "dead_letters")]
        principal: Principal = request.state.principal

        async def work(on_progress: OnProgress) -> str:
            config, found, failures = site.services.config(), 0, []
            on_progress(0, len(events))
            for number, (provider, event_id) in enumerate(events, 1):
                try:
                    await redeliver(
                        config,
                        site.services.folder,
                        provider,
                        event_id,
                        target,
                        force=is_forced,
                        dead_queues=dead,
                        received_at=await _received_at(site, request, provider, event_id),
                        actor=principal.name,
                    )
                    found += 1
                except OperatorError as error:
                    failures.append(str(error))
                on_progress(number, len(events))
            if failures and not found:
                raise OperatorError(failures[0])
            rest = (
                f" {plural(len(failures), 'event was', 'events were')} not: {failures[0]}" if failures else ""
            )
            return f"{plural(found, 'event was', 'events were')} delivered to {target} again.{rest}"

        await audit(
            site,
            request,
            "redeliver",
            f"{plural(len(events), 'event')} to {target}, first {'/'.join(events[0])}",
        )
        back = event_path(*events[0]) if len(events) == 1 else "/events"
        return start(site, request, "redeliver", work, queue=target, details={"back": back})

    return [
        Route("/redeliver", site.page(show), methods=["GET"]),
        Route("/redeliver", site.page(run), methods=["POST"]),
    ]


def _chosen(values: Sequence[str]) -> list[tuple[str, str]]:
    """Return providers and ids of events given as `provider/id`."""
    pairs = [each.partition("/") for each in dict.fromkeys(values)]
    return [(provider, event_id) for provider, _, event_id in pairs if provider and event_id][:MAX_EVENTS]


async def _queues(site: Site, kind: str) -> list[str]:
    health = await site.current.status()
    return [queue.name for queue in (health.queues if health else ()) if queue.kind == kind]


async def _received_at(site: Site, request: Request, provider: str, event_id: str) -> float | None:
    entries = await site.ask(request, "journal", site.services.journal.timeline, event_id, provider)
    return entries[0].at if entries else None
