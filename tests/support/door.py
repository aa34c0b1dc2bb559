"""The way into a gateway without sockets: an httpx transport that hands requests to its receiver."""

from __future__ import annotations

import httpx
from typing_extensions import override

from gateway.app import Gateway
from gateway.errors import BodyTooLarge
from gateway.http.apps import HEALTH_PATHS
from gateway.http.asgi import ask
from gateway.receive.context import RequestContext
from gateway.receive.request import RequestHead
from gateway.receive.responses import Response
from gateway.signatures.request import Headers

PEER = "127.0.0.1"


class Door(httpx.AsyncBaseTransport):
    """Takes the steps that a connection takes, with nothing in between: open, examine, run."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await enter(self._gateway, head_of(request), await request.aread())
        return httpx.Response(response.status, headers=list(response.fields), content=response.body)


async def enter(gateway: Gateway, head: RequestHead, body: bytes) -> Response:
    """Return the response to a request."""
    if head.path in HEALTH_PATHS:
        return await ask(gateway.public, head, body)
    receiver = gateway.receiver
    record = receiver.open(head)
    if record.response is None:
        assert isinstance(record, RequestContext)
        if len(body) > record.route.max_body:
            receiver.refuse(record, BodyTooLarge())
        elif (job := receiver.examine(record, body)) is not None:
            await receiver.run(record, job)
    assert record.response is not None
    return record.response


def head_of(request: httpx.Request) -> RequestHead:
    """Return the head as the parser makes it."""
    fields = [(name.lower(), value) for name, value in request.headers.raw]
    path, _, query = request.url.raw_path.partition(b"?")
    size = sum(len(name) + len(value) for name, value in fields)
    return RequestHead(request.method, path, query, Headers(fields), size, PEER)
