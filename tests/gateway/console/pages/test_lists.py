"""The lists, the search field, single entries, and the export."""

from __future__ import annotations

import json
import re

from gateway.journal.entry import Kind
from gateway.journal.entry_ids import format_entry_id
from gateway.journal.query import Query
from support.console_pages import PagesConsole


def test_a_search_for_an_id_leads_to_the_event(pages: PagesConsole) -> None:
    """To its page, if it is the id of one."""
    with pages.program("viewer") as client:
        answer = client.get("/search?q=evt_1QxDemoStory")

    assert answer.headers["location"] == "/events/stripe/evt_1QxDemoStory"


def test_a_search_for_a_subject_leads_to_the_list(pages: PagesConsole) -> None:
    """An object can have many events."""
    with pages.program("viewer") as client:
        answer = client.get("/search?q=in_1QxDemoStory")

    assert answer.headers["location"] == "/events?q=in_1QxDemoStory"


def test_a_search_for_what_nobody_knows_leads_to_the_answer(pages: PagesConsole) -> None:
    """An event that is not there has a page of its own."""
    with pages.program("viewer") as client:
        answer = client.get("/search?q=evt_lost")
        page = client.get(answer.headers["location"])

    assert page.status_code == 404
    assert "The journal has no entry of this event" in page.text
    assert "What to do" in page.text


def test_a_search_with_conditions_leads_to_the_list(pages: PagesConsole) -> None:
    """Also if one of its words is not understood: the list says which."""
    with pages.program("viewer") as client:
        conditions = client.get("/search?q=provider:stripe+outcome:dead")
        wrong = client.get(client.get("/search?q=providr:stripe").headers["location"])

    assert conditions.headers["location"] == "/events?q=provider%3Astripe+outcome%3Adead"
    assert wrong.status_code == 400
    assert "did you mean provider:" in wrong.text


def test_each_condition_has_a_chip_that_drops_it(pages: PagesConsole) -> None:
    """And nothing else."""
    with pages.program("viewer") as client:
        text = client.get("/events?q=provider:stripe+outcome:handled").text

    chips = re.findall(r'<a class="chip on mono" href="([^"]*)">', text)
    assert chips == ["/events?q=outcome%3Ahandled", "/events?q=provider%3Astripe"]


def test_an_event_has_one_line_with_what_happened_last(pages: PagesConsole) -> None:
    """Its other entries are counted."""
    with pages.program("viewer") as client:
        text = client.get("/events?q=evt_1QxDemoStory").text

    rows = [row for row in re.findall(r"<tr.*?</tr>", text, re.DOTALL) if "data-open" in row]
    assert len(rows) == 1
    assert "handled" in rows[0]
    assert "7 entries" in rows[0]


def test_requests_have_a_line_each(pages: PagesConsole) -> None:
    """Repetitions are requests, attempts of workers are none."""
    with pages.program("viewer") as client:
        text = client.get("/requests?q=evt_1QxDemoStory").text

    rows = [row for row in re.findall(r"<tr.*?</tr>", text, re.DOTALL) if "data-open" in row]
    assert len(rows) == 4
    assert not any("billing-agent" in row for row in rows)


def test_pages_follow_each_other_without_a_gap(pages: PagesConsole) -> None:
    """Each request is on one of them."""
    found: list[str] = []
    path = "/requests?q=provider:stripe"
    with pages.program("viewer") as client:
        while path:
            text = client.get(path).text
            found += re.findall(r'data-open href="([^"]+)"', text)
            following = re.search(r'<a class="button small" href="([^"]+)" rel="next">', text)
            path = following[1].replace("&amp;", "&") if following else ""
    expected = pages.journal.find(Query(kinds=(Kind.RECEIVED,), providers=("stripe",)), limit=1000).entries

    assert len(found) == len(expected)


def test_a_list_without_a_match_says_what_to_drop(pages: PagesConsole) -> None:
    """With how many there are then."""
    with pages.program("viewer") as client:
        text = client.get("/events?q=provider:slack+outcome:dead").text

    assert "Nothing matches" in text
    assert re.search(r"without (provider|outcome)</a>", text)


def test_a_position_that_was_not_made_here_is_refused(pages: PagesConsole) -> None:
    """It says what is wrong with the address."""
    with pages.program("viewer") as client:
        answer = client.get("/events?before=nonsense")

    assert answer.status_code == 400
    assert "no id of an entry" in answer.text


def test_an_entry_without_an_event_has_a_page(pages: PagesConsole) -> None:
    """Such as a refused request; one that is gone is not found."""
    entry = pages.journal.find(Query(outcomes=("invalid_signature",)), limit=1).entries[0]
    with pages.program("viewer") as client:
        found = client.get(f"/entries/{format_entry_id(entry.id)}")
        gone = client.get(f"/entries/{format_entry_id(entry.id + 5)}")
        wrong = client.get("/entries/x")

    assert entry.reason in found.text
    assert (found.status_code, gone.status_code, wrong.status_code) == (200, 404, 404)


def test_selected_events_are_exported_as_lines_of_json(pages: PagesConsole) -> None:
    """As a file to download, which no browser shows."""
    with pages.program("viewer") as client:
        answer = client.get("/export?event=stripe/evt_1QxDemoStory&event=stripe/evt_1QxDemoStory")

    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[0]["outcome"] == "accepted"
    assert len(lines) == 7
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
