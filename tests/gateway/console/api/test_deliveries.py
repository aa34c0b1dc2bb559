"""Deliveries, replays and messages over the API: lists that lose nothing, attempts as they were, and what people do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.outbound.models import DeliveryState, Format, Subscription
from support.console import Console
from support.delivery_scene import Scene, endpoint_at, ids_of, keep, outbound, with_way_out

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "evt_agent_1",
    "source": "/agents/billing-agent",
    "type": "agent.run.completed",
    "data": {"run_id": "run_1", "status": "completed"},
}


class Api:
    """A console with a way out.

    Args:
        folder: Its data directory.
    """

    def __init__(self, folder: Path) -> None:
        self.console = Console(folder, {"outbound": outbound()})
        self.scene: Scene = with_way_out(self.console, hostile="<script>\x1b[2J\u202e")
        self._tokens: dict[str, str] = {}
        self._stack = ExitStack()
        self._client = self._stack.enter_context(self.console.browser())

    def close(self) -> None:
        """End it."""
        self._stack.close()
        self.console.access.close()

    def call(self, method: str, path: str, role: str = "operator", body: Any = None, **headers: str) -> Any:
        """Return an answer."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        if content is not None:
            fields.setdefault("content-type", "application/json")
        token = self._tokens.setdefault(role, "") or self.console.token(role)
        self._tokens[role] = token
        fields["authorization"] = f"Bearer {token}"
        return self._client.request(method, f"/api/v1{path}", content=content, headers=fields)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """An API with deliveries in every state."""
    made = Api(tmp_path / "data")
    yield made
    made.close()


def test_deliveries_are_listed_newest_first(api: Api) -> None:
    """Each with its endpoint, its event and its last result."""
    page = api.call("GET", "/deliveries", "viewer").json()
    scene = api.scene

    expected = [scene.theirs, scene.held, scene.pending, scene.dead, scene.delivered]
    assert ids_of(page["data"]) == [each.id for each in expected]
    assert page["next"] is None
    dead = page["data"][3]
    assert (dead["state"], dead["status"], dead["outcome"], dead["attempts"]) == ("dead", 503, "status", 2)
    assert (dead["endpoint_title"], dead["event_id"], dead["type"]) == (
        "crm",
        "evt_out_2",
        "stripe.invoice.paid",
    )


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state=dead", ["dead"]),
        ("state=pending,held", ["theirs", "held", "pending"]),
        ("outcome=delivered", ["delivered"]),
        ("status=503", ["dead"]),
        ("event=evt_out_3", ["pending"]),
        ("type=stripe.invoice.*&state=delivered", ["delivered"]),
        ("type=github.%23", []),
        ("order=asc&state=delivered,dead", ["delivered", "dead"]),
    ],
)
def test_filters_narrow(api: Api, query: str, names: list[str]) -> None:
    """All of them at once."""
    page = api.call("GET", f"/deliveries?{query}").json()

    assert ids_of(page["data"]) == [getattr(api.scene, name).id for name in names]


def test_a_message_an_endpoint_and_a_time_narrow(api: Api) -> None:
    """By their ids."""
    scene = api.scene
    for query in (
        f"message={scene.dead.message}",
        f"endpoint={scene.failing.id}&state=dead",
        f"since={scene.dead.created_at}&until={scene.dead.created_at + 1}",
    ):
        assert ids_of(api.call("GET", f"/deliveries?{query}").json()["data"]) == [scene.dead.id]
    of_endpoint = api.call("GET", f"/endpoints/{scene.failing.id}/deliveries").json()
    assert ids_of(of_endpoint["data"]) == [scene.pending.id, scene.dead.id]


