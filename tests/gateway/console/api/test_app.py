"""Problems, methods, bodies, cursors and idempotency, whatever the operation."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from gateway.console.problems import REASONS
from gateway.console.security.roles import Role
from gateway.journal.entry import Entry, Kind, first_id_at
from support.console import Console


@pytest.fixture
def admin(console: Console) -> Any:
    """A client that may do everything."""
    with console.program("admin") as client:
        yield client


def problem(response: Any, status: int, reason: str) -> dict[str, Any]:
    """Expect a problem, and return its members."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["reason"] == reason
    assert found["status"] == status == REASONS[reason][0]
    assert found["type"].endswith(f"#{reason}")
    assert found["title"] == REASONS[reason][1]
    return found


def test_problems_have_one_form(admin: TestClient) -> None:
    """RFC 9457, with the reason of the list."""
    found = problem(admin.get("/api/v1/nowhere"), 404, "not_found")
    assert found["instance"] == "/api/v1/nowhere"
    problem(admin.get("/api/"), 404, "not_found")
    problem(admin.get("/api/v2/status"), 404, "not_found")
    problem(admin.get("/api/v1/"), 404, "not_found")
    problem(admin.get("/api/v1/status/"), 404, "not_found")


def test_other_methods_are_refused_with_those_there_are(admin: TestClient) -> None:
    """HEAD and OPTIONS are there where they can be."""
    response = admin.post("/api/v1/audit")
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert admin.options("/api/v1/tokens").headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert admin.head("/api/v1/session").status_code == 200
    problem(admin.request("PROPFIND", "/api/v1/session"), 405, "method_not_allowed")


HOSTILE = [
    "/api/v1/entries?q=%ff",
    "/api/v1/entries?q=a&q=b",
    "/api/v1/entries?unknown=1",
    "/api/v1/entries?limit=0",
    "/api/v1/entries?limit=1e9",
    "/api/v1/entries?limit=" + "9" * 5000,
    "/api/v1/entries?q=" + "x" * 3000,
    "/api/v1/entries?q=%00",
    "/api/v1/entries?q=nonsense:x",
    "/api/v1/entries?cursor=x",
    "/api/v1/entries?cursor=%F0%9F%92%A9",
    "/api/v1/entries?cursor=" + "A" * 400,
    "/api/v1/audit?cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "/api/v1/tail?cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "/api/v1/tail?q=since:yesterdayish",
    "/api/v1/events/stripe/%ff",
    "/api/v1/events/stripe/%00",
    "/api/v1/events/stripe/" + "x" * 4000,
    "/api/v1/events//x",
    "/api/v1/events/stripe/" + "%F0%9F%92%A9" * 50,
    "/api/v1/events/stripe/..%2f..%2fetc%2fpasswd",
    "/api/v1/events/stripe/%0d%0aset-cookie:%20a=b",
    "/api/v1/events/" + "y" * 2000 + "/x",
    "/api/v1/refusals/x",
    "/api/v1/refusals/0000000000000/explain",
    "/api/v1/refusals/zzzzzzzzzzzzz",
    "/api/v1/providers/%2e%2e",
    "/api/v1/providers?window=-1h",
    "/api/v1/providers?window=x",
    "/api/v1/providers?window=99999999999d",
    "/api/v1/providers?window=1e999d",
    "/api/v1/secrets?provider=nobody",
    "/api/v1/jobs/x",
    "/api/v1/quarantine/x/proposal",
]


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path[:60])
def test_hostile_requests_are_the_callers_fault(admin: TestClient, path: str) -> None:
    """4xx, as a problem, and no field of the answer is the caller's."""
    response = admin.get(path)
    assert 400 <= response.status_code < 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    ("content", "media_type", "status", "reason"),
    [
        (b"", "application/json", 400, "malformed_json"),
        (b"{", "application/json", 400, "malformed_json"),
        (b"\xff", "application/json", 400, "malformed_json"),
        (b"[" * 100_000, "application/json", 422, "invalid_body"),
        (b'{"name":' + b"[" * 100_000, "application/json", 422, "invalid_body"),
        (b"{}", "application/json", 422, "invalid_body"),
        (b"[]", "application/json", 422, "invalid_body"),
        (b'{"name": 1, "role": "viewer"}', "application/json", 422, "invalid_body"),
        (b'{"name": "a", "role": "root"}', "application/json", 422, "invalid_body"),
        (b'{"name": "a", "role": "viewer", "more": 1}', "application/json", 422, "invalid_body"),
        (b'{"name": "a", "role": "viewer", "lifetime": "soon"}', "application/json", 422, "invalid_body"),
        (b'{"name": "a", "role": "viewer", "lifetime": "0s"}', "application/json", 422, "invalid_body"),
        (b'{"name": "\\ud800", "role": "viewer"}', "application/json", 400, "malformed_json"),
        (b'{"name": "a\\nb", "role": "viewer"}', "application/json", 422, "operation_failed"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", "", 415, "unsupported_media_type"),
        (b"x" * (1024**2 + 1), "application/json", 413, "body_too_large"),
    ],
    ids=range(17),
)
def test_bodies_are_checked(
    admin: TestClient, content: bytes, media_type: str, status: int, reason: str
) -> None:
    """Before anything is done."""
    response = admin.post("/api/v1/tokens", content=content, headers={"content-type": media_type})
    problem(response, status, reason)


