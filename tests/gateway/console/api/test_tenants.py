"""The token of a tenant: it sees and changes what is the tenant's, and of everything else it learns nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from starlette.testclient import TestClient

from gateway.console.api.operation import Operation
from gateway.console.api.table import OPERATIONS
from support.console import Console, hidden_fields, log_in
from support.console_pages import PagesConsole
from support.delivery_scene import Scene, outbound, with_way_out
from support.receivers import Receiver, respond

BODY = {"url": "https://acme.example.com/hooks", "subscriptions": [{"events": ["#"]}]}


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """A console with endpoints of acme and of others."""
    made = Console(tmp_path / "data", {"outbound": outbound()})
    yield made
    made.access.close()


@pytest.fixture
def scene(console: Console) -> Scene:
    """Its endpoints and deliveries."""
    return with_way_out(console)


@pytest.fixture
def acme(console: Console) -> Iterator[TestClient]:
    """A client with the token of acme."""
    with console.browser() as client:
        text = console.access.tokens.create("acme", "tenant:acme", "test")[1]
        client.headers["authorization"] = f"Bearer {text}"
        yield client


def path_of(operation: Operation, scene: Scene) -> str:
    """Return the path of an operation on what is somebody else's."""
    known = {
        "endpoints": scene.well.id,
        "deliveries": scene.delivered.id,
        "messages": scene.delivered.message,
    }
    first = operation.segments[0]
    parts = [
        (known.get(first, "x") if part == "{id}" else "x") if part.startswith("{") else part
        for part in operation.segments
    ]
    return "/api/v1/" + "/".join(parts)


OTHERS = [each for each in OPERATIONS if not each.is_for_tenants]
OWN = [each for each in OPERATIONS if each.is_for_tenants and "{id}" in each.path]


def name_of(operation: Operation) -> str:
    """Return method and path."""
    return f"{operation.method} {operation.path}"


@pytest.mark.parametrize("operation", OTHERS, ids=name_of)
def test_the_rest_of_the_api_is_not_there(acme: TestClient, scene: Scene, operation: Operation) -> None:
    """404, as for a path that does not exist."""
    response = acme.request(operation.method, path_of(operation, scene))

    assert (response.status_code, response.json()["reason"]) == (404, "not_found")


@pytest.mark.parametrize("operation", OWN, ids=name_of)
def test_what_others_have_is_not_there(acme: TestClient, scene: Scene, operation: Operation) -> None:
    """404, as for an id that does not exist: the same words, whether it is there or not."""
    headers = {"content-type": "application/json"} if operation.body else {}
    content = b"{}" if operation.body else None
    path = path_of(operation, scene)
    response = acme.request(operation.method, path, content=content, headers=headers)
    unknown = acme.request(operation.method, path.replace("_", "_x", 1), content=content, headers=headers)

    assert (response.status_code, response.json()["reason"]) == (404, "not_found")
    assert unknown.status_code == 404
    assert unknown.json()["title"] == response.json()["title"]


def test_lists_have_ones_own_alone(acme: TestClient, scene: Scene) -> None:
    """Endpoints and deliveries; also where the filter names somebody else's."""
    endpoints = acme.get("/api/v1/endpoints").json()["data"]
    deliveries = acme.get("/api/v1/deliveries").json()["data"]

    assert [each["id"] for each in endpoints] == [scene.foreign.id]
    assert [each["id"] for each in deliveries] == [scene.theirs.id]
    assert acme.get(f"/api/v1/deliveries?endpoint={scene.well.id}").json()["data"] == []
    assert acme.get(f"/api/v1/endpoints/{scene.foreign.id}/deliveries").json()["data"] == deliveries
    lines = acme.get("/api/v1/deliveries", headers={"accept": "application/x-ndjson"}).content.splitlines()
    assert [orjson.loads(line)["id"] for line in lines] == [scene.theirs.id]
    messages = acme.get("/api/v1/messages").json()["data"]
    assert [each["id"] for each in messages] == [scene.theirs.message]
    of_message = acme.get(f"/api/v1/messages/{scene.theirs.message}/deliveries").json()["data"]
    assert of_message == deliveries
    assert acme.get("/api/v1/session").json()["tenant"] == "acme"


def test_ones_own_delivery_is_shown_and_redelivered(acme: TestClient, scene: Scene) -> None:
    """All of it."""
    path = f"/api/v1/deliveries/{scene.theirs.id}"
    assert acme.get(path).json()["id"] == scene.theirs.id
    assert acme.get(f"{path}/attempts").json() == {"data": []}
    assert acme.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert acme.post(f"{path}/redeliver").json()["state"] == "pending"
    assert acme.get(f"/api/v1/messages/{scene.theirs.message}").json()["event"]["id"] == "evt_out_5"


def test_a_tenant_cannot_have_receivers_act_again(acme: TestClient, scene: Scene) -> None:
    """That is for admins; the rest of a replay is the tenant's."""
    path = f"/api/v1/endpoints/{scene.foreign.id}/replay"

    assert acme.post(path, json={"as_new": True}).status_code == 403
    assert acme.post(path, json={"dry_run": True}).json() == {"count": 0}


