"""The queues that the gateway and its workers declare, and the workers that are alive."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.site import Site
from gateway.operations.queue_status import live_workers

KINDS = {
    "worker": "worker",
    "outbound": "way out",
    "dead_letters": "dead letters",
    "quarantine": "quarantine",
    "unrouted": "unrouted",
    "retry": "retries",
}
"""The kinds of queues in words."""

_PAGES = {"dead_letters": "/dead-letters", "quarantine": "/quarantine", "unrouted": "/unrouted"}


def routes(site: Site) -> list[Route]:
    """Return the route of the page."""

    async def show(request: Request) -> Response:
        health = await site.current.status(is_fresh=True)
        alive = await live_workers(site.services.config(), time.time())
        return site.render(
            request,
            "queues.html",
            health=health,
            kinds=KINDS,
            pages=_PAGES,
            workers=alive,
        )

    return [Route("/queues", site.page(show))]