def test_a_body_where_none_belongs_is_refused(admin: TestClient) -> None:
    """It would be ignored, which nobody wants who sends one."""
    response = admin.request("DELETE", "/api/v1/tokens/x", content=b"{}")
    problem(response, 400, "malformed_request")


def entry(number: int, provider: str = "stripe") -> Entry:
    """Return an entry."""
    return Entry(
        first_id_at(1_799_999_000.0 + number),
        Kind.RECEIVED,
        "accepted",
        "",
        provider,
        "invoice.paid",
        f"evt_{number}",
    )


def test_a_list_goes_on_at_its_cursor(console: Console, admin: TestClient) -> None:
    """Each entry is on one page, also if more arrive; a cursor is good for its own query."""
    console.journal.append([entry(number) for number in range(10)])
    first = admin.get("/api/v1/entries?limit=4&q=provider:stripe").json()
    assert [each["event_id"] for each in first["entries"]] == ["evt_9", "evt_8", "evt_7", "evt_6"]
    console.journal.append([entry(11)])
    rest = admin.get(f"/api/v1/entries?limit=20&q=provider:stripe&cursor={first['next']}").json()
    assert [each["event_id"] for each in rest["entries"]] == [f"evt_{number}" for number in range(5, -1, -1)]
    assert rest["next"] is None
    assert rest["is_complete"]

    problem(admin.get(f"/api/v1/entries?cursor={first['next']}"), 400, "invalid_cursor")
    problem(admin.get(f"/api/v1/requests?q=provider:stripe&cursor={first['next']}"), 400, "invalid_cursor")
    problem(admin.get(f"/api/v1/audit?cursor={first['next']}"), 400, "invalid_cursor")


def test_entries_are_objects_without_what_is_unknown(console: Console, admin: TestClient) -> None:
    """With ids that JavaScript can read."""
    console.journal.append([entry(1)])
    (found,) = admin.get("/api/v1/requests").json()["entries"]
    assert found == {
        "id": found["id"],
        "at": 1_799_999_001.0,
        "kind": "received",
        "outcome": "accepted",
        "provider": "stripe",
        "type": "invoice.paid",
        "event_id": "evt_1",
    }
    assert len(found["id"]) == 13


def test_requests_are_a_part_of_the_entries(console: Console, admin: TestClient) -> None:
    """Those of the kind `received`."""
    other = Entry(first_id_at(1_799_999_500.0), Kind.HANDLED, "handled", provider="stripe", event_id="evt_1")
    console.journal.append([entry(1), other])
    assert len(admin.get("/api/v1/entries").json()["entries"]) == 2
    assert len(admin.get("/api/v1/requests").json()["entries"]) == 1


