"""The pages of endpoints and deliveries: what they say, and what their forms do."""

from __future__ import annotations

import asyncio
import re
import time
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.console.pages.delivery_wording import outcome_words
from gateway.outbound.models import DeliveryState
from gateway.outbound.outcomes import Outcome
from support.console import hidden_fields
from support.console_pages import PagesConsole
from support.delivery_scene import HEADER_VALUE, SECRET, endpoint_at, outbound
from support.receivers import Receiver, respond

SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def console(make_pages: Any) -> PagesConsole:
    """A console with endpoints."""
    made: PagesConsole = make_pages()
    return made


def post(console: PagesConsole, path: str, role: str = "operator", **fields: str) -> Any:
    """Send a form as a browser does, and return the answer."""
    with console.browser() as client:
        principal = console.access.tokens.principal(console.token(role))
        assert principal
        client.cookies.set("gateway-session-8081", console.access.sessions.begin(principal))
        csrf = hidden_fields(client.get("/settings").text)["csrf"]
        return client.post(path, data={"csrf": csrf, **fields}, headers=SAME)


def page(console: PagesConsole, path: str, role: str = "operator") -> str:
    """Return a page; it shows no secret."""
    with console.program(role) as client:
        answer = client.get(path)
    assert answer.status_code == 200
    assert SECRET not in answer.text
    assert HEADER_VALUE not in answer.text
    return str(answer.text)


def delivery(console: PagesConsole, delivery_id: str) -> Any:
    """Return a delivery as the store has it."""
    return asyncio.run(console.scene.store.delivery(delivery_id))


def test_an_endpoint_says_how_it_is(console: PagesConsole) -> None:
    """In words, with what waits, and its secrets by fingerprint."""
    text = page(console, f"/endpoints/{console.scene.failing.id}")

    assert "7 attempts in a row failed" in text
    assert console.scene.failing.secrets[0].id in text
    assert "X-Key" in text
    assert page(console, "/endpoints").index("old.example.com") < page(console, "/endpoints").index(
        "billing.example.com"
    )


def test_viewers_see_and_do_not_act(console: PagesConsole) -> None:
    """No form, and none that could be sent."""
    scene = console.scene
    for path in (f"/endpoints/{scene.failing.id}", f"/deliveries/{scene.dead.id}"):
        assert not re.search(
            r'<form action="/(endpoints|deliveries)/[^"]*" method="post"', page(console, path, "viewer")
        )
    assert post(console, f"/deliveries/{scene.dead.id}", "viewer", action="redeliver").status_code == 403
    assert delivery(console, scene.dead.id).state is DeliveryState.DEAD


def test_an_endpoint_is_paused_disabled_and_enabled(console: PagesConsole) -> None:
    """Each with its message, and in the audit."""
    path = f"/endpoints/{console.scene.well.id}"
    for action, state in (("pause", "paused"), ("disable", "disabled")):
        assert post(console, f"{path}/state", action=action).headers["location"] == f"{path}?done={state}"
        assert state in page(console, path)
    assert post(console, f"{path}/state", action="enable", untested="1", resume="none").status_code == 303
    assert "Disable</button>" in page(console, path)
    actions = [each.action for each in console.access.audit.entries()]
    assert {"endpoint.pause", "endpoint.disable", "endpoint.enable"} <= set(actions)
    assert post(console, f"{path}/state", action="explode").status_code == 400


def test_an_endpoint_that_fails_its_test_stays_disabled(make_pages: Any) -> None:
    """The page says why; what the test got is shown as text."""
    with Receiver(respond(500, b"<script>alert(1)</script>")) as receiver:
        console: PagesConsole = make_pages(outbound=outbound(receiver.port))
        local = endpoint_at(receiver.url, time.time(), "local")
        asyncio.run(console.scene.store.put_endpoint(local, 0))
        post(console, f"/endpoints/{local.id}/state", action="disable")
        refused = post(console, f"/endpoints/{local.id}/state", action="enable")
        tested = post(console, f"/endpoints/{local.id}/test", type="gateway.test")
        verified = post(console, f"/endpoints/{local.id}/verify")

    assert "does not take a test event" in refused.text
    assert "500 refused" in tested.text
    assert "&lt;script&gt;alert(1)" in tested.text
    assert "<script>alert" not in tested.text
    assert "Not verified" in verified.text


def test_a_delivery_is_redelivered_and_cancelled(console: PagesConsole) -> None:
    """From its page and from that of its event."""
    scene = console.scene
    text = page(console, f"/deliveries/{scene.dead.id}")
    assert "503 refused" in text
    assert "No answer in time" in text
    event = page(console, "/events/stripe/evt_1QxDemoStory")
    assert f'href="/deliveries/{scene.dead.id}"' in event
    assert f'action="/deliveries/{scene.dead.id}"' in event

    answer = post(console, f"/deliveries/{scene.dead.id}", action="redeliver")
    assert answer.headers["location"].endswith("?done=delivery_renewed")
    assert delivery(console, scene.dead.id).state is DeliveryState.PENDING
    post(console, f"/deliveries/{scene.dead.id}", action="cancel")
    assert delivery(console, scene.dead.id).state is DeliveryState.CANCELLED
    again = post(console, f"/deliveries/{scene.dead.id}", action="cancel")
    assert "has ended already" in again.text


