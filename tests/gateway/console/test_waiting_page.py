"""The admin listener before the console is there: a page that waits for it, and health all the while."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from gateway.console.frame import Frame
from gateway.observability.readiness import ReadinessBoard, SharedReadiness

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def frame() -> Frame:
    """The listener of a console that is not there yet."""
    return Frame((), SharedReadiness(ReadinessBoard(1)))


def test_a_browser_loads_the_page_again_until_the_console_is_there() -> None:
    """By a script that its policy names; a Refresh header would keep the page of a link with a fragment."""
    app = frame()
    app.problem = "cannot open <b>journal</b>"
    with TestClient(app) as client:
        waiting = client.get("/login", headers=BROWSER)
        app.console = PlainTextResponse("the console")
        there = client.get("/login", headers=BROWSER)

    (script,) = re.findall(r"<script>(.*?)</script>", waiting.text)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert waiting.status_code == 503
    assert "location.reload" in script
    assert f"script-src 'sha256-{digest}'" in waiting.headers["content-security-policy"]
    assert "&lt;b&gt;journal" in waiting.text
    assert (there.status_code, there.text) == (200, "the console")


def test_a_program_gets_the_reason_in_one_line() -> None:
    """With the time after which it may ask again; health is there all the while."""
    with TestClient(frame()) as client:
        waiting = client.get("/api/v1/status", headers={"Accept": "application/json"})
        alive = client.get("/livez")
        misdirected = client.post("/webhooks/stripe")

    assert (waiting.status_code, waiting.text) == (503, "the console is starting\n")
    assert waiting.headers["retry-after"] == "1"
    assert alive.status_code == 200
    assert misdirected.status_code == 404
