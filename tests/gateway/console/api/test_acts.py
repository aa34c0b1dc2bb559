"""Acts over HTTP: what they do to the queues, as jobs, with an entry in the audit before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.console.security.roles import Role
from gateway.journal.entry import Entry, Kind, first_id_at
from support.console import HOST, Console
from support.letter_queues import DEAD, FAILED, QUARANTINE, QUEUE, VIOLATIONS, Embedded, embedded, event

UNROUTED = "webhooks.unrouted"
PATIENCE = 30.0
"""Seconds within which a job has to end."""


class Program:
    """A program that acts on the queues of an embedded broker."""

    def __init__(self, console: Console, broker: Embedded, client: httpx.AsyncClient) -> None:
        self.console = console
        self.broker = broker
        self.client = client

    async def get(self, path: str) -> Any:
        """Return the answer to a question."""
        response = await self.client.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    async def act(self, path: str, **body: Any) -> dict[str, Any]:
        """Start a job, and return it when it has ended."""
        response = await self.client.post(path, json=body)
        assert response.status_code == 202, response.text
        assert response.headers["location"] == f"/api/v1/jobs/{response.json()['id']}"
        async with asyncio.timeout(PATIENCE):
            while (job := await self.get(f"/jobs/{response.json()['id']}"))["ended_at"] is None:
                await asyncio.sleep(0.01)
        found: dict[str, Any] = job
        return found

    def audited(self) -> list[tuple[str, str]]:
        """Return what the audit says, newest first."""
        return [(entry.action, entry.target) for entry in self.console.access.audit.entries()]

    async def ids(self, queue: str) -> list[str]:
        """Return the ids of the events in a queue."""
        return [each for each, _, _ in await self.broker.take_all(queue)]


@pytest.fixture
async def program(tmp_path: Path, make_console: Any) -> AsyncIterator[Program]:
    """A program with the role of an administrator."""
    console: Console = make_console()
    async with embedded(tmp_path) as broker:
        console.config = broker.config
        console.services.folder = tmp_path
        headers = {"authorization": f"Bearer {console.token(Role.ADMIN)}"}
        transport = httpx.ASGITransport(console.app)
        async with httpx.AsyncClient(
            transport=transport, base_url=f"http://{HOST}/api/v1", headers=headers
        ) as client:
            yield Program(console, broker, client)
        await console.services.jobs.stop()


async def test_dead_letters_are_seen_and_redriven(program: Program) -> None:
    """A group, then the rest; a dry run changes nothing, and is not audited."""
    await program.broker.declare(QUEUE, DEAD)
    for number in range(3):
        await program.broker.put(
            DEAD, event(number), FAILED | ({"x-exception": "KeyError"} if number else {})
        )

    (queue,) = (await program.get(f"/dead-letters?queue={QUEUE}"))["queues"]
    assert (queue["total"], [group["count"] for group in queue["groups"]]) == (3, [2, 1])
    group = queue["groups"][0]["id"]
    path = f"/dead-letters/{QUEUE}/redrive"
    assert (await program.act(path, group=group, dry_run=True))["result"] == 2
    assert program.audited() == []
    job = await program.act(path, group=group)
    assert (job["state"], job["result"], job["kind"], job["actor"]) == ("done", 2, "redrive", "admin 0")
    assert await program.ids(DEAD) == ["id-0"]
    assert await program.ids(QUEUE) == ["id-1", "id-2"]
    assert program.audited() == [("redrive", QUEUE)]
    assert (await program.get("/jobs"))["jobs"][0]["id"] == job["id"]


async def test_what_is_dropped_has_to_be_counted(program: Program) -> None:
    """By who drops it: if more came meanwhile, nothing is."""
    await program.broker.declare(QUEUE, DEAD)
    for number in range(2):
        await program.broker.put(DEAD, event(number), FAILED)
    path = f"/dead-letters/{QUEUE}/drop"

    failed = await program.act(path, confirmed=1)
    assert (failed["state"], failed["result"]) == ("failed", None)
    assert "nothing was deleted" in failed["error"]
    assert len(await program.ids(DEAD)) == 2
    assert (await program.act(path, confirmed=2))["result"] == 2
    assert await program.ids(DEAD) == []


async def test_the_quarantine_is_checked_and_released(program: Program) -> None:
    """With the schema of the configuration, or one that is tried first."""
    await program.broker.declare(QUARANTINE, QUEUE)
    await program.broker.bind()
    held = {"provider": "acme", "x-violations": VIOLATIONS}
    await program.broker.put(QUARANTINE, event(1, '{"total": "1"}'), held, "acme.order.created")
    await program.broker.put(QUARANTINE, event(2, '{"total": true}'), held, "acme.order.created")

    found = await program.get("/quarantine")
    assert found["total"] == 2
    group = found["groups"][0]["id"]
    proposal = await program.get(f"/quarantine/{group}/proposal")
    assert proposal["samples"] == 2
    tried = await program.act("/quarantine/check", schema=proposal["json"])
    assert (tried["result"]["total"], tried["result"]["passing"]) == (2, 2)
    job = await program.act("/quarantine/release", group=group)
    assert job["result"] == {"released": 1, "kept": 1}
    assert await program.ids(QUARANTINE) == ["id-2"]
    assert await program.ids(QUEUE) == ["id-1"]
    assert (await program.act("/quarantine/drop", confirmed=1))["result"] == 1


async def test_unrouted_events_are_routed(program: Program) -> None:
    """They have no groups but their types."""
    await program.broker.declare(UNROUTED, QUEUE)
    for number in range(2):
        await program.broker.put(UNROUTED, event(number), {"provider": "acme"}, "acme.order.created")

    found = await program.get("/unrouted")
    assert [(group["provider"], group["count"]) for group in found["groups"]] == [("acme", 2)]
    response = await program.client.post("/unrouted/route", json={"to": QUEUE, "group": "x"})
    assert (response.status_code, response.json()["reason"]) == (422, "invalid_body")
    assert (await program.act("/unrouted/route", to=QUEUE, ids=["id-1"]))["result"] == 1
    assert await program.ids(QUEUE) == ["id-1"]
    assert (await program.act("/unrouted/drop", confirmed=1))["result"] == 1


async def test_one_event_is_delivered_again(program: Program) -> None:
    """From where it is kept; the journal knows who did it."""
    await program.broker.declare(QUEUE, DEAD)
    await program.broker.put(DEAD, event(1), FAILED)

    response = await program.client.post("/events/acme/id-1/redeliver", json={"to": QUEUE})
    assert response.status_code == 200
    assert response.json() == {"source": "dead_letters", "queue": DEAD, "to": QUEUE, "copies": 1}
    assert await program.ids(QUEUE) == ["id-1"]
    assert program.audited() == [("redeliver", f"acme/id-1 to {QUEUE}")]
    again = await program.client.post("/events/acme/id-9/redeliver", json={"to": QUEUE})
    assert (again.status_code, again.json()["reason"]) == (404, "not_found")


async def test_a_payload_is_a_shape_until_it_is_asked_for(program: Program) -> None:
    """Then it is in the audit and in the journal."""
    await program.broker.declare(QUEUE, DEAD)
    await program.broker.put(DEAD, event(1, '{"card": "4242"}'), FAILED)
    program.console.journal.append(
        [
            Entry(
                first_id_at(1_799_999_000.0), Kind.RECEIVED, "accepted", "", "acme", "order.created", "id-1"
            ),
            Entry(
                first_id_at(1_799_999_001.0),
                Kind.HANDLED,
                "dead",
                "",
                "acme",
                "order.created",
                "id-1",
                queue=QUEUE,
            ),
        ]
    )
    shape = await program.get("/events/acme/id-1/payload")
    assert not shape["is_whole"]
    assert "4242" not in str(shape)
    assert program.audited() == []
    whole = await program.get("/events/acme/id-1/payload?whole=true")
    assert whole["event"]["data"] == {"card": "4242"}
    assert program.audited() == [("payload.view", "acme/id-1")]
    (entry,) = program.console.reported
    assert (entry.outcome, entry.actor, entry.event_id) == ("viewed", "admin 0", "id-1")

    settings = {"payloads": "off"}
    console = program.console.config.console.model_copy(update=settings)
    program.console.config = program.console.config.model_copy(update={"console": console})
    response = await program.client.get("/events/acme/id-1/payload?whole=true")
    assert (response.status_code, response.json()["reason"]) == (403, "forbidden")


async def test_an_event_is_forgotten(program: Program) -> None:
    """Its texts are erased, and the audit does not keep its id instead."""
    program.console.journal.append(
        [
            Entry(
                first_id_at(1_799_999_000.0),
                Kind.RECEIVED,
                "accepted",
                "",
                "acme",
                "x",
                "id-1",
                "ann@example.com",
            )
        ]
    )
    response = await program.client.post("/events/acme/id-1/forget", json={"journal": True})
    assert response.json() == {"entries": 1, "was_claimed": False}
    assert (await program.get("/entries"))["entries"][-1].get("subject") is None
    assert program.audited() == [("forget", "acme")]
    nothing = await program.client.post("/events/acme/id-1/forget", json={})
    assert nothing.json()["reason"] == "invalid_body"


async def test_a_repetition_starts_no_second_job(program: Program) -> None:
    """With its key, it is answered with the first."""
    await program.broker.declare(QUEUE, DEAD)
    await program.broker.put(DEAD, event(1), FAILED)
    headers = {"idempotency-key": "once"}
    answers = [
        await program.client.post(f"/dead-letters/{QUEUE}/redrive", json={}, headers=headers)
        for _ in range(2)
    ]
    assert answers[0].json()["id"] == answers[1].json()["id"]
    assert answers[1].headers["location"] == answers[0].headers["location"]
    assert len((await program.get("/jobs"))["jobs"]) == 1


async def test_one_job_at_a_time_works_on_a_queue(program: Program) -> None:
    """A second is told so; the first can be cancelled."""
    await program.broker.declare(QUEUE, DEAD)
    never = asyncio.Event()
    running = program.console.services.jobs.start("redrive", lambda _: never.wait(), queue=DEAD, actor="ann")
    response = await program.client.post(f"/dead-letters/{QUEUE}/redrive", json={})
    assert (response.status_code, response.json()["reason"]) == (409, "conflict")
    assert "ann" in response.json()["detail"]
    cancelled = await program.client.delete(f"/jobs/{running.id}")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelling")
    assert program.audited()[0] == ("job.cancel", f"redrive {running.id}")


async def test_an_act_that_cannot_be_noted_is_not_done(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit comes first."""
    await program.broker.declare(QUEUE, DEAD)
    await program.broker.put(DEAD, event(1), FAILED)

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(program.console.access.audit, "add", fail)
    response = await program.client.post(f"/dead-letters/{QUEUE}/redrive", json={})
    assert response.status_code == 503
    assert await program.ids(DEAD) == ["id-1"]


async def test_a_replay_without_an_archive_says_how_to_have_one(program: Program) -> None:
    """As a job that failed."""
    job = await program.act("/replay", dry_run=True, provider="acme")
    assert job["state"] == "failed"
    assert "archive" in job["error"]
    response = await program.client.post("/replay", json={"provider": "acme"})
    assert response.json()["reason"] == "invalid_body"


async def test_a_test_event_goes_to_the_gateway(program: Program) -> None:
    """Which does not run here; its samples are known all the same."""
    assert (await program.client.get("/test-events")).status_code == 200
    response = await program.client.post("/test-events", json={"provider": "nobody"})
    assert (response.status_code, response.json()["reason"]) == (422, "operation_failed")
