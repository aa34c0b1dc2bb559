"""The ASGI applications: health checks on both listeners, and metrics on the operator's.

Webhooks are served without ASGI, by :mod:`gateway.http.connection`.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from gateway.observability.metrics import Metrics
from gateway.observability.outbound_counters import OutboundReader

HEALTH_PATHS = (b"/livez", b"/readyz")
"""The paths of the public listener that are no webhooks."""

METRICS_TYPE = "text/plain; version=0.0.4"
"""The media type of Prometheus' text format."""


class Health:
    """``GET /livez`` and ``GET /readyz``.

    Args:
        unavailable_reasons: returns why each part of the gateway is unavailable; an empty text for one that is not.
        is_ready: returns whether the gateway accepts events in spite of that.
    """

    def __init__(
        self, unavailable_reasons: Callable[[], dict[str, str]], is_ready: Callable[[], bool]
    ) -> None:
        self._unavailable_reasons = unavailable_reasons
        self._is_ready = is_ready

    def with_parts(self, beside: Callable[[], dict[str, str]]) -> Health:
        """Return the same with parts without which events are accepted."""
        return Health(lambda: self._unavailable_reasons() | beside(), self._is_ready)

    async def live(self, _: Request) -> Response:
        """Answer 200 for as long as the process answers at all."""
        return JSONResponse({"status": "live"})

    async def ready(self, _: Request) -> Response:
        """Answer 200 if events are accepted, and 503 otherwise."""
        return self._respond({})

    async def explain(self, _: Request) -> Response:
        """Answer as :meth:`ready` does, with the state of each part; `degraded` if events are accepted in spite of one."""
        reasons = self._unavailable_reasons()
        checks = {part: reason or "ok" for part, reason in reasons.items()}
        return self._respond({"checks": checks}, is_degraded=any(reasons.values()))

    def _respond(self, more: dict[str, object], *, is_degraded: bool = False) -> Response:
        if not self._is_ready():
            return JSONResponse({"status": "unavailable", **more}, 503)
        return JSONResponse({"status": "degraded" if is_degraded else "ready", **more})

    def routes(self, *, is_public: bool) -> list[Route]:
        """Return the two routes; the public ones reveal nothing about brokers, stores and users."""
        return [Route("/livez", self.live), Route("/readyz", self.ready if is_public else self.explain)]


def public_app(health: Health) -> Router:
    """Return the application for the public listener."""
    return Router(health.routes(is_public=True), redirect_slashes=False)


def admin_app(metrics: Metrics, health: Health, outbound: OutboundReader | None = None) -> Router:
    """Return the application for the operator's listener; ``outbound`` has the numbers of the way out."""
    if outbound:
        health = health.with_parts(outbound.unavailable_reasons)

    async def render_metrics(_: Request) -> Response:
        beside = generate_latest(outbound) if outbound else b""
        return Response(metrics.render() + beside, media_type=METRICS_TYPE)

    return Router(
        [Route("/metrics", render_metrics), *health.routes(is_public=False)], redirect_slashes=False
    )
