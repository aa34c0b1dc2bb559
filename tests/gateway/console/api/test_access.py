"""Who may do what: every operation, with each role and without one, from another host, and from another site."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.console.api.operation import Operation
from gateway.console.api.table import OPERATIONS
from gateway.console.security.roles import STAFF
from support.console import Console

EXPECTED = {
    "GET /entries": "viewer",
    "GET /requests": "viewer",
    "GET /events/{provider}/{id}": "viewer",
    "GET /events/{provider}/{id}/payload": "operator",
    "POST /events/{provider}/{id}/redeliver": "operator",
    "GET /tail": "viewer",
    "GET /providers": "viewer",
    "GET /providers/{name}": "viewer",
    "GET /secrets": "viewer",
    "GET /refusals": "viewer",
    "GET /refusals/{id}": "operator",
    "GET /refusals/{id}/explain": "viewer",
    "GET /status": "viewer",
    "GET /queues": "viewer",
    "GET /workers": "viewer",
    "GET /dead-letters": "viewer",
    "POST /dead-letters/{queue}/redrive": "operator",
    "POST /dead-letters/{queue}/drop": "admin",
    "GET /quarantine": "viewer",
    "GET /quarantine/{group}/proposal": "operator",
    "POST /quarantine/check": "operator",
    "POST /quarantine/release": "operator",
    "POST /quarantine/drop": "admin",
    "GET /unrouted": "viewer",
    "POST /unrouted/route": "operator",
    "POST /unrouted/drop": "admin",
    "POST /replay": "operator",
    "POST /events/{provider}/{id}/forget": "admin",
    "GET /test-events": "viewer",
    "POST /test-events": "operator",
    "GET /jobs": "viewer",
    "GET /jobs/{id}": "viewer",
    "DELETE /jobs/{id}": "operator",
    "GET /endpoints": "viewer",
    "POST /endpoints": "admin",
    "GET /endpoints/{id}": "viewer",
    "PATCH /endpoints/{id}": "admin",
    "DELETE /endpoints/{id}": "admin",
    "GET /endpoints/{id}/secrets": "viewer",
    "POST /endpoints/{id}/secrets": "admin",
    "DELETE /endpoints/{id}/secrets/{secret}": "admin",
    "POST /endpoints/{id}/enable": "operator",
    "POST /endpoints/{id}/disable": "operator",
    "POST /endpoints/{id}/pause": "operator",
    "POST /endpoints/{id}/verify": "operator",
    "POST /endpoints/{id}/test": "operator",
    "GET /endpoints/{id}/deliveries": "viewer",
    "POST /endpoints/{id}/replay": "operator",
    "GET /deliveries": "viewer",
    "GET /deliveries/{id}": "viewer",
    "GET /deliveries/{id}/attempts": "viewer",
    "POST /deliveries/{id}/redeliver": "operator",
    "POST /deliveries/{id}/cancel": "operator",
    "GET /operations/{id}": "viewer",
    "DELETE /operations/{id}": "operator",
    "GET /archive": "operator",
    "POST /messages": "operator",
    "GET /messages": "viewer",
    "GET /messages/{id}": "viewer",
    "GET /messages/{id}/deliveries": "viewer",
    "DELETE /messages/{id}/data": "admin",
    "GET /session": "viewer",
    "GET /audit": "admin",
    "GET /tokens": "admin",
    "POST /tokens": "admin",
    "DELETE /tokens/{id}": "admin",
    "GET /openapi.json": "viewer",
}
"""The role that each operation needs, written down a second time: a change of one is a decision."""


def name_of(operation: Operation) -> str:
    """Return method and path."""
    return f"{operation.method} {operation.path}"


def path_of(operation: Operation) -> str:
    """Return a path that leads to the operation."""
    return "/api/v1" + "".join(f"/{'x' if part.startswith('{') else part}" for part in operation.segments)


EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=name_of)
BODY: dict[str, Any] = {"content": b"{}", "headers": {"content-type": "application/json"}}


def test_the_roles_are_those_that_were_decided() -> None:
    """Nothing is missing from the list."""
    assert {name_of(each): each.role for each in OPERATIONS} == EXPECTED


@EVERY
def test_nobody_gets_in_without_credentials(console: Console, operation: Operation) -> None:
    """Whatever they ask for."""
    with console.program(None) as client:
        response = client.request(operation.method, path_of(operation), **BODY)
    assert response.status_code == 401
    assert response.json()["reason"] == "not_authenticated"
    assert response.headers["www-authenticate"].startswith("Bearer")


@EVERY
def test_a_wrong_token_is_nobody(console: Console, operation: Operation) -> None:
    """Also beside a good session."""
    with console.program(None) as client:
        client.headers["authorization"] = f"Bearer {console.token('admin')[:-1]}"
        assert client.request(operation.method, path_of(operation), **BODY).status_code == 401


@EVERY
def test_each_role_gets_as_far_as_it_may(console: Console, operation: Operation) -> None:
    """A role below is refused before anything is looked at; the role itself is not refused for its role."""
    for role in STAFF:
        with console.program(role) as client:
            if operation.path == "/tail":
                response = client.head(path_of(operation))
                assert response.status_code == 200
                continue
            response = client.request(operation.method, path_of(operation), **BODY)
        is_refused = response.status_code == 403
        assert is_refused is not role.includes(operation.role)
        if is_refused:
            assert response.json()["reason"] == "forbidden"
        assert response.status_code < 500 or response.status_code == 503


@EVERY
def test_another_host_is_refused(console: Console, operation: Operation) -> None:
    """Whoever asks: a page that has rebound its name has the browser's cookies for that name only, but the network."""
    with console.program("admin") as client:
        headers = {"host": "evil.example", **BODY["headers"]}
        response = client.request(operation.method, path_of(operation), content=b"{}", headers=headers)
    assert response.status_code == 421
    assert response.json()["reason"] == "host_not_allowed"