def test_a_journal_that_cannot_be_read_is_said(console: Console, admin: TestClient, monkeypatch: Any) -> None:
    """With the file, and that events flow."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("/data/journal/7.db: disk I/O error")

    monkeypatch.setattr(console.journal, "find", fail)
    found = problem(admin.get("/api/v1/entries"), 503, "journal_unavailable")
    assert "7.db" in found["detail"]
    assert "events flow" in found["detail"]


def test_an_id_with_a_slash_is_one_segment(console: Console, admin: TestClient) -> None:
    """As it was encoded in the address; also one that ends like a path of the API."""
    for event_id in ("a/b", "a/payload", "a%2Fb", "a b", "ä?#&"):
        console.journal.append(
            [Entry(first_id_at(1_799_999_600.0), Kind.RECEIVED, "accepted", "", "stripe", "x", event_id)]
        )
        response = admin.get(f"/api/v1/events/stripe/{quote(event_id, safe='')}")
        assert response.status_code == 200
        assert response.json()["event_id"] == event_id


def test_an_unknown_event_is_a_problem_with_what_is_known(admin: TestClient) -> None:
    """The page for an event that is not there, for programs."""
    found = problem(admin.get("/api/v1/events/stripe/evt_123"), 404, "not_found")
    assert found["known"]["event_id"] == "evt_123"
    assert found["detail"] == found["known"]["headline"]


class TestIdempotency:
    """`Idempotency-Key`."""

    def test_a_repetition_is_answered_as_the_first_time(self, console: Console, admin: TestClient) -> None:
        """And done once."""
        token = console.access.tokens.create("ci", Role.VIEWER, "test")[0]
        headers = {"idempotency-key": "k1"}
        first = admin.delete(f"/api/v1/tokens/{token.id}", headers=headers)
        again = admin.delete(f"/api/v1/tokens/{token.id}", headers=headers)
        assert (first.status_code, again.status_code) == (204, 204)
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        problem(admin.delete(f"/api/v1/tokens/{token.id}"), 404, "not_found")

    def test_a_secret_is_not_answered_twice(self, console: Console, admin: TestClient) -> None:
        """It would have to be kept."""
        body, headers = {"name": "ci", "role": "viewer"}, {"idempotency-key": "k2"}
        created = admin.post("/api/v1/tokens", json=body, headers=headers)
        assert created.status_code == 201
        problem(admin.post("/api/v1/tokens", json=body, headers=headers), 409, "conflict")
        assert len([token for token in console.access.tokens.list() if token.name == "ci"]) == 1
        content = b"".join(path.read_bytes() for path in console.folder.glob("console.db*"))
        assert created.json()["text"].encode() not in content

    def test_a_key_belongs_to_its_request(self, admin: TestClient) -> None:
        """Another body with it is a mistake."""
        headers = {"idempotency-key": "k3"}
        admin.post("/api/v1/tokens", json={"name": "a", "role": "viewer"}, headers=headers)
        other = admin.post("/api/v1/tokens", json={"name": "b", "role": "viewer"}, headers=headers)
        problem(other, 422, "idempotency_key_reused")

    def test_a_failure_can_be_tried_again(self, console: Console, admin: TestClient) -> None:
        """With the same key, when its cause is gone."""
        token = console.access.tokens.create("x", Role.VIEWER, "test")[0]
        body, headers = {"name": "x", "role": "viewer"}, {"idempotency-key": "k4"}
        problem(admin.post("/api/v1/tokens", json=body, headers=headers), 422, "operation_failed")
        console.access.tokens.revoke(token.id)
        assert admin.post("/api/v1/tokens", json=body, headers=headers).status_code == 201

    def test_a_key_is_its_holders(self, console: Console, admin: TestClient) -> None:
        """Another token has keys of its own."""
        headers = {"idempotency-key": "k5"}
        admin.post("/api/v1/tokens", json={"name": "a", "role": "viewer"}, headers=headers)
        with console.program("admin") as other:
            response = other.post("/api/v1/tokens", json={"name": "b", "role": "viewer"}, headers=headers)
            assert response.status_code == 201

    def test_a_key_is_kept_for_a_day(self, console: Console, admin: TestClient) -> None:
        """Then it is a new one."""
        body, headers = {"name": "a", "role": "viewer"}, {"idempotency-key": "k6"}
        admin.post("/api/v1/tokens", json=body, headers=headers)
        console.clock.now += 86_400
        problem(admin.post("/api/v1/tokens", json=body, headers=headers), 422, "operation_failed")

    @pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ä"])
    def test_odd_keys_are_refused(self, admin: TestClient, key: str) -> None:
        """They are compared as they are."""
        headers = {"idempotency-key": key.encode()}
        response = admin.post("/api/v1/tokens", json={"name": "a", "role": "viewer"}, headers=headers)
        problem(response, 400, "malformed_request")


def test_who_one_is(console: Console) -> None:
    """For a program that wants to know what it may do."""
    with console.program("operator") as client:
        assert client.get("/api/v1/session").json() == {
            "name": "operator 0",
            "role": "operator",
            "way": "token",
        }


def test_tokens_come_and_go(console: Console, admin: TestClient) -> None:
    """With an entry in the audit for each."""
    created = admin.post("/api/v1/tokens", json={"name": "ci", "role": "operator", "lifetime": "90d"}).json()
    assert created["token"]["ends_at"] == console.clock.now + 90 * 86_400
    with console.browser() as client:
        client.headers["authorization"] = f"Bearer {created['text']}"
        assert client.get("/api/v1/session").status_code == 200
        assert admin.delete(f"/api/v1/tokens/{created['token']['id']}").status_code == 204
        assert client.get("/api/v1/session").status_code == 401
    listed = admin.get("/api/v1/tokens").json()["tokens"]
    assert [token["name"] for token in listed] == ["admin 0"]
    assert "hash" not in listed[0]

    first = admin.get("/api/v1/audit?limit=1").json()
    second = admin.get(f"/api/v1/audit?limit=1&cursor={first['next']}").json()
    entries = [*first["entries"], *second["entries"]]
    assert [(each["action"], each["target"], each["actor"]) for each in entries] == [
        ("token.revoke", "ci", "admin 0"),
        ("token.create", "ci (operator)", "admin 0"),
    ]
    assert second["next"] is None
