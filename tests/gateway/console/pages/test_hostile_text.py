"""Text from providers is inert on every page."""

from __future__ import annotations

import time
from importlib.resources import files
from typing import Any

import pytest

from gateway.journal.entry import Entry, Kind, first_id_at
from support.console_pages import PagesConsole, stand_in_for_queues

HOSTILE = "<script>document.body.dataset.pwned=1</script>\"'><img src=x onerror=alert(1)>{{7*7}}${7*7}\u202ertl\x1b[31m\x00&amp;"
"""Markup, handlers, template syntax, a reversal of the direction, an escape sequence and a NUL."""

PATHS = (
    "/", "/events", "/requests", "/live", "/dead-letters", "/quarantine", "/quarantine/q1?tab=proposal", "/unrouted",
    "/refusals", "/queues", "/settings?tab=audit",
)  # fmt: skip


@pytest.fixture
def hostile(make_pages: Any, monkeypatch: pytest.MonkeyPatch) -> PagesConsole:
    """A console into whose fields somebody has written all that."""
    stand_in_for_queues(monkeypatch, text=HOSTILE)
    console: PagesConsole = make_pages(is_empty=True)
    now = time.time()
    texts = ("reason", "provider", "type", "event_id", "subject", "account", "queue", "gateway", "actor", "client", "summary", "detail", "trace")  # fmt: skip
    for index, kind in enumerate(Kind):
        console.journal.append(
            [Entry(first_id_at(now - 5) + index, kind, "dead", **dict.fromkeys(texts, HOSTILE))]  # type: ignore[arg-type]
        )
    console.refuse(HOSTILE, HOSTILE, HOSTILE.encode(), HOSTILE)
    console.access.audit.add(HOSTILE, actor=HOSTILE, target=HOSTILE)
    return console


@pytest.mark.parametrize("path", PATHS)
def test_it_is_escaped(hostile: PagesConsole, path: str) -> None:
    """No element, no attribute and no reversal comes of it; the text itself is there."""
    with hostile.program("admin") as client:
        text = client.get(path).text

    assert "<script>document" not in text
    assert "<img src=x" not in text
    assert "\u202e" not in text
    assert "\x00" not in text
    assert "\x1b" not in text
    assert "49" not in text.split("{{7*7}}")[0][-20:]
    assert "&lt;script&gt;document.body.dataset.pwned=1" in text


def test_an_event_with_such_an_id_has_a_page(hostile: PagesConsole) -> None:
    """Its id stands in the query, where a browser leaves it alone."""
    with hostile.program("admin") as client:
        answer = client.get("/event", params={"id": HOSTILE})

    assert answer.status_code == 200
    assert "<script>document" not in answer.text
    assert "⟨U+202E⟩rtl" in answer.text


def test_a_query_is_not_believed(hostile: PagesConsole) -> None:
    """What stands in an address is hostile as well."""
    with hostile.program("viewer") as client:
        answers = [
            client.get(path, params={"q": HOSTILE, "done": HOSTILE})
            for path in ("/events", "/live", "/search")
        ]

    assert all("<script>document" not in answer.text for answer in answers)


def test_no_template_marks_a_text_as_safe() -> None:
    """Autoescaping has no exception."""
    for template in files("gateway.console").joinpath("templates").iterdir():
        text = template.read_text("utf-8")
        assert "safe" not in text.replace("safe_to_remove", ""), template.name
        assert "autoescape" not in text, template.name
        assert " style=" not in text, template.name
        assert "javascript:" not in text, template.name


def test_the_script_makes_no_markup() -> None:
    """The browser would refuse it; better not to try."""
    script = files("gateway.console").joinpath("static/console.js").read_text("utf-8")

    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert word not in script
