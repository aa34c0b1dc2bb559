"""The frame of the admin listener: metrics and health whatever happens to the console."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from gateway.console.frame import Frame
from gateway.console.metrics import ConsoleMetrics
from gateway.observability.counters import shared_counters
from gateway.observability.metrics import MetricsReader
from gateway.observability.readiness import ReadinessBoard, SharedReadiness


@pytest.fixture
def frame() -> Frame:
    """The frame of a gateway that has not said anything yet."""
    metrics = [MetricsReader(shared_counters(1)), ConsoleMetrics(3)]
    return Frame(metrics, SharedReadiness(ReadinessBoard(1)))


async def ask(frame: Frame, path: str, sent: list[Message] | None = None) -> tuple[int, bytes]:
    """Return status and body of the answer to a GET."""
    messages: list[Any] = [] if sent is None else sent

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [],
        "query_string": b"",
        "root_path": "",
    }
    await frame(scope, receive, send)
    return messages[0]["status"], b"".join(each.get("body", b"") for each in messages[1:])


async def test_metrics_and_health_need_no_console(frame: Frame) -> None:
    """The rest says why it is not there."""
    status, body = await ask(frame, "/metrics")
    assert status == 200
    assert b"webhook_processes 0.0" in body
    assert b"webhook_console_restarts_total 3.0" in body
    assert (await ask(frame, "/livez"))[0] == 200
    assert (await ask(frame, "/readyz"))[0] == 503
    frame.problem = "the disk is full"

    assert await ask(frame, "/events") == (503, b"the disk is full\n")


async def test_the_console_has_everything_else_but_webhooks(frame: Frame) -> None:
    """A provider that has the wrong port gets no login form."""
    frame.console = PlainTextResponse("a page")

    assert await ask(frame, "/") == (200, b"a page")
    assert (await ask(frame, "/webhooks/stripe"))[0] == 404


async def test_live_pages_end_with_the_console(frame: Frame) -> None:
    """In order: nothing is logged, and the browser connects again."""

    async def events() -> AsyncIterator[bytes]:
        yield b"data: 1\n\n"
        await asyncio.Event().wait()

    frame.console = StreamingResponse(events(), media_type="text/event-stream")
    sent: list[Message] = []
    asking = asyncio.create_task(ask(frame, "/api/v1/tail", sent))
    async with asyncio.timeout(10):
        while len(sent) < 2:
            await asyncio.sleep(0)
        frame.end_streams()

        assert await asking == (200, b"data: 1\n\n")
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


async def test_who_leaves_a_live_page_is_not_kept(frame: Frame) -> None:
    """The server cancels what it sends to nobody."""

    async def wait(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream")],
            }
        )
        await asyncio.Event().wait()

    frame.console = wait
    sent: list[Message] = []
    asking = asyncio.create_task(ask(frame, "/api/v1/tail", sent))
    while not sent:
        await asyncio.sleep(0)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
