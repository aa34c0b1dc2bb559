"""The pages of endpoints and deliveries: what they say, and what their forms do."""

from __future__ import annotations

import asyncio
import re
import time
from html import unescape
from typing import Any
from urllib.parse import urlencode

import pytest
from msgspec.structs import replace

from gateway.console.pages.delivery_wording import outcome_words
from gateway.outbound.models import DeliveryState, Endpoint, EndpointState, Health, Subscription
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
    """The page of the delivery shows a single attempt without retries."""
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


NEW = {"url": "https://new.example.com/hooks", "events": "stripe.invoice.*\ngithub.#", "enabled": "1"}


def endpoint_named(console: PagesConsole, name: str) -> tuple[Endpoint, Health]:
    """Return the endpoint with a name."""
    found = asyncio.run(console.scene.store.endpoints())
    ((endpoint, health),) = [each for each in found if each[0].name == name]
    return endpoint, health


def test_an_endpoint_is_made_and_its_secret_shown_once(console: PagesConsole) -> None:
    """On a page that is not compressed; the audit has the names of fields, and no value."""
    form = {**NEW, "name": "new", "where": '{"/data/amount": {"gte": 1}}', "headers": "X-A: a:b\r\nX-B: c"}
    answer = post(console, "/endpoints", "admin", **form)
    made, health = endpoint_named(console, "new")

    assert answer.status_code == 200
    assert made.secrets[0].value in answer.text
    assert "content-encoding" not in answer.headers
    assert made.secrets[0].value not in page(console, f"/endpoints/{made.id}", "admin")
    assert made.headers == {"X-A": "a:b", "X-B": "c"}
    assert made.subscriptions[0].events == ("stripe.invoice.*", "github.#")
    assert made.subscriptions[0].where == ({"/data/amount": {"gte": 1}},)
    assert health.state is EndpointState.ENABLED
    (entry,) = [each for each in console.access.audit.entries() if each.action == "endpoint.create"]
    assert "headers" in entry.target
    assert "new.example.com" not in entry.target

    post(console, "/endpoints", "admin", **{**NEW, "name": "later", "enabled": ""})
    assert endpoint_named(console, "later")[1].state is EndpointState.DISABLED


@pytest.mark.parametrize(
    ("fields", "place", "text"),
    [
        ({"url": "http://new.example.com/"}, "url", "is not encrypted"),
        ({"url": "https://127.0.0.1/"}, "url", ""),
        ({"events": " "}, "events", "name at least one pattern"),
        ({"events": "a\x01b"}, "events", ""),
        ({"where": "{"}, "where", "is not JSON"),
        ({"where": '{"/x": {"like": 1}}'}, "where", "like is no operator"),
        ({"headers": "X-A"}, "headers", "one a line"),
        ({"headers": "Host: a"}, "headers", "Host: is a header that the gateway writes itself"),
        ({"rate": "fast"}, "rate", "is not a rate"),
        ({"concurrency": "0"}, "concurrency", ""),
        ({"concurrency": "many"}, "concurrency", "is not a number"),
        ({"timeout": "31"}, "timeout", ""),
        ({"give_up_on": "200"}, "give_up_on", "400 to 599"),
        ({"ordering": "sideways"}, "ordering", "must be none, subject, or a JSON pointer"),
        ({"on_dead": "hold"}, "on_dead", "hold needs an order"),
        ({"secret": "whsec_short"}, "secret", "base64"),
        ({"format": "original", "sign_as": "paypal"}, "sign_as", "fetch its public keys"),
        ({"format": "xml"}, "format", ""),
        ({"tenant": "ACME"}, "tenant", ""),
        ({"name": "x" * 101}, "name", ""),
    ],
)
def test_a_mistake_is_shown_at_its_field(
    console: PagesConsole, fields: dict[str, str], place: str, text: str
) -> None:
    """What was typed is still there, but for a secret; nothing is made."""
    answer = post(console, "/endpoints", "admin", **{**NEW, "name": "new", **fields})

    assert answer.status_code == 200
    shown = re.search(rf'id="wrong-{place}">([^<]*)<', answer.text)
    assert shown, answer.text
    assert text in unescape(shown[1])
    assert "github.#" in answer.text or place == "events"
    assert "whsec_short" not in answer.text
    assert len(asyncio.run(console.scene.store.endpoints())) == 4


def test_an_endpoint_is_changed_and_nothing_else(console: PagesConsole) -> None:
    """What the form does not show stays: secrets, values of headers, hostile texts."""
    before = console.scene.well
    path = f"/endpoints/{before.id}/edit"
    fields = {name: unescape(value) for name, value in typed(page(console, path, "admin")).items()}
    assert fields["url"] == before.url
    assert fields["events"] == "stripe.invoice.*"
    assert post(console, path, "admin", **fields).headers["location"].endswith("?done=endpoint_changed")
    same, _ = endpoint_named(console, "billing")
    assert replace(same, version=1, changed_at=0) == replace(before, version=1, changed_at=0)

    post(console, path, "admin", **{**fields, "etag": "", "rate": "600/m", "description": "of the shop"})
    changed, _ = endpoint_named(console, "billing")
    assert (changed.rate, changed.description, changed.headers) == (10.0, "of the shop", before.headers)
    again = typed(page(console, path, "admin"))
    assert again["rate"] == "10/s"
    post(console, path, "admin", **{**again, "rate": "", "no_headers": "1"})
    changed, _ = endpoint_named(console, "billing")
    assert (changed.rate, changed.headers) == (None, {})