@EVERY
@pytest.mark.parametrize("way", ["session", "none"])
def test_another_site_is_refused(make_console: Any, operation: Operation, way: str) -> None:
    """Where a browser adds the credentials by itself: reads, too, since nothing on another site has to read the API."""
    console: Console = make_console(console={"auth": "token" if way == "session" else "none"})
    with console.browser() as client:
        if way == "session":
            cookie = console.access.sessions.begin(_admin(console))
            client.cookies.set("gateway-session-8081", cookie)
        for site in ("cross-site", "same-site"):
            headers = {**BODY["headers"], "sec-fetch-site": site, "sec-fetch-mode": "cors"}
            response = client.request(operation.method, path_of(operation), content=b"{}", headers=headers)
            assert (response.status_code, response.json()["reason"]) == (403, "cross_site")
        if operation.is_write:
            for said in (
                {"origin": "http://evil.example"},
                {"origin": "null"},
                {"sec-fetch-site": "same-origin"},
            ):
                headers = {**said, **BODY["headers"]}
                response = client.request(
                    operation.method, path_of(operation), content=b"{}", headers=headers
                )
                assert (response.status_code, response.json()["reason"]) == (403, "cross_site")


def _admin(console: Console) -> Any:
    return console.access.tokens.principal(console.token("admin"))


def test_a_program_without_a_browser_needs_no_form(make_console: Any) -> None:
    """With `auth: none`, it says that it sends JSON; with a session it is a browser."""
    console: Console = make_console(console={"auth": "none"})
    body = {"name": "ci", "role": "viewer"}
    with console.browser() as client:
        assert client.post("/api/v1/tokens", json=body).status_code == 201
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert client.post("/api/v1/tokens", content=b"{}", headers=form).status_code == 403
    other: Console = make_console()
    with other.browser() as client:
        client.cookies.set("gateway-session-8081", other.access.sessions.begin(_admin(other)))
        assert client.get("/api/v1/tokens").status_code == 200
        assert client.post("/api/v1/tokens", json=body).status_code == 403


def test_wrong_tokens_are_too_many_at_some_time(console: Console) -> None:
    """For their client; the form still works there."""
    with console.program(None) as client:
        client.headers["authorization"] = "Bearer wrong"
        codes = [client.get("/api/v1/session").status_code for _ in range(12)]
        assert codes == [401] * 10 + [429] * 2
        assert client.get("/login").status_code == 200
