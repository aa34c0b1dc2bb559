"""The HTTP side: paths to endpoints, rejections to answers, and one line and one count for every request.

Starlette serves all but the webhook path. That is a plain ASGI callable, because routing and the Request and
Response objects would add to every webhook what none of them needs.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.answers import CLIENT_DISCONNECTED, Answer, refuse, succeed
from gateway.body import ClientDisconnected
from gateway.endpoint import Endpoint
from gateway.errors import HeadersTooLarge, Internal, MethodNotAllowed, UnknownProvider
from gateway.metrics import UNKNOWN_PROVIDER, Metrics
from gateway.pipeline import Pipeline, Progress
from providers import Headers, RawRequest, Rejection, SignatureRejected

MAX_FIELDS = 100
"""Header fields of a request; senders have some twenty."""

MAX_HEAD = 32 * 1024
"""Bytes of all header fields of a request."""

_WEBHOOKS = "/webhooks/"
_FIRST_REFUSAL = 400

log = structlog.get_logger()


class Webhooks:
    """``POST /webhooks/{provider}``, and the refusal of all paths that there are not.

    Args:
        endpoints: the configured providers by name.
        pipeline: what happens to a request.
        metrics: where requests are counted.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], pipeline: Pipeline, metrics: Metrics) -> None:
        self._endpoints = endpoints
        self._pipeline = pipeline
        self._unknown = metrics.of_provider(UNKNOWN_PROVIDER, 0)
        self._log = log.bind()  # without the lookups that a logger of the module does at every call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is: the one place where exceptions become answers."""
        started_at = time.perf_counter()
        endpoint = self._endpoints.get(scope["path"].removeprefix(_WEBHOOKS))
        metrics = endpoint.metrics if endpoint else self._unknown
        progress = Progress(endpoint) if endpoint else None
        answer: Answer | None
        try:
            if progress is None:
                raise UnknownProvider
            if scope["method"] != "POST":
                raise MethodNotAllowed
            if len(scope["headers"]) > MAX_FIELDS or scope.get("head_size", 0) > MAX_HEAD:
                raise HeadersTooLarge
            arrived = scope["arrived_body"]() if "arrived_body" in scope else None
            request = _raw_request(scope, progress.endpoint)
            outcome = await self._pipeline.receive(request, arrived, receive, progress)
            answer = succeed(outcome, progress.event_id or "")
        except SignatureRejected as rejection:
            metrics.count_signature_failure(rejection.fault)
            answer = self._refuse(rejection, progress)
        except Rejection as rejection:
            answer = self._refuse(rejection, progress)
        except ClientDisconnected:
            answer = None
        except Exception:
            log.exception("internal error", provider=endpoint.name if endpoint else None)
            answer = self._refuse(Internal(), progress)
        if answer:
            await send(answer.start)
            await send({"type": "http.response.body", "body": answer.body})
        outcome_word = answer.outcome if answer else CLIENT_DISCONNECTED
        elapsed = time.perf_counter() - started_at
        metrics.count_outcome(outcome_word)
        metrics.observe_latency(elapsed)
        self._log_request(progress, answer, outcome_word, elapsed)

    def _refuse(self, rejection: Rejection, progress: Progress | None) -> Answer:
        if progress is None:
            return refuse(rejection)
        progress.cause = rejection.detail
        return refuse(rejection, progress.event_id)

    def _log_request(
        self, progress: Progress | None, answer: Answer | None, outcome: str, elapsed: float
    ) -> None:
        status = answer.status if answer else 0
        write = self._log.info if status < _FIRST_REFUSAL else self._log.warning
        if progress is None:
            write("request", outcome=outcome, status=status, ms=round(elapsed * 1000, 2))
        else:
            write(
                "request",
                outcome=outcome,
                status=status,
                ms=round(elapsed * 1000, 2),
                provider=progress.endpoint.name,
                event_type=progress.event_type,
                event_id=progress.event_id,
                size=progress.size,
                cause=progress.cause,
            )


def _raw_request(scope: Scope, endpoint: Endpoint) -> RawRequest:
    return RawRequest(
        body=b"",
        headers=Headers(scope["headers"]),
        path=scope["raw_path"].decode("latin-1"),
        url=_url_of(scope, endpoint.public_url) if endpoint.adapter.needs_url else "",
    )


def _url_of(scope: Scope, public_url: str | None) -> str:
    """The address that the sender called: as configured, else as it arrived here."""
    query = scope["query_string"]
    if public_url is None:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        public_url = f"{scope['scheme']}://{host}{scope['raw_path'].decode('latin-1')}"
    return f"{public_url}?{query.decode('latin-1')}" if query else public_url


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


def public_app(webhooks: Webhooks, health: Health) -> ASGIApp:
    """What listens to the world."""
    router = Router(health.routes(), redirect_slashes=False, default=webhooks)

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # The one path that is hot does not wait for the router to try its patterns.
        if scope["type"] == "http" and scope["path"].startswith(_WEBHOOKS):
            return webhooks(scope, receive, send)
        return router(scope, receive, send)

    return app


def admin_app(metrics: Metrics, health: Health) -> Router:
    """What listens to the operator."""

    async def render_metrics(_: Request) -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    return Router([Route("/metrics", render_metrics), *health.routes()], redirect_slashes=False)
