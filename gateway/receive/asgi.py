"""The gateway as ASGI applications: health and metrics, and webhooks for whoever embeds the gateway elsewhere.

The gateway's own server serves webhooks without ASGI in between (:mod:`gateway.http`); within another server its
deadlines and its limits on connections are that server's care.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from gateway.errors import BodyTooLarge
from gateway.observability.metrics import Metrics
from gateway.receive.context import RequestContext, RequestHead
from gateway.receive.receiver import Receiver
from gateway.receive.responses import NO_CONTENT
from gateway.receive.responses import Response as HttpResponse
from gateway.signatures.request import Headers

HEALTH_PATHS = (b"/livez", b"/readyz")


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
        """200 when events can be accepted, else 503."""
        return self._answer({})

    async def explain(self, _: Request) -> Response:
        """Answer as :meth:`ready` does, with the state of each part."""
        checks = {part: reason or "ok" for part, reason in self._troubles().items()}
        return self._answer({"checks": checks})

    def _answer(self, more: dict[str, object]) -> Response:
        is_ready = self._is_ready()
        return JSONResponse(
            {"status": "ready" if is_ready else "unavailable", **more}, 200 if is_ready else 503
        )

    def routes(self, *, is_public: bool) -> list[Route]:
        """The two, for a listener; to the public it says nothing of brokers, stores and users."""
        return [Route("/livez", self.live), Route("/readyz", self.ready if is_public else self.explain)]


def public_app(webhooks: Receiver, health: Health) -> Router:
    """What listens to the world."""
    return Router(health.routes(is_public=True), redirect_slashes=False, default=_Receiver(webhooks))


def admin_app(metrics: Metrics, health: Health) -> Router:
    """What listens to the operator."""

    async def render_metrics(_: Request) -> Response:
        return Response(metrics.render(), media_type="text/plain; version=0.0.4")

    return Router(
        [Route("/metrics", render_metrics), *health.routes(is_public=False)], redirect_slashes=False
    )


class _Receiver:
    """Webhooks as an ASGI application."""

    def __init__(self, webhooks: Receiver) -> None:
        self._webhooks = webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._webhooks.open(_head_of(scope))
        if exchange.answer is None:
            body = await self._read_body(exchange, receive)
            if body is None:
                self._webhooks.abandon(exchange)
                return
            if exchange.answer is None:
                work = self._webhooks.examine(exchange, body)
                if work is not None:
                    await self._webhooks.deliver(exchange, work)
        if exchange.answer is not None:
            await _send(exchange.answer, send)

    async def _read_body(self, exchange: RequestContext, receive: Receive) -> bytes | None:
        """The body, None when its sender has left; no more of it than may be."""
        body = BytesIO()  # gives its bytes away without a copy
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            body.write(message.get("body", b""))
            if body.tell() > exchange.endpoint.max_body:
                self._webhooks.refuse(exchange, BodyTooLarge())
                return b""
            if not message.get("more_body", False):
                return body.getvalue()


def _head_of(scope: Scope) -> RequestHead:
    fields = scope["headers"]
    return RequestHead(
        scope["method"],
        scope["raw_path"],
        scope["query_string"],
        Headers(fields),
        sum(len(name) + len(value) for name, value in fields),
        scope["client"][0] if scope.get("client") else "",
        scope["http_version"],
    )


async def _send(answer: HttpResponse, send: Send) -> None:
    fields, body = list(answer.fields), answer.body
    if answer.status == NO_CONTENT:
        body = b""
    else:
        fields.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