@pytest.mark.parametrize(
    "query", ["state=lost", "limit=0", "limit=251", "order=up", "status=99", "nonsense=1", "cursor=x"]
)
def test_what_cannot_be_understood_is_said(api: Api, query: str) -> None:
    """As a problem, with its place."""
    response = api.call("GET", f"/deliveries?{query}")

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_pages_give_each_delivery_once_while_others_arrive(api: Api, order: str) -> None:
    """A cursor belongs to its query."""
    scene = api.scene
    before = [each.id for each in (scene.delivered, scene.dead, scene.pending, scene.held, scene.theirs)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.call("GET", f"/deliveries?limit=2&order={order}&cursor={cursor}").json()
        seen += ids_of(page["data"])
        if page["next"] is None:
            break
        cursor = page["next"]
        asyncio.run(keep(scene.store, scene.well, 100 + len(seen), time.time()))
    in_order = before if order == "asc" else before[::-1]

    assert [each for each in seen if each in before] == in_order
    assert len(seen) == len(set(seen))
    assert api.call("GET", f"/deliveries?state=dead&cursor={cursor}").status_code == 400


def test_lines_export_all(api: Api) -> None:
    """One object a line, through all pages, with the filter."""
    for number in range(300):
        asyncio.run(keep(api.scene.store, api.scene.well, 1000 + number, time.time()))
    response = api.call("GET", "/deliveries?limit=1", accept="application/x-ndjson")
    lines = [orjson.loads(line) for line in response.content.splitlines()]

    assert response.headers["content-type"].startswith("application/x-ndjson")
    assert len(lines) == len({each["id"] for each in lines}) == 305
    dead = api.call("GET", "/deliveries?state=dead", accept="application/x-ndjson")
    assert [orjson.loads(line)["id"] for line in dead.content.splitlines()] == [api.scene.dead.id]


def test_attempts_are_shown_as_they_were(api: Api) -> None:
    """With phases, and what the endpoint answered as text."""
    first, second = api.call("GET", f"/deliveries/{api.scene.dead.id}/attempts", "viewer").json()["data"]

    assert (first["number"], first["outcome"], first["status"]) == (1, "timeout_head", None)
    assert (second["number"], second["status"], second["phases"]["head"]) == (2, 503, 98.3)
    assert second["excerpt"] == "<script>\x1b[2J\u202e"
    assert not second["test"]


def test_a_redelivery_begins_a_new_round(api: Api) -> None:
    """Of what is dead, and of what was delivered; the journal hears who did it."""
    for delivery in (api.scene.dead, api.scene.delivered):
        response = api.call("POST", f"/deliveries/{delivery.id}/redeliver")
        assert response.status_code == 200
        view = response.json()
        assert (view["state"], view["round"], view["attempts"], view["trigger"]) == (
            "pending",
            1,
            0,
            "manual",
        )
        assert view["message"] == delivery.message
    actions = [each.action for each in api.console.access.audit.entries()]
    assert actions.count("delivery.redeliver") == 2


def test_what_was_forgotten_is_not_redelivered(api: Api) -> None:
    """410, and the history stays."""
    dead = api.scene.dead
    assert api.call("DELETE", f"/messages/{dead.message}/data", "admin").status_code == 204
    response = api.call("POST", f"/deliveries/{dead.id}/redeliver")

    assert (response.status_code, response.json()["reason"]) == (410, "data_gone")
    attempts = api.call("GET", f"/deliveries/{dead.id}/attempts").json()["data"]
    assert [each["excerpt"] for each in attempts] == ["", ""]
    shown = api.call("GET", f"/messages/{dead.message}").json()
    assert (shown["has_data"], shown["event"], shown["subject"]) == (False, None, "")


def test_a_waiting_delivery_is_cancelled(api: Api) -> None:
    """One that has ended is not."""
    for delivery in (api.scene.pending, api.scene.held):
        assert api.call("POST", f"/deliveries/{delivery.id}/cancel").json()["state"] == "cancelled"
    response = api.call("POST", f"/deliveries/{api.scene.dead.id}/cancel")
    assert (response.status_code, response.json()["reason"]) == (409, "conflict")


def test_a_replay_is_counted_and_then_done(api: Api) -> None:
    """By default dead and held deliveries; as an operation with its numbers."""
    path = f"/endpoints/{api.scene.failing.id}/replay"
    dry = api.call("POST", path, body={"dry_run": True})
    assert (dry.status_code, dry.json()) == (200, {"count": 1})

    response = api.call("POST", path, body={"rate": 100})
    assert response.status_code == 202
    operation = response.json()
    assert (operation["total"], operation["done"], operation["state"]) == (1, 0, "running")
    assert operation["actor"].startswith("operator")
    found = api.call("GET", f"/operations/{operation['id']}", "viewer").json()
    assert found["id"] == operation["id"]
    view = api.call("GET", f"/deliveries/{api.scene.dead.id}").json()
    assert (view["state"], view["trigger"], view["operation"]) == ("pending", "replay", operation["id"])

    ended = api.call("DELETE", f"/operations/{operation['id']}")
    assert (ended.status_code, ended.json()["state"]) == (200, "cancelled")
    assert api.call("GET", f"/deliveries/{api.scene.dead.id}").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    "body", [{"rate": 0}, {"rate": -1}, {"states": ["lost"]}, {"since": "x"}, {"what": 1}]
)
def test_a_replay_that_cannot_be_understood_is_422(api: Api, body: dict[str, Any]) -> None:
    """And nothing begins."""
    response = api.call("POST", f"/endpoints/{api.scene.failing.id}/replay", body=body)

    assert response.status_code == 422
    assert api.call("GET", f"/deliveries/{api.scene.dead.id}").json()["state"] == "dead"


