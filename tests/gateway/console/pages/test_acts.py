"""What the forms do: with a role, after a note in the audit, and as jobs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.console.pages import event as event_page
from gateway.operations import dead_letters, quarantine
from gateway.operations.event_models import Payload, PayloadPlace
from gateway.operations.quarantine import Released
from support.console_pages import PagesConsole
from support.waiting import wait_until


def _follow(client: Any, answer: Any) -> Any:
    """Return the page of the job that a form started, once it has ended."""
    assert answer.status_code == 303, answer.text[:2000]
    path = answer.headers["location"]
    return wait_until(lambda: (page := client.get(path)) and 'data-refresh="1"' not in page.text and page)


def _wait_for(client: Any, path: str, text: str) -> Any:
    """Return a page as soon as it has a text."""
    return wait_until(lambda: (page := client.get(path)) and text in page.text and page)


def _audited(pages: PagesConsole) -> list[tuple[str, str]]:
    return [(entry.action, entry.target) for entry in pages.access.audit.entries()]


def test_dead_letters_are_redriven_as_a_job(pages: PagesConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a group; its page says how many, and the audit who."""
    asked: list[Any] = []

    async def redrive(_: Any, queue: str, chosen: Any, *, actor: str, on_progress: Any) -> int:
        asked.append((queue, chosen.group, chosen.ids, actor))
        on_progress(7, 7)
        return 7

    monkeypatch.setattr(dead_letters, "redrive", redrive)
    with pages.program("operator") as client:
        page = _follow(client, client.post("/redrive", data={"queue": "billing-agent", "group": "a1"}))

    assert asked == [("billing-agent", "a1", frozenset(), "operator 0")]
    assert "7 events were redriven." in page.text
    assert ("redrive", "billing-agent a1") in _audited(pages)