def test_an_endpoint_is_ones_own_and_waits_for_its_proof(acme: TestClient, scene: Scene) -> None:
    """It is disabled until it is verified; no other tenant can be named."""
    response = acme.post("/api/v1/endpoints", json=BODY)
    made = response.json()["endpoint"]

    assert response.status_code == 201
    assert (made["tenant"], made["state"], made["reason"]) == ("acme", "disabled", "unverified")
    enabled = acme.post(f"/api/v1/endpoints/{made['id']}/enable", json={})
    assert (enabled.status_code, enabled.json()["reason"]) == (409, "not_verified")
    other = acme.post("/api/v1/endpoints", json={**BODY, "tenant": "globex"})
    assert (other.status_code, other.json()["reason"]) == (422, "invalid_body")


def test_private_networks_are_shut_to_tenants(tmp_path: Path) -> None:
    """Also those that the configuration opens to whoever runs the gateway."""
    with Receiver() as receiver:
        console = Console(tmp_path / "data", {"outbound": outbound(receiver.port)})
        with_way_out(console)
        body = {**BODY, "url": receiver.url}
        with console.program("admin") as client:
            assert client.post("/api/v1/endpoints", json=body).status_code == 201
        with console.browser() as client:
            text = console.access.tokens.create("acme", "tenant:acme", "test")[1]
            response = client.post(
                "/api/v1/endpoints", json=body, headers={"authorization": f"Bearer {text}"}
            )
        console.access.close()

    assert (response.status_code, response.json()["reason"]) == (422, "url_refused")
    assert not receiver.requests


def test_an_unproven_endpoint_shows_nothing_of_its_answers(tmp_path: Path) -> None:
    """Otherwise a tenant could read what others answer to the gateway."""
    with Receiver(respond(200, b"internal-page")) as receiver:
        console = Console(tmp_path / "data", {"outbound": outbound(receiver.port)})
        scene = with_way_out(console)
        at_receiver = replace(scene.foreign, url=receiver.url)
        asyncio.run(scene.store.put_endpoint(at_receiver))
        with console.browser() as client:
            text = console.access.tokens.create("acme", "tenant:acme", "test")[1]
            client.headers["authorization"] = f"Bearer {text}"
            path = f"/api/v1/endpoints/{scene.foreign.id}/test"
            shown = client.post(path, json={}).json()
            asyncio.run(scene.store.put_endpoint(replace(at_receiver, is_by_tenant=True)))
            hidden = client.post(path, json={}).json()
        console.access.close()

    assert shown["excerpt"] == "internal-page"
    assert hidden["excerpt"] == ""
    assert hidden["outcome"] == "address_refused"


def test_events_are_ones_own(acme: TestClient, scene: Scene) -> None:
    """An event that names no tenant is the token's; another tenant's is refused."""
    event: dict[str, Any] = {"id": "e1", "source": "/agents/a", "type": "agent.run.queued", "data": {}}
    mine = acme.post("/api/v1/messages", json=event)
    theirs = acme.post("/api/v1/messages", json={**event, "tenant": "globex"})

    assert mine.status_code == 202
    shown = acme.get(f"/api/v1/messages/{mine.json()['id']}").json()
    assert (shown["tenant"], shown["event"]["tenant"]) == ("acme", "acme")
    assert (theirs.status_code, theirs.json()["reason"]) == (422, "invalid_body")


def test_it_is_for_the_api_alone(tmp_path: Path) -> None:
    """No page, and no session."""
    console = PagesConsole(tmp_path / "data", {}, is_empty=True)
    text = console.access.tokens.create("acme", "tenant:acme", "test")[1]
    with console.browser() as client:
        for path in ("/", "/endpoints", "/events", "/settings"):
            assert client.get(path, headers={"authorization": f"Bearer {text}"}).status_code == 403
        assert log_in(client, token=text).status_code == 401
        assert hidden_fields(client.get("/login").text)
    console.access.close()


@pytest.mark.parametrize("role", ["tenant", "tenant:", "tenant:ACME", "tenant:a b", "owner", "viewer:acme"])
def test_only_known_roles_are_made(console: Console, role: str) -> None:
    """A tenant has a name."""
    with console.program("admin") as client:
        response = client.post("/api/v1/tokens", json={"name": "x", "role": role})

    assert response.status_code == 422


def test_a_tenants_token_is_made_and_listed(console: Console) -> None:
    """With its tenant, and an end."""
    with console.program("admin") as client:
        made = client.post(
            "/api/v1/tokens", json={"name": "acme", "role": "tenant:acme", "lifetime": "1h"}
        ).json()
        listed = client.get("/api/v1/tokens").json()["tokens"]
        client.headers["authorization"] = f"Bearer {made['text']}"
        assert client.get("/api/v1/session").status_code == 200
        console.clock.now = console.clock.now + 4000
        assert client.get("/api/v1/session").status_code == 401

    assert (made["token"]["role"], made["token"]["tenant"]) == ("tenant", "acme")
    assert [each["tenant"] for each in listed if each["name"] == "acme"] == ["acme"]