def test_an_event_is_published_once(api: Api) -> None:
    """202 with its deliveries, then 200; the deliveries have its bytes."""
    agents = (Subscription(events=("billing-agent.agent.run.#",)),)
    wanted = endpoint_at("https://a.example.com/", time.time(), "agents", subscriptions=agents)
    asyncio.run(api.scene.store.put_endpoint(wanted, 0))
    first = api.call("POST", "/messages", body=EVENT, content_type="application/cloudevents+json")
    again = api.call("POST", "/messages", body=EVENT)

    assert (first.status_code, first.json()["status"], first.json()["deliveries"]) == (202, "accepted", 1)
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert again.json()["id"] == first.json()["id"]
    (delivery,) = api.call("GET", f"/deliveries?message={first.json()['id']}").json()["data"]
    assert (delivery["endpoint"], delivery["state"]) == (wanted.id, "pending")
    shown = api.call("GET", f"/messages/{first.json()['id']}").json()
    assert (shown["key"], shown["event"]) == ("billing-agent.agent.run.completed", EVENT)
    assert "payload.view" in [each.action for each in api.console.access.audit.entries()]
    assert api.call("GET", f"/messages/{first.json()['id']}", "viewer").json()["event"] is None


def test_a_list_has_an_answer_for_each(api: Api) -> None:
    """What is no event is refused by itself."""
    batch = [EVENT, {"id": "x"}, {**EVENT, "id": "evt_agent_2"}, EVENT]
    response = api.call("POST", "/messages", body=batch, content_type="application/cloudevents-batch+json")

    assert response.status_code == 202
    answers = response.json()["data"]
    assert [each["status"] for each in answers] == ["accepted", "refused", "accepted", "duplicate"]
    assert "source" in answers[1]["detail"]


@pytest.mark.parametrize(
    ("body", "media_type", "status", "reason"),
    [
        (b"{", "application/json", 422, "invalid_body"),
        (orjson.dumps({**EVENT, "type": ""}), "application/json", 422, "invalid_body"),
        (orjson.dumps({**EVENT, "data": "x" * 65536}), "application/json", 413, "body_too_large"),
        (b"x" * (1024 * 1024 + 1), "application/json", 413, "body_too_large"),
        (orjson.dumps([EVENT] * 101), "application/cloudevents-batch+json", 422, "invalid_body"),
        (b"[]", "application/cloudevents-batch+json", 422, "invalid_body"),
        (b"{}", "application/cloudevents-batch+json", 400, "malformed_json"),
        (orjson.dumps(EVENT), "text/plain", 415, "unsupported_media_type"),
    ],
)  # fmt: skip
def test_what_is_no_event_is_refused(
    api: Api, body: bytes, media_type: str, status: int, reason: str
) -> None:
    """With its reason, and nothing of the event."""
    response = api.call("POST", "/messages", body=body, content_type=media_type)

    assert (response.status_code, response.json()["reason"]) == (status, reason)


