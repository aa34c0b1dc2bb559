"""The outermost application of the admin listener: metrics and health always, everything else as soon as it is there."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha256
from html import escape

from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typing_extensions import override

from gateway.console.observed_metrics import ObservedMetrics
from gateway.http.apps import METRICS_TYPE, Health
from gateway.observability.readiness import SharedReadiness

_STARTING = "the console is starting"
_RETRY_AFTER = "1"
"""Seconds after which a page may be asked for again, as a header field."""

_RELOAD = "setTimeout(() => location.reload(), 1000)"
"""What a browser does meanwhile: somebody who follows the login link at once would be left without a way on. A Refresh header
would not load the page again, because the link has a fragment."""

_WAITING_PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Please wait</title><p>{problem}; please wait.</p>"
    f"<script>{_RELOAD}</script>"
    "<noscript><meta http-equiv=refresh content=1></noscript></html>"
)
_WAITING_HEADERS = {
    "Retry-After": _RETRY_AFTER,
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; "
    f"script-src 'sha256-{b64encode(sha256(_RELOAD.encode()).digest()).decode()}'",
}


class Frame:
    """``/metrics``, ``/livez`` and ``/readyz``; everything else is left to the console.

    Args:
        metrics: What ``/metrics`` renders.
        readiness: What ``/readyz`` reports.

    Attributes:
        console: Serves everything else; None while it cannot.
        problem: Why it cannot, for the operator.
        health: Answers `/livez` and `/readyz`.
        readiness: What `/readyz` reports.
        observed: Metrics of what the console looks at, which it fills.
    """

    def __init__(self, metrics: Iterable[Collector], readiness: SharedReadiness) -> None:
        self.console: ASGIApp | None = None
        self.problem = _STARTING
        self.observed = ObservedMetrics()
        self._metrics = _Joined((*metrics, self.observed))
        self.readiness = readiness
        self._is_ending = False
        self._streams: set[asyncio.Task[object]] = set()
        self.health = Health(readiness.reasons, readiness.is_ready)
        self._router = Router(
            [Route("/metrics", self._respond), *self.health.routes(is_public=False)],
            redirect_slashes=False,
            default=self._leave_to_console,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        task = asyncio.current_task()
        assert task  # noqa: S101 -- a coroutine runs in one

        async def send_and_note(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_stream(message):
                self._streams.add(task)
            await send(message)

        try:
            await self._router(scope, receive, send_and_note)
        except asyncio.CancelledError:
            if not self._is_ending or task not in self._streams:
                raise
            task.uncancel()
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._streams.discard(task)

    def end_streams(self) -> None:
        """End the answers that would go on for ever, so that no viewer of a live page holds up the end."""
        self._is_ending = True
        for task in self._streams:
            task.cancel()

    def render_metrics(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._metrics)

    async def _respond(self, _: Request) -> Response:
        return Response(self.render_metrics(), media_type=METRICS_TYPE)

    async def _leave_to_console(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/webhooks/"):  # a provider that has the wrong port is to be told so
            await PlainTextResponse("webhooks are received at server.bind\n", 404)(scope, receive, send)
            return
        console = self.console or self._please_wait(Request(scope))
        await console(scope, receive, send)

    def _please_wait(self, request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return HTMLResponse(_WAITING_PAGE.format(problem=escape(self.problem)), 503, _WAITING_HEADERS)
        return PlainTextResponse(f"{self.problem}\n", 503, {"Retry-After": _RETRY_AFTER})


def _is_stream(message: Message) -> bool:
    """Return whether an answer is Server-Sent Events, by its head."""
    headers = dict(message["headers"])
    return bool(headers.get(b"content-type", b"").startswith(b"text/event-stream"))


class _Joined(Collector):
    """Several collectors as one."""

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._collectors = tuple(collectors)

    @override
    def collect(self) -> Iterable[Metric]:
        for collector in self._collectors:
            yield from collector.collect()