def typed(text: str) -> dict[str, str]:
    """Return what stands in the fields of a form."""
    inputs = re.findall(r'<input(?: type="hidden")? name="(\w+)" value="([^"]*)"', text)
    areas = re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>([^<]*)</textarea>', text)
    chosen = re.findall(r'<select name="(\w+)"[^>]*>(?:(?!</select>).)*?<option value="(\w+)" selected', text)
    found = {name: value for name, value in (*inputs, *areas, *chosen) if name not in {"csrf", "q"}}
    return {name: unescape(value) for name, value in found.items()}


def test_who_comes_late_is_told(console: PagesConsole) -> None:
    """Somebody else has changed the endpoint meanwhile."""
    path = f"/endpoints/{console.scene.well.id}/edit"
    fields = typed(page(console, path, "admin"))
    post(console, path, "admin", **{**fields, "name": "first"})
    late = post(console, path, "admin", **{**fields, "name": "second"})

    assert "somebody has changed" in late.text or "is at" in late.text
    endpoint_named(console, "first")


def test_several_subscriptions_are_json(console: PagesConsole) -> None:
    """As the API has them; they stay as they are unless they are changed."""
    two = (Subscription(events=("a.#",)), Subscription(events=("b.#",), where=({"/x": {"eq": 1}},)))
    made = endpoint_at("https://two.example.com/", time.time(), "two", subscriptions=two)
    asyncio.run(console.scene.store.put_endpoint(made, 0))
    path = f"/endpoints/{made.id}/edit"
    fields = typed(page(console, path, "admin"))
    post(console, path, "admin", **{**fields, "description": "both"})
    kept, _ = endpoint_named(console, "two")
    assert (kept.subscriptions, kept.description) == (two, "both")

    fields = typed(page(console, path, "admin"))
    wrong = post(console, path, "admin", **{**fields, "subscriptions": "[1]"})
    assert "is not JSON such as" in wrong.text
    post(console, path, "admin", **{**fields, "subscriptions": '[{"events": ["c.#"]}]'})
    assert endpoint_named(console, "two")[0].subscriptions == (Subscription(events=("c.#",)),)


def test_an_endpoint_is_deleted_by_its_name(console: PagesConsole) -> None:
    """That is typed; another one deletes nothing."""
    path = f"/endpoints/{console.scene.well.id}/delete"

    assert "another name" in post(console, path, "admin", confirm="crm").text
    assert post(console, path, "admin", confirm="billing").headers["location"].startswith("/endpoints?")
    with console.program("admin") as client:
        assert client.get(f"/endpoints/{console.scene.well.id}").status_code == 404


def test_secrets_rotate(console: PagesConsole) -> None:
    """The new one is shown once, the one before ends; the last one cannot be ended."""
    path = f"/endpoints/{console.scene.well.id}/secrets"
    answer = post(console, path, "admin", expire_previous="1h")
    made, _ = endpoint_named(console, "billing")
    new, old = made.secrets
    assert new.value in answer.text
    assert SECRET not in answer.text
    assert old.expires_at is not None

    assert "only secret" in post(console, f"{path}/end", "admin", secret_id=new.id).text
    assert post(console, f"{path}/end", "admin", secret_id=old.id).status_code == 303
    assert endpoint_named(console, "billing")[0].secrets == (new,)
    assert "does not begin with whsec_" in post(console, path, "admin", secret="mine").text
    assert "not complete" in post(console, path, "admin", expire_previous="1y").text
    assert post(console, f"{path}/end", "admin", secret_id="sec_x").status_code == 404


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_admins_make_and_change_endpoints(console: PagesConsole, role: str) -> None:
    """Others see no such form, and cannot send one."""
    path = f"/endpoints/{console.scene.well.id}"
    for shown in (page(console, path, role), page(console, "/endpoints", role)):
        assert not re.search(r'(href|action)="/endpoints/(new|[^"/]+/(edit|delete|secrets))"', shown)
    for form in ("", "/edit", "/delete", "/secrets", "/secrets/end"):
        answer = post(console, f"{path}{form}" if form else "/endpoints", role, **NEW, confirm="billing")
        assert answer.status_code == 403
    with console.program(role) as client:
        assert client.get("/endpoints/new").status_code == 403
        assert client.get(f"{path}/edit").status_code == 403
    assert len(asyncio.run(console.scene.store.endpoints())) == 4


def test_configured_endpoints_are_read_only(console: PagesConsole) -> None:
    """The page says where they are changed; their state is everybody's."""
    made = endpoint_at("https://c.example.com/", time.time(), "fixed", id="ep_fixed", is_configured=True)
    asyncio.run(console.scene.store.put_endpoint(made, 0))
    shown = page(console, "/endpoints/ep_fixed", "admin")

    assert "where it is changed" in shown
    assert not re.search(r'(href|action)="/endpoints/ep_fixed/(edit|delete|secrets)', shown)
    for form in ("edit", "delete", "secrets", "secrets/end"):
        answer = post(console, f"/endpoints/ep_fixed/{form}", "admin", **NEW, confirm="fixed")
        assert "is in the configuration file" in answer.text
    assert post(console, "/endpoints/ep_fixed/state", action="pause").status_code == 303
    kept, health = endpoint_named(console, "fixed")
    assert (kept.url, kept.secrets, health.state) == (made.url, made.secrets, EndpointState.PAUSED)