def test_what_is_not_there_is_404(api: Api) -> None:
    """Whatever it is."""
    for method, path in (
        ("GET", "/deliveries/dlv_x"),
        ("GET", "/deliveries/dlv_x/attempts"),
        ("POST", "/deliveries/dlv_x/redeliver"),
        ("POST", "/deliveries/dlv_x/cancel"),
        ("GET", "/operations/op_x"),
        ("DELETE", "/operations/op_x"),
        ("GET", "/messages/msg_x"),
        ("GET", "/endpoints/ep_x/deliveries"),
    ):
        response = api.call(method, path)
        assert (response.status_code, response.json()["reason"]) == (404, "not_found")


def test_a_repeated_key_does_nothing_twice(api: Api) -> None:
    """A redelivery with the same key begins one round."""
    path = f"/deliveries/{api.scene.dead.id}/redeliver"
    first, second = (api.call("POST", path, idempotency_key="once") for _ in range(2))

    assert first.json() == second.json()
    assert second.headers["idempotency-replayed"] == "true"
    assert api.call("GET", f"/deliveries/{api.scene.dead.id}").json()["round"] == 1
    found = asyncio.run(api.scene.store.delivery(api.scene.dead.id))
    assert found
    assert found.state is DeliveryState.PENDING


def test_a_single_attempt_is_asked_for(api: Api) -> None:
    """Without a body there are retries, as before."""
    path = f"/deliveries/{api.scene.dead.id}/redeliver"

    assert api.call("POST", path, body={"retries": False}).json()["retries"] is False
    assert api.call("POST", path, body={}).json()["retries"] is True
    assert api.call("POST", path).json()["retries"] is True
    assert api.call("POST", path, body={"retries": "no"}).status_code == 422


def test_a_replay_chooses_by_what_events_say_and_takes_the_oldest(api: Api) -> None:
    """The dry run says how many; those that the conditions do not meet stay as they are."""
    scene, now = api.scene, time.time()
    for number in range(60, 66):
        asyncio.run(keep(scene.store, scene.well, number, now + number, state=DeliveryState.HELD))
    path = f"/endpoints/{scene.well.id}/replay"
    where = {"/data/amount": {"gte": 62}}

    for body, count in (
        ({"where": where}, 4),
        ({"where": [where, {"/data/amount": {"eq": 60}}]}, 5),
        ({"where": where, "limit": 3}, 3),
        ({"limit": 5}, 5),
        ({"states": ["pending"]}, 0),
        ({"where": {"/data/nothing": {"exists": True}}}, 0),
        ({"events": ["stripe.invoice/paid"]}, 6),
    ):
        assert api.call("POST", path, body={**body, "dry_run": True}).json() == {"count": count}
        with_page = api.call("POST", path, body={**body, "dry_run": True, "rate": 1000})
        assert with_page.status_code == 200
    begun = api.call("POST", path, body={"where": where, "limit": 3}).json()
    assert begun["total"] == 3
    held = api.call("GET", f"/deliveries?endpoint={scene.well.id}&state=held").json()["data"]
    assert [each["event_id"] for each in held] == ["evt_out_65", "evt_out_61", "evt_out_60"]


def test_only_admins_have_receivers_act_again(api: Api) -> None:
    """With a new `webhook-id`, which the audit has; also a dry run of that is theirs."""
    path, delivery = f"/endpoints/{api.scene.failing.id}/replay", api.scene.dead
    for dry_run in (True, False):
        response = api.call("POST", path, body={"as_new": True, "dry_run": dry_run})
        assert (response.status_code, response.json()["reason"]) == (403, "forbidden")
    assert api.call("POST", path, "admin", {"as_new": True}).json()["total"] == 1

    view = api.call("GET", f"/deliveries/{delivery.id}").json()
    assert view["message"] == delivery.message
    assert view["webhook_id"].startswith("msg_")
    assert view["webhook_id"] != delivery.message
    targets = [each.target for each in api.console.access.audit.entries() if each.action == "endpoint.replay"]
    assert targets == [f"{api.scene.failing.id} as new"]


