"""All pages: with data, empty, with a journal that cannot be read, and as each role sees them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.journal.memory import MemoryJournal
from support.console_pages import PATHS, PagesConsole, stand_in_for_queues

_FORM = re.compile(r'<form\b[^>]*method="post"[^>]*>.*?</form>', re.DOTALL)
JOURNAL_PATHS = (
    "/events",
    "/requests",
    "/events/stripe/evt_1QxDemoStory",
    "/live",
    "/providers",
    "/providers/stripe",
)


class BrokenJournal(MemoryJournal):
    """A journal whose file cannot be read."""

    def _fail(self, *_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/var/lib/gateway/journal/00000007.db")

    find = timeline = points = follow = position = state = _fail


@pytest.mark.parametrize("path", PATHS)
def test_each_page_is_shown_with_data(pages: PagesConsole, path: str) -> None:
    """Complete, with a title of its own, and only the event that nobody knows is not found."""
    with pages.program("admin") as client:
        answer = client.get(path)

    assert answer.status_code == (404 if "unknown" in path else 200), answer.text[:2000]
    assert answer.text.rstrip().endswith("</html>")
    assert re.search(r"<title>[^<]+ · Webhook Gateway</title>", answer.text)
    assert "render;dur=" in answer.headers["server-timing"]


@pytest.mark.parametrize("path", [path for path in PATHS if "evt_" not in path and "q1" not in path])
def test_each_page_is_shown_empty(make_pages: Any, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Nothing has happened yet: the page says what will be there."""
    stand_in_for_queues(monkeypatch, is_empty=True)

    with make_pages(is_empty=True).program("admin") as client:
        answer = client.get(path)

    assert answer.status_code == 200
    assert answer.text.rstrip().endswith("</html>")


@pytest.mark.parametrize("path", JOURNAL_PATHS)
def test_a_journal_that_cannot_be_read_is_named(pages: PagesConsole, path: str) -> None:
    """Which file, why, and that events flow all the same."""
    pages.services.journal = BrokenJournal()

    with pages.program("viewer") as client:
        answer = client.get(path)

    assert answer.status_code == 503
    assert "/var/lib/gateway/journal/00000007.db: Permission denied" in answer.text
    assert "Events flow all the same" in answer.text


def test_the_first_page_shows_the_rest_without_a_journal(pages: PagesConsole) -> None:
    """What the broker says is worth knowing then more than ever."""
    pages.services.journal = BrokenJournal()

    with pages.program("viewer") as client:
        answer = client.get("/")

    assert answer.status_code == 200
    assert "00000007.db: Permission denied" in answer.text
    assert "orders-agent has no consumer" in answer.text


@pytest.mark.parametrize("path", PATHS)
def test_each_form_that_writes_has_its_token(pages: PagesConsole, path: str) -> None:
    """Without it the request of a form is refused."""
    with pages.program("admin") as client:
        forms = _FORM.findall(client.get(path).text)

    assert forms  # the switch between light and dark is on every page
    assert all(re.search(r'<input type="hidden" name="csrf" value="[^"]+">', form) for form in forms)


@pytest.mark.parametrize("path", PATHS)
def test_viewers_see_no_form_that_changes_anything(pages: PagesConsole, path: str) -> None:
    """They may choose between light and dark, and log out."""
    with pages.program("viewer") as client:
        forms = _FORM.findall(client.get(path).text)

    assert {re.search(r'action="([^"]*)"', form)[1] for form in forms} <= {"/theme", "/logout"}  # type: ignore[index]


@pytest.mark.parametrize(("role", "may_drop"), [("operator", False), ("admin", True)])
@pytest.mark.parametrize("path", ["/dead-letters", "/quarantine/q1"])
def test_only_admins_may_drop(pages: PagesConsole, role: str, may_drop: bool, path: str) -> None:
    """Operators redrive and release."""
    with pages.program(role) as client:
        text = client.get(path).text

    assert ('action="/drop"' in text) is may_drop
    assert 'action="/redrive"' in text or 'action="/release"' in text


@pytest.mark.parametrize(
    "path", ["/redrive", "/release", "/route", "/drop", "/forget", "/tokens", "/event/values"]
)
def test_viewers_are_refused_what_they_do_not_see(pages: PagesConsole, path: str) -> None:
    """Hiding a form is no protection."""
    with pages.program("viewer") as client:
        answer = client.post(path, data={"id": "evt_1"})

    assert answer.status_code == 403
    assert "this needs the role" in answer.text.lower()


def test_somebody_who_is_not_in_sees_the_way_in(pages: PagesConsole) -> None:
    """The login form, and nothing of the console."""
    with pages.browser() as client:
        answer = client.get("/events")
        login = client.get(answer.headers["location"])

    assert answer.status_code == 303
    assert "gateway console link" in login.text
    assert "/quarantine" not in login.text


def test_a_page_that_does_not_exist_says_so(pages: PagesConsole) -> None:
    """With the navigation, so that one finds on."""
    with pages.program("viewer") as client:
        answer = client.get("/nowhere")

    assert answer.status_code == 404
    assert 'href="/events"' in answer.text
