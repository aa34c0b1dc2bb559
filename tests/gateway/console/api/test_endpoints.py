"""Endpoints over the API: made, shown, changed, deleted, tested and verified; and that no answer has a secret."""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from starlette.testclient import TestClient

from gateway.outbound.models import EndpointState, Health
from support.console import Console
from support.delivery_scene import HEADER_VALUE, SECRET, Scene, endpoint_at, outbound, with_way_out
from support.receivers import Receiver, hang, redirect, respond

BODY: dict[str, Any] = {
    "url": "https://billing.example.com/hooks",
    "subscriptions": [{"events": ["stripe.invoice.*"]}],
}


class Api:
    """A console with a way out, and a client of each role.

    Args:
        folder: Its data directory.
        port: A port of this machine that endpoints may have.
    """

    def __init__(self, folder: Path, port: int = 443) -> None:
        self.console = Console(folder, {"outbound": outbound(port)})
        self.scene: Scene = with_way_out(self.console)
        self.texts: list[str] = []

    def call(
        self, method: str, path: str, role: str = "admin", body: Any = None, **headers: str
    ) -> tuple[int, Any, Any]:
        """Return status, JSON and header fields of an answer."""
        with self.console.program(role) as client:
            return self.ask(client, method, path, body, **headers)

    def ask(
        self, client: TestClient, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any, Any]:
        """Return an answer to a client that is there already."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else orjson.dumps(body)
        if content is not None:
            fields.setdefault("content-type", "application/json")
        response = client.request(method, f"/api/v1{path}", content=content, headers=fields)
        self.texts.append(response.text)
        return response.status_code, response.json() if response.content else None, response.headers


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    """An API with endpoints and deliveries; no answer of it has a secret."""
    made = Api(tmp_path / "data")
    yield made
    made.console.access.close()
    for text in made.texts:
        assert SECRET not in text
        assert HEADER_VALUE not in text


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that answers 200."""
    with Receiver() as made:
        yield made


def at(api: Api, url: str, **changes: Any) -> str:
    """Add an endpoint at an address, and return its id."""
    endpoint = endpoint_at(url, time.time(), "local", **changes)
    asyncio.run(api.scene.store.put_endpoint(endpoint, 0))
    return endpoint.id


def test_an_endpoint_is_made_and_its_secret_shown_once(api: Api) -> None:
    """With an address, an entity tag, and a secret that fits Standard Webhooks."""
    status, made, headers = api.call("POST", "/endpoints", body=BODY)

    assert status == 201
    (secret,) = made["secrets"]
    assert len(base64.b64decode(secret["secret"].removeprefix("whsec_"))) == 32
    assert headers["location"] == f"/api/v1/endpoints/{made['endpoint']['id']}"
    assert headers["etag"] == made["endpoint"]["etag"] == '"1"'

    _, shown, _ = api.call("GET", f"/endpoints/{made['endpoint']['id']}", "viewer")
    assert shown == made["endpoint"]
    assert shown["state"] == "enabled"
    assert [each["id"] for each in shown["secrets"]] == [secret["id"]]
    assert secret["secret"] not in orjson.dumps(shown).decode()
    assert len(shown["secrets"][0]["fingerprint"]) == 8


def test_a_repeated_creation_does_not_show_the_secret_again(api: Api) -> None:
    """It is done once."""
    with api.console.program("admin") as client:
        first = api.ask(client, "POST", "/endpoints", BODY, idempotency_key="k1")
        again = api.ask(client, "POST", "/endpoints", BODY, idempotency_key="k1")
        other = api.ask(client, "POST", "/endpoints", {**BODY, "name": "x"}, idempotency_key="k1")

    assert first[0] == 201
    assert (again[0], again[1]["reason"]) == (409, "secret_already_shown")
    assert (other[0], other[1]["reason"]) == (422, "idempotency_key_reused")
    assert first[1]["secrets"][0]["secret"] not in str(again[1])
    _, page, _ = api.call("GET", "/endpoints")
    assert len(page["data"]) == 5


def test_one_that_is_not_enabled_is_held(api: Api) -> None:
    """From the beginning."""
    _, made, _ = api.call("POST", "/endpoints", body={**BODY, "enabled": False})

    assert made["endpoint"]["state"] == "disabled"
    assert made["endpoint"]["reason"] == "manual"