def test_ids_within_a_providers_body_stay(api: Api) -> None:
    """So that a replay as new of the format original is refused."""
    original = endpoint_at("https://o.example.com/", time.time(), "original", format=Format.ORIGINAL)
    asyncio.run(api.scene.store.put_endpoint(original, 0))
    response = api.call("POST", f"/endpoints/{original.id}/replay", "admin", {"as_new": True})

    assert (response.status_code, response.json()["reason"]) == (422, "invalid_body")


@pytest.mark.parametrize(
    "body",
    [
        {"where": {"data/amount": {"eq": 1}}},
        {"where": {"/data/amount": {"like": "1"}}},
        {"where": {"/data/amount": 1}},
        {"where": [{f"/{number}": {"eq": 1}} for number in range(17)]},
        {"limit": 0},
        {"states": []},
        {"events": [""]},
        {"since": 1e308},
    ],
)
def test_conditions_that_are_none_are_refused(api: Api, body: dict[str, Any]) -> None:
    """Whether it is only counted or not; a moment far off is one."""
    expected = 200 if "since" in body else 422
    for dry_run in (True, False):
        response = api.call(
            "POST", f"/endpoints/{api.scene.failing.id}/replay", body={**body, "dry_run": dry_run}
        )
        assert response.status_code == (expected if dry_run or expected == 422 else 202), response.text


@pytest.mark.parametrize("path", ["/deliveries", "/messages"])
@pytest.mark.parametrize("moment", ["nan", "inf", "-inf", "1e400", "1e308", "-1e308", "x"])
def test_moments_far_off_are_no_trouble(api: Api, path: str, moment: str) -> None:
    """They are refused, or have nothing."""
    for name in ("since", "until"):
        assert api.call("GET", f"{path}?{name}={moment}").status_code in {200, 400}


def test_messages_are_listed_newest_first(api: Api) -> None:
    """Events are left out, even if the token may see payloads."""
    scene = api.scene
    page = api.call("GET", "/messages", "viewer").json()

    expected = [scene.theirs, scene.held, scene.pending, scene.dead, scene.delivered]
    assert ids_of(page["data"]) == [each.message for each in expected]
    assert page["next"] is None
    assert {each["event"] for each in page["data"]} == {None}
    assert {each["has_data"] for each in page["data"]} == {True}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("event=evt_out_3", ["pending"]),
        ("type=stripe.invoice.*&limit=1", ["theirs"]),
        ("type=github.%23", []),
        ("provider=stripe", ["theirs", "held", "pending", "dead", "delivered"]),
        ("provider=github", []),
    ],
)
def test_filters_narrow_messages(api: Api, query: str, names: list[str]) -> None:
    """All of them at once."""
    page = api.call("GET", f"/messages?{query}").json()

    assert ids_of(page["data"]) == [getattr(api.scene, name).message for name in names]


def test_pages_give_each_message_once_while_others_arrive(api: Api) -> None:
    """A cursor belongs to its query, and to its list."""
    scene, seen, cursor = api.scene, [], ""
    before = [each.message for each in (scene.theirs, scene.held, scene.pending, scene.dead, scene.delivered)]
    while True:
        page = api.call("GET", f"/messages?limit=2&cursor={cursor}").json()
        seen += ids_of(page["data"])
        if page["next"] is None:
            break
        cursor = page["next"]
        asyncio.run(keep(scene.store, scene.well, 100 + len(seen), time.time()))

    assert seen == before
    for path in (f"/messages?provider=stripe&cursor={cursor}", f"/deliveries?cursor={cursor}"):
        response = api.call("GET", path)
        assert (response.status_code, response.json()["reason"]) == (400, "invalid_cursor")


def test_a_message_has_its_deliveries(api: Api) -> None:
    """One for each endpoint, with the filters of a list."""
    path = f"/messages/{api.scene.dead.message}/deliveries"

    assert ids_of(api.call("GET", path, "viewer").json()["data"]) == [api.scene.dead.id]
    assert api.call("GET", f"{path}?state=held").json()["data"] == []
    assert api.call("GET", "/messages/msg_x/deliveries").status_code == 404
