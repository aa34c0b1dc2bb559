"""The header fields that tell a browser what to refuse, on every answer of the console, and how long it took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing inline, nothing from elsewhere, no frames, and no script that makes elements out of text."""

SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Fields of every answer. A handler may only change `cache-control`, for files that hold nothing of anybody."""

_TIMINGS = "timings"


class SecurityHeaders:
    """Adds the fields to every answer, and `Server-Timing` with what :func:`timed` has measured."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        started = time.perf_counter()
        timings: dict[str, float] = scope.setdefault("state", {}).setdefault(_TIMINGS, {})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    if name == "cache-control":
                        headers.setdefault(name, value)
                    else:
                        headers[name] = value
                total = {**timings, "total": time.perf_counter() - started}
                headers["server-timing"] = ", ".join(
                    f"{name};dur={1000 * taken:.1f}" for name, taken in total.items()
                )
            await send(message)

        await self._app(scope, receive, send_with_headers)


@contextmanager
def timed(request: Request, name: str) -> Iterator[None]:
    """Add the time that the block takes to `Server-Timing` under a name, such as `journal`."""
    started = time.perf_counter()
    try:
        yield
    finally:
        timings: dict[str, float] = request.scope.setdefault("state", {}).setdefault(_TIMINGS, {})
        timings[name] = timings.get(name, 0.0) + time.perf_counter() - started