@pytest.mark.parametrize(
    ("changes", "reason", "place"),
    [
        ({"url": "http://127.0.0.1:6379/"}, "url_refused", "url"),
        ({"url": "https://169.254.169.254/latest"}, "url_refused", "url"),
        ({"url": "https://user@billing.example.com/"}, "url_refused", "url"),
        ({"url": "ftp://billing.example.com/"}, "url_refused", "url"),
        ({"subscriptions": [{"events": ["a\nb"]}]}, "invalid_body", "subscriptions.0.events.0"),
        ({"subscriptions": [{"events": []}]}, "invalid_body", "subscriptions"),
        (
            {"subscriptions": [{"events": ["#"], "where": {"/data/x": {"matches": 1}}}]},
            "invalid_body",
            "where",
        ),
        ({"subscriptions": [{"events": ["#"], "where": {"/data/x": {"gt": True}}}]}, "invalid_body", "where"),
        ({"secret": "whsec_short"}, "secret_invalid", "secret"),
        ({"headers": {"Host": "evil"}}, "invalid_body", "headers.Host"),
        ({"headers": {"X-A": "a\r\nb: c"}}, "invalid_body", "headers.X-A"),
        ({"rate": "fast"}, "invalid_body", "rate"),
        ({"ordering": "data"}, "invalid_body", "ordering"),
        ({"on_dead": "hold"}, "invalid_body", "on_dead"),
        ({"headers": {"SVIX-Signature": "v1"}}, "invalid_body", "headers.SVIX-Signature"),
        ({"format": "original", "sign_as": "nobody"}, "invalid_body", "sign_as"),
        ({"format": "original", "sign_as": "paypal"}, "invalid_body", "sign_as: receivers of paypal"),
        (
            {"format": "original", "sign_as": "svix", "secret": "not base64, at all"},
            "secret_invalid",
            "secret: cannot sign as svix",
        ),
        ({"timeout": 31}, "invalid_body", "timeout"),
        ({"unknown": 1}, "invalid_body", "unknown"),
        ({"tenant": "ACME"}, "invalid_body", "tenant"),
    ],
)
def test_what_is_wrong_is_said_and_where(api: Api, changes: dict[str, Any], reason: str, place: str) -> None:
    """As the configuration would say it; nothing is made."""
    status, problem, _ = api.call("POST", "/endpoints", body={**BODY, **changes})

    assert (status, problem["reason"]) == (422, reason)
    assert place in problem["detail"]
    assert len(api.call("GET", "/endpoints")[1]["data"]) == 4


def test_every_setting_comes_back(api: Api) -> None:
    """But for secrets and values of headers."""
    settings = {
        "name": "crm two",
        "tenant": "acme",
        "description": "for the crm",
        "headers": {"X-Key": HEADER_VALUE},
        "format": "cloudevents",
        "signature": "ed25519",
        "rate": "50/s",
        "concurrency": 4,
        "ordering": "/data/object/id",
        "on_dead": "hold",
        "timeout": 5.0,
        "give_up_on": [400, 422],
        "max_pending": 10,
    }
    status, made, _ = api.call("POST", "/endpoints", body={**BODY, **settings})

    assert status == 201
    shown = made["endpoint"]
    assert shown["header_names"] == ["X-Key"]
    assert shown["rate"] == 50.0
    expected = {name: value for name, value in settings.items() if name not in {"headers", "rate"}}
    assert {name: shown[name] for name in expected} == expected
    assert shown["public_key"].startswith("whpk_")


def test_a_change_needs_the_version_that_was_read(api: Api) -> None:
    """And leaves the rest as it was."""
    path = f"/endpoints/{api.scene.well.id}"
    _, before, headers = api.call("GET", path)
    status, after, changed = api.call(
        "PATCH", path, body={"description": "new", "rate": "10/m"}, if_match=headers["etag"]
    )

    assert status == 200
    assert changed["etag"] == after["etag"] != before["etag"]
    assert {
        **before,
        "description": "new",
        "rate": 10 / 60,
        "etag": after["etag"],
        "changed_at": after["changed_at"],
    } == after

    status, problem, _ = api.call("PATCH", path, body={"description": "x"}, if_match=headers["etag"])
    assert (status, problem["reason"]) == (412, "version_changed")
    assert api.call("PATCH", path, body={"rate": None}, if_match="*")[1]["rate"] is None
    assert api.call("DELETE", path, if_match='"1"')[0] == 412