def test_a_job_that_fails_says_why(pages: PagesConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the words of the act."""

    async def redrive(*_: Any, **__: Any) -> int:
        raise OSError("the broker went away")

    monkeypatch.setattr(dead_letters, "redrive", redrive)
    with pages.program("operator") as client:
        page = _follow(client, client.post("/redrive", data={"queue": "billing-agent", "group": "a1"}))

    assert "the broker went away" in page.text
    assert "failed" in page.text


def test_a_release_says_what_stays(pages: PagesConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that still break the schema."""

    async def release(*_: Any, **__: Any) -> Released:
        return Released(17, 2)

    monkeypatch.setattr(quarantine, "release", release)
    with pages.program("operator") as client:
        page = _follow(client, client.post("/release", data={"group": "q1"}))

    assert "17 events were released. 2 events still break the schema" in page.text


def test_a_running_job_shows_its_progress_and_can_be_cancelled(
    pages: PagesConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends between two events."""

    async def redrive(*_: Any, on_progress: Any, **__: Any) -> int:
        on_progress(3, 7)
        await asyncio.Event().wait()
        return 7

    monkeypatch.setattr(dead_letters, "redrive", redrive)
    with pages.program("operator") as client:
        path = client.post("/redrive", data={"queue": "billing-agent", "group": "a1"}).headers["location"]
        running = _wait_for(client, path, "3 of 7")
        busy = client.post("/redrive", data={"queue": "billing-agent", "group": "a1"})
        client.post(f"{path}/cancel")
        ended = _wait_for(client, path, "cancelled")
        listed = client.get("/jobs")

    assert '<progress aria-label="Progress" value="3" max="7">' in running.text
    assert "a job works on billing-agent.dead already" in busy.text
    assert "data-refresh" not in ended.text
    assert path in listed.text


@pytest.mark.parametrize("confirmed", ["", "all", "-1", "7.5"])
def test_dropping_needs_the_number(pages: PagesConsole, confirmed: str) -> None:
    """Nothing begins without it."""
    form = {"kind": "dead_letters", "queue": "billing-agent", "group": "a1", "confirmed": confirmed}
    with pages.program("admin") as client:
        answer = client.post("/drop", data=form)

    assert answer.status_code == 422
    assert "Type the number of events to drop" in answer.text
    assert pages.services.jobs.all() == []


def test_dropping_passes_the_number_on(pages: PagesConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    """The act compares it with what is there."""
    asked: list[int] = []

    async def drop(*_: Any, confirmed: int, **__: Any) -> int:
        asked.append(confirmed)
        return confirmed

    monkeypatch.setattr(dead_letters, "drop", drop)
    form = {"kind": "dead_letters", "queue": "billing-agent", "group": "a1", "confirmed": "7"}
    with pages.program("admin") as client:
        page = _follow(client, client.post("/drop", data=form))

    assert asked == [7]
    assert "7 events were dropped." in page.text


def test_an_event_is_forgotten_only_if_its_id_is_typed(pages: PagesConsole) -> None:
    """Erasing cannot be undone."""
    form = {"provider": "stripe", "id": "evt_1QxDemoStory"}
    with pages.program("admin") as client:
        wrong = client.post("/forget", data={**form, "confirm": "evt_1"})
        kept = pages.journal.timeline("evt_1QxDemoStory")
        right = client.post("/forget", data={**form, "confirm": "evt_1QxDemoStory"})

    assert "Nothing was erased" in wrong.text
    assert len(kept) == 7
    assert right.status_code == 303
    assert pages.journal.timeline("evt_1QxDemoStory") == []


def test_values_of_a_payload_are_shown_to_operators_who_ask(
    pages: PagesConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That they did is in the audit; until then there is the shape."""

    async def read(*_: Any, is_whole: bool) -> Payload:
        data = {"amount": 2900} if is_whole else {"amount": "integer"}
        return Payload(
            PayloadPlace("archive", "", "In the archive."), is_whole, {"id": "evt", "data": data}, b"", {}
        )

    monkeypatch.setattr(event_page, "payload", read)
    path = "/events/stripe/evt_1QxDemoStory?tab=payload"
    with pages.program("operator") as client:
        shape = client.get(path)
        before = _audited(pages)
        whole = client.post("/event/values", data={"provider": "stripe", "id": "evt_1QxDemoStory"})
    with pages.program("viewer") as client:
        viewer = client.get(path)

    assert "integer" in shape.text
    assert before == []
    assert "2900" in whole.text
    assert ("payload.view", "stripe/evt_1QxDemoStory") in _audited(pages)
    assert "2900" not in viewer.text
    assert "Show the values" not in viewer.text


def test_a_token_is_shown_once(pages: PagesConsole) -> None:
    """When it is made; afterwards there is its name."""
    with pages.program("admin") as client:
        made = client.post("/tokens", data={"name": "ci", "role": "viewer", "days": "30"})
        later = client.get("/settings?tab=tokens")
        again = client.post("/tokens", data={"name": "ci", "role": "viewer", "days": ""})
        token = next(each for each in pages.access.tokens.list() if each.name == "ci")
        client.post("/tokens/revoke", data={"id": token.id})

    assert f"whgw_{token.id}_" in made.text
    assert f"whgw_{token.id}_" not in later.text
    assert "there is a token called" in again.text
    assert "ci" not in [each.name for each in pages.access.tokens.list()]
    assert [action for action, _ in _audited(pages)] == ["token.revoke", "token.create"]


@pytest.mark.parametrize(
    ("back", "leads_to"), [("/events?q=x", "/events?q=x"), ("//evil.test/", "/"), ("https://evil.test/", "/"), ("/\\evil.test", "/")]
)  # fmt: skip
def test_the_switch_leads_back_to_the_same_site(pages: PagesConsole, back: str, leads_to: str) -> None:
    """And sets its cookie."""
    with pages.program("viewer") as client:
        answer = client.post("/theme", data={"theme": "dark", "back": back})

    assert answer.headers["location"] == leads_to
    assert "theme=dark" in answer.headers["set-cookie"]


def test_the_configuration_has_no_secret(make_pages: Any) -> None:
    """Fingerprints and addresses without passwords."""
    console = make_pages(
        rabbitmq={"url": "amqp://guest:hunter2@broker/"}, redis={"url": "redis://:hunter3@store/"}
    )
    with console.program("viewer") as client:
        text = client.get("/settings?tab=configuration").text

    assert "hunter2" not in text
    assert "hunter3" not in text
    assert "whsec_for-the-demo" not in text
    assert "fingerprint " in text
    assert "broker/" in text


@pytest.mark.parametrize("path", ["/settings?tab=tokens", "/settings?tab=audit"])
def test_tokens_and_audit_are_for_admins(pages: PagesConsole, path: str) -> None:
    """Others see what the journal holds instead."""
    pages.access.audit.add("secret.deed", actor="alice")
    with pages.program("operator") as client:
        text = client.get(path).text

    assert "secret.deed" not in text
    assert "New token" not in text
