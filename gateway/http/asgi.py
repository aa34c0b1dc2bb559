"""Ask an ASGI application for one short response to one short request."""

from __future__ import annotations

from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Scope

from gateway.receive.request import RequestHead
from gateway.receive.responses import Fields, Response

log = structlog.get_logger()


async def ask(app: ASGIApp, head: RequestHead, body: bytes) -> Response:
    """Return the response of the application; a 500 if it fails."""
    sent = _Sent()

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        await app(_scope_of(head), receive, sent)
    except Exception:
        log.exception("internal error", path=head.path.decode("latin-1"))
        sent = _Sent()
    return Response(sent.status, "", sent.body, sent.fields)


class _Sent:
    """Collects what an ASGI application sends."""

    def __init__(self) -> None:
        self.status = 500
        self.fields: Fields = ()
        self.body = b""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.fields = tuple(field for field in message["headers"] if field[0] != b"content-length")
        else:
            self.body += message.get("body", b"")


def _scope_of(head: RequestHead) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": head.version,
        "method": head.method,
        "scheme": "http",
        "path": head.path.decode("latin-1"),
        "raw_path": head.path,
        "query_string": head.query,
        "root_path": "",
        "headers": list(head.headers.fields),
        "client": (head.peer, 0),
        "server": None,
    }