def test_a_deleted_endpoint_is_gone_and_its_deliveries_cancelled(api: Api) -> None:
    """What was delivered stays in the history."""
    path = f"/endpoints/{api.scene.failing.id}"
    assert api.call("DELETE", path)[0] == 204

    assert api.call("GET", path)[0] == 404
    assert api.call("DELETE", path)[0] == 404
    assert api.call("GET", f"/deliveries/{api.scene.pending.id}")[1]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"description": "x"}),
        ("DELETE", "", None),
        ("POST", "/secrets", {}),
        ("DELETE", "/secrets/sec_0", None),
    ],
)
def test_configured_endpoints_are_read_only(api: Api, method: str, path: str, body: Any) -> None:
    """The answer names the place in the configuration."""
    configured = endpoint_at("https://a.example.com/", time.time(), "conf", id="ep_conf", is_configured=True)
    asyncio.run(api.scene.store.put_endpoint(configured, 0))

    status, problem, _ = api.call(method, f"/endpoints/ep_conf{path}", body=body)

    assert (status, problem["reason"]) == (409, "endpoint_configured")
    assert "endpoints.conf" in problem["detail"]
    assert api.call("POST", "/endpoints/ep_conf/pause")[0] == 200


def test_secrets_rotate(api: Api) -> None:
    """The new one stands first, the old one signs for a while; a fingerprint is all that lists have."""
    path = f"/endpoints/{api.scene.well.id}/secrets"
    status, made, _ = api.call("POST", path, body={"expire_previous": "2h"})
    assert status == 201
    assert made["secret"].startswith("whsec_")

    _, listed, _ = api.call("GET", path, "viewer")
    assert [each["id"] for each in listed["data"]] == [made["id"], api.scene.well.secrets[0].id]
    assert listed["data"][0]["expires_at"] is None
    assert listed["data"][1]["expires_at"] == pytest.approx(time.time() + 7200, abs=600)

    status, problem, _ = api.call("DELETE", f"{path}/{made['id']}")
    assert (status, problem["reason"]) == (409, "conflict")
    assert api.call("DELETE", f"{path}/{api.scene.well.secrets[0].id}")[0] == 204
    assert [each["id"] for each in api.call("GET", path)[1]["data"]] == [made["id"]]
    assert api.call("DELETE", f"{path}/sec_unknown")[0] == 404


def test_secrets_are_five_at_most_and_end_within_a_week(api: Api) -> None:
    """Zero ends those before at once."""
    path = f"/endpoints/{api.scene.well.id}/secrets"
    for _ in range(4):
        assert api.call("POST", path, body={})[0] == 201
    status, problem, _ = api.call("POST", path, body={})
    assert (status, problem["reason"]) == (409, "limit_reached")
    assert api.call("POST", path, body={"expire_previous": "8d"})[0] == 422
    assert api.call("POST", path, body={"expire_previous": "soon"})[0] == 422
    assert api.call("POST", path, body={"expire_previous": "0s"})[0] == 201
    assert len(api.call("GET", path)[1]["data"]) == 1


def test_a_secret_of_ones_own_is_taken_and_never_listed(api: Api) -> None:
    """If it is one."""
    path = f"/endpoints/{api.scene.failing.id}/secrets"
    own = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    status, made, _ = api.call("POST", path, body={"secret": own})

    assert (status, made["secret"]) == (201, own)
    assert own not in str(api.call("GET", path)[1])
    assert api.call("POST", path, body={"secret": "whsec_x"})[1]["reason"] == "secret_invalid"


def test_paused_and_disabled_are_said(api: Api) -> None:
    """A disabled one cannot be paused."""
    path = f"/endpoints/{api.scene.well.id}"
    assert api.call("POST", f"{path}/pause", "operator")[1]["state"] == "paused"
    disabled = api.call("POST", f"{path}/disable", "operator")[1]
    assert (disabled["state"], disabled["reason"]) == ("disabled", "manual")
    assert api.call("POST", f"{path}/pause", "operator")[0] == 409