def test_a_replay_has_a_dry_run(console: PagesConsole) -> None:
    """And a page that says how far it is, and cancels the rest."""
    scene = console.scene
    path = f"/endpoints/{scene.failing.id}/replay"
    assert "1 delivery would begin anew" in page(console, f"{path}?states=dead")
    assert delivery(console, scene.dead.id).state is DeliveryState.DEAD
    assert "There is no such delivery" in page(console, f"{path}?states=dead&type=github.%23")
    assert "is not a time" in page(console, f"{path}?states=dead&since=soon")

    leads_to = post(console, path, states="dead", rate="5").headers["location"]
    assert "0 of 1" in page(console, leads_to)
    post(console, f"{leads_to}/cancel")
    assert "cancelled" in page(console, leads_to)
    assert delivery(console, scene.dead.id).state is DeliveryState.CANCELLED


def test_a_delivery_is_tried_once(console: PagesConsole) -> None:
    """Its page says that there is one attempt."""
    path = f"/deliveries/{console.scene.dead.id}"

    assert post(console, path, action="once").headers["location"].endswith("?done=delivery_tried")
    assert delivery(console, console.scene.dead.id).retries is False
    assert "one attempt alone" in page(console, path)


def test_a_replay_asks_what_events_say(console: PagesConsole) -> None:
    """What is wrong in the form is said in the form, which keeps what was typed."""
    scene = console.scene
    path = f"/endpoints/{scene.failing.id}/replay"
    met, not_met = '{"/data/amount": {"lte": 2}}', '[{"/data/amount": {"gt": 2}}]'
    for fields, expected in (
        ({"where": met}, "1 delivery would begin anew"),
        ({"where": not_met}, "There is no such delivery"),
        ({"where": "{"}, "where: is not JSON"),
        ({"where": '{"/x": {"like": "y"}}'}, "is no operator"),
        ({"limit": "many"}, "limit: a number"),
        ({"limit": "0"}, "limit: 1 or more"),
        ({"rate": "fast"}, "rate: a number"),
        ({"rate": "nan"}, "rate: from above 0"),
        ({"since": "soon"}, "is not a time"),
    ):
        asked = page(console, f"{path}?{urlencode({'states': 'dead', **fields})}")
        sent = post(console, path, states="dead", **fields) if "anew" not in expected else None
        for text in (asked, *([sent.text] if sent and sent.status_code == 200 else [])):
            assert expected in text
            assert "where" not in fields or f">{fields['where']}</textarea>" in unescape(text)
    assert delivery(console, scene.dead.id).state is DeliveryState.DEAD
    assert post(console, path, states="dead", where=met).status_code == 303
    assert delivery(console, scene.dead.id).state is DeliveryState.PENDING


def test_admins_alone_replay_with_new_ids(console: PagesConsole) -> None:
    """Others do not see the choice, and cannot make it."""
    scene = console.scene
    path = f"/endpoints/{scene.failing.id}/replay"
    assert 'name="as_new"' not in page(console, path)
    assert 'name="as_new"' in page(console, path, "admin")

    assert post(console, path, states="dead", as_new="1").status_code == 403
    assert post(console, path, "admin", states="dead", as_new="1").status_code == 303
    assert delivery(console, scene.dead.id).webhook_id
    assert "given by a replay" in page(console, f"/deliveries/{scene.dead.id}")


def test_deliveries_are_filtered_and_paged(console: PagesConsole) -> None:
    """What is empty says what to do next."""
    scene = console.scene
    assert scene.dead.id in page(console, "/deliveries?state=dead")
    assert scene.dead.id not in page(console, "/deliveries?state=held")
    assert "Nothing matches" in page(console, "/deliveries?type=nothing")
    older = page(console, f"/deliveries?before={scene.pending.id}")
    assert scene.delivered.id in older
    assert scene.held.id not in older


@pytest.fixture
def off(make_pages: Any) -> PagesConsole:
    """A console without a way out."""
    made: PagesConsole = make_pages(is_empty=True, outbound={"enabled": False})
    made.services.outbound = None
    return made


@pytest.mark.parametrize("path", ["/endpoints", "/deliveries"])
def test_without_a_way_out_the_pages_say_how_to_begin(off: PagesConsole, path: str) -> None:
    """And what is behind them is not found."""
    assert "Nothing is delivered to endpoints here" in page(off, path)
    with off.program("admin") as client:
        assert client.get("/endpoints/ep_x").status_code == 404


def test_what_is_not_there_is_404(console: PagesConsole) -> None:
    """With a page."""
    with console.program("admin") as client:
        for path in ("/endpoints/ep_x", "/endpoints/ep_x/replay", "/deliveries/dlv_x", "/replays/op_x"):
            assert client.get(path).status_code == 404


def test_a_database_that_is_away_is_503(console: PagesConsole) -> None:
    """And the page of an event is shown without its deliveries."""
    console.services.outbound = None
    with console.program("admin") as client:
        assert client.get("/deliveries").status_code == 503
    assert "Deliveries to endpoints" not in page(console, "/events/stripe/evt_1QxDemoStory")


@pytest.mark.parametrize("outcome", list(Outcome))
def test_every_outcome_has_words(outcome: Outcome) -> None:
    """None of them is the word of the program."""
    assert "_" not in outcome_words(outcome, None)
