"""The HTTP side: paths to endpoints, rejections to answers, and one line and one count for every request.

Starlette routes; the webhook path itself is a plain ASGI callable, because Request and Response objects
would cost as much as the rest of the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from gateway.answers import CLIENT_DISCONNECTED, Answer, refuse, succeed
from gateway.body import ClientDisconnected
from gateway.endpoint import Endpoint
from gateway.errors import Internal, MethodNotAllowed, UnknownProvider
from gateway.metrics import UNKNOWN_PROVIDER, Metrics
from gateway.pipeline import Pipeline, Progress
from providers import Headers, RawRequest, Rejection, SignatureRejected

log = structlog.get_logger()


class Webhooks:
    """``POST /webhooks/{provider}``.

    Args:
        endpoints: the configured providers by name.
        pipeline: what happens to a request.
        metrics: where requests are counted.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], pipeline: Pipeline, metrics: Metrics) -> None:
        self._endpoints = endpoints
        self._pipeline = pipeline
        self._unknown = metrics.of_provider(UNKNOWN_PROVIDER, 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is."""
        started_at = time.perf_counter()
        endpoint = self._endpoints.get(scope["path_params"]["provider"])
        metrics = endpoint.metrics if endpoint else self._unknown
        progress = Progress(endpoint) if endpoint else None
        try:
            answer = await self._handle(scope, receive, progress)
        except ClientDisconnected:
            answer = None
        outcome = answer.outcome if answer else CLIENT_DISCONNECTED
        metrics.outcomes[outcome].inc()
        if answer:
            await send(answer.start)
            await send({"type": "http.response.body", "body": answer.body})
        elapsed = time.perf_counter() - started_at
        metrics.latency.observe(elapsed)
        _log_request(progress, answer, outcome, elapsed)

    async def _handle(self, scope: Scope, receive: Receive, progress: Progress | None) -> Answer:
        """The answer, for whatever happens: the one place where exceptions become answers."""
        try:
            if progress is None:
                raise UnknownProvider
            if scope["method"] != "POST":
                raise MethodNotAllowed
            request = _raw_request(scope, progress.endpoint)
            outcome = await self._pipeline.receive(request, receive, progress)
        except SignatureRejected as rejection:
            progress.cause = rejection.fault  # type: ignore[union-attr]
            progress.endpoint.metrics.signature_failures[rejection.fault].inc()  # type: ignore[union-attr]
            return refuse(rejection)
        except Rejection as rejection:
            if progress is None:
                return refuse(rejection)
            progress.cause = rejection.detail
            return refuse(rejection, progress.event_id)
        except ClientDisconnected:
            raise
        except Exception:
            log.exception("internal error", provider=progress.endpoint.name if progress else None)
            return refuse(Internal(), progress.event_id if progress else None)
        return succeed(outcome, progress.event_id or "")


def _raw_request(scope: Scope, endpoint: Endpoint) -> RawRequest:
    return RawRequest(
        body=b"",
        headers=Headers(scope["headers"]),
        path=scope["raw_path"].decode("latin-1"),
        url=_url_of(scope, endpoint.public_url),
    )


def _url_of(scope: Scope, public_url: str | None) -> str:
    """The address that the sender called: as configured, else as it arrived here."""
    query = scope["query_string"]
    if public_url is None:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        public_url = f"{scope['scheme']}://{host}{scope['raw_path'].decode('latin-1')}"
    return f"{public_url}?{query.decode('latin-1')}" if query else public_url


def _log_request(progress: Progress | None, answer: Answer | None, outcome: str, elapsed: float) -> None:
    fields: dict[str, Any] = {"outcome": outcome, "ms": round(elapsed * 1000, 2)}
    if answer:
        fields["status"] = answer.status
    if progress:
        fields["provider"] = progress.endpoint.name
        for name in ("event_type", "event_id", "size", "cause"):
            value = getattr(progress, name)
            if value:
                fields[name] = value
    if answer is None or answer.status < 400:
        log.info("request", **fields)
    else:
        log.warning("request", **fields)


class Health:
    """``GET /livez`` and ``GET /readyz``.

    Args:
        troubles: tells what is wrong, by part of the gateway; empty texts for what is not.
        is_ready: whether requests can be accepted with these troubles.
    """

    def __init__(self, troubles: Callable[[], dict[str, str]], is_ready: Callable[[], bool]) -> None:
        self._troubles = troubles
        self._is_ready = is_ready

    async def live(self, _: Request) -> Response:
        """200 as long as the process answers at all."""
        return JSONResponse({"status": "live"})

    async def ready(self, _: Request) -> Response:
        """200 when events can be accepted, else 503; with the state of each part."""
        is_ready = self._is_ready()
        checks = {part: trouble or "ok" for part, trouble in self._troubles().items()}
        status = "ready" if is_ready else "not_ready"
        return JSONResponse({"status": status, "checks": checks}, 200 if is_ready else 503)

    def routes(self) -> list[Route]:
        """The two, for each listener."""
        return [Route("/livez", self.live), Route("/readyz", self.ready)]


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Any other path."""
    if scope["type"] == "http":
        answer = refuse(UnknownProvider())
        await send(answer.start)
        await send({"type": "http.response.body", "body": answer.body})


def public_app(webhooks: Webhooks, health: Health) -> Router:
    """What listens to the world."""
    return Router([Route("/webhooks/{provider}", webhooks), *health.routes()], redirect_slashes=False, default=not_found)


def admin_app(metrics: Metrics, health: Health) -> Router:
    """What listens to the operator."""

    async def render_metrics(_: Request) -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    return Router([Route("/metrics", render_metrics), *health.routes()], redirect_slashes=False, default=not_found)