def test_a_test_event_is_sent_signed_and_shown_whole(tmp_path: Path, receiver: Receiver) -> None:
    """By the client of all deliveries, with the whole attempt as the answer."""
    receiver.behave(respond(200, b"\x1b[31mthanks"))
    api = Api(tmp_path, receiver.port)
    endpoint_id = at(api, receiver.url)

    status, attempt, _ = api.call(
        "POST", f"/endpoints/{endpoint_id}/test", "operator", {"type": "agent.run.failed"}
    )

    assert status == 200
    assert (attempt["test"], attempt["outcome"], attempt["status"]) == (True, "delivered", 200)
    assert attempt["excerpt"] == "\x1b[31mthanks"
    assert attempt["trigger"] == "test"
    (request,) = receiver.requests
    event = orjson.loads(request.body)
    assert event["type"] == "agent.run.failed"
    assert event["data"]["run_id"].startswith("run_test_")
    assert request.headers["webhook-id"] == attempt["message"]
    assert request.headers["webhook-signature"].startswith("v1,")
    api.console.access.close()


def test_a_test_event_is_by_default_one_that_the_endpoint_wants(tmp_path: Path, receiver: Receiver) -> None:
    """A sample of the provider that it subscribes to; else a plain test."""
    api = Api(tmp_path, receiver.port)
    wanted, other = at(api, receiver.url), at(api, receiver.url, subscriptions=())
    api.call("POST", f"/endpoints/{wanted}/test", body={})
    api.call("POST", f"/endpoints/{other}/test", body={})

    first, second = (orjson.loads(each.body) for each in receiver.wait_for(2))
    assert first["provider"] == "stripe"
    assert first["type"].startswith("com.stripe.invoice.")
    assert first["test"] is True
    assert second["type"] == "gateway.test"
    status, problem, _ = api.call("POST", f"/endpoints/{wanted}/test", body={"type": "stripe.no.such"})
    assert status == 422
    assert "stripe" in problem["detail"]
    api.console.access.close()


def test_tests_are_limited(tmp_path: Path, receiver: Receiver) -> None:
    """Ten a minute: each is a request that somebody else has to answer."""
    api = Api(tmp_path, receiver.port)
    path = f"/endpoints/{at(api, receiver.url)}/test"
    answers = [api.call("POST", path, body={}) for _ in range(11)]

    assert [status for status, _, _ in answers] == [200] * 10 + [429]
    assert answers[-1][1]["reason"] == "rate_limited"
    assert answers[-1][2]["retry-after"] == "6"
    api.console.access.close()


@pytest.mark.parametrize(
    "behaviour", [respond(500), redirect(302, "http://127.0.0.1/"), hang], ids=lambda each: each.name
)
def test_enabling_needs_a_test_event_that_is_taken(
    tmp_path: Path, receiver: Receiver, behaviour: Any
) -> None:
    """Otherwise the endpoint stays disabled; without the test it is enabled all the same."""
    receiver.behave(behaviour)
    api = Api(tmp_path, receiver.port)
    endpoint_id = at(api, receiver.url, timeout=1.0)
    api.call("POST", f"/endpoints/{endpoint_id}/disable")
    path = f"/endpoints/{endpoint_id}/enable"

    status, problem, _ = api.call("POST", path, body={})

    assert (status, problem["reason"]) == (409, "test_failed")
    assert api.call("GET", f"/endpoints/{endpoint_id}")[1]["state"] == "disabled"
    receiver.behave(respond(204))
    assert api.call("POST", path, body={})[1]["state"] == "enabled"
    api.call("POST", f"/endpoints/{endpoint_id}/disable")
    receiver.behave(respond(500))
    assert api.call("POST", path, body={"test": False})[1]["state"] == "enabled"
    api.console.access.close()


@pytest.mark.parametrize(
    ("resume", "expected"), [("all", "pending"), ("none", "cancelled"), (0.0, "pending")]
)
def test_enabling_decides_about_what_was_held(api: Api, resume: Any, expected: str) -> None:
    """All, none, or since a moment."""
    scene = api.scene
    body = {"resume": resume, "test": False}
    status, view, _ = api.call("POST", f"/endpoints/{scene.disabled.id}/enable", body=body)

    assert (status, view["state"], view["failures"]) == (200, "enabled", 0)
    assert api.call("GET", f"/deliveries/{scene.held.id}")[1]["state"] == expected


def test_an_endpoint_verifies_by_the_handshake(tmp_path: Path, receiver: Receiver) -> None:
    """And may say how many requests it takes a minute."""
    receiver.behave(respond(200, fields={"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "120"}))
    api = Api(tmp_path, receiver.port)
    status, found, _ = api.call("POST", f"/endpoints/{at(api, receiver.url)}/verify")

    assert (status, found["is_verified"], found["way"]) == (200, True, "handshake")
    assert found["endpoint"]["is_verified"]
    assert found["endpoint"]["rate"] == 2.0
    (request,) = receiver.requests
    assert request.method == "OPTIONS"
    assert request.headers["webhook-request-origin"]
    api.console.access.close()


def test_an_endpoint_that_does_neither_is_not_verified(tmp_path: Path, receiver: Receiver) -> None:
    """It is asked by a handshake and by a challenge."""
    api = Api(tmp_path, receiver.port)
    status, found, _ = api.call("POST", f"/endpoints/{at(api, receiver.url)}/verify")

    assert (status, found["is_verified"], found["way"]) == (200, False, "")
    assert not found["endpoint"]["is_verified"]
    assert [each.method for each in receiver.requests] == ["OPTIONS", "POST"]
    assert orjson.loads(receiver.requests[1].body)["type"] == "gateway.endpoint.verification"
    api.console.access.close()


def test_lists_go_on_at_a_cursor(api: Api) -> None:
    """Each endpoint once, newest first."""
    seen, cursor = [], ""
    while True:
        status, page, _ = api.call("GET", f"/endpoints?limit=2&cursor={cursor}")
        assert status == 200
        seen += [each["id"] for each in page["data"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    scene = api.scene

    assert seen == [each.id for each in (scene.foreign, scene.disabled, scene.failing, scene.well)]
    assert api.call("GET", "/endpoints?cursor=forged")[0] == 400
    assert api.call("GET", "/endpoints?limit=251")[0] == 400


def test_a_view_says_how_an_endpoint_is(api: Api) -> None:
    """Circuit, failures, and what waits."""
    _, view, _ = api.call("GET", f"/endpoints/{api.scene.failing.id}", "viewer")

    assert (view["circuit"], view["failures"], view["pending"], view["dead"]) == ("open", 7, 1, 1)
    assert view["oldest_pending"] == api.scene.pending.created_at


def test_everything_is_in_the_audit_without_values(api: Api) -> None:
    """Who, what, which fields."""
    api.call("POST", "/endpoints", body={**BODY, "headers": {"X-Key": HEADER_VALUE}, "secret": None})
    api.call("POST", f"/endpoints/{api.scene.well.id}/pause")
    entries = api.console.access.audit.entries()
    found = {each.action: each.target for each in entries if each.action.startswith("endpoint")}

    assert "headers" in found["endpoint.create"]
    assert HEADER_VALUE not in str(entries)
    assert found["endpoint.pause"] == api.scene.well.id


def test_nothing_is_there_while_the_way_out_is_off(tmp_path: Path) -> None:
    """The answer says what to set."""
    console = Console(tmp_path)
    with console.program("admin") as client:
        response = client.get("/api/v1/endpoints")
    console.access.close()

    assert response.status_code == 422
    assert "outbound.enabled" in response.json()["detail"]


def test_a_database_that_is_away_is_503(tmp_path: Path) -> None:
    """With a time to try again."""
    console = Console(tmp_path, {"outbound": outbound()})
    with console.program("admin") as client:
        response = client.get("/api/v1/endpoints")
    console.access.close()

    assert response.status_code == 503
    assert response.json()["reason"] == "deliveries_unavailable"
    assert response.headers["retry-after"] == "5"


def test_health_is_by_a_person(api: Api) -> None:
    """So that every process hears of it."""
    version = asyncio.run(api.scene.store.version())
    api.call("POST", f"/endpoints/{api.scene.well.id}/pause")

    assert asyncio.run(api.scene.store.version()) > version
    found = asyncio.run(api.scene.store.endpoint(api.scene.well.id))
    assert found
    assert found[1] == Health(
        endpoint=api.scene.well.id, state=EndpointState.PAUSED, succeeded_at=found[1].succeeded_at
    )
