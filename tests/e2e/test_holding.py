"""`gateway quarantine` and `gateway dead` as an operator meets them."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support import senders
from support.gateway_process import GatewayProcess, Program, Secrets
from support.inbox import data_of
from support.senders import post

ExpectClean = Callable[..., None]

STRICT = {"type": "object", "properties": {"total": {"type": "integer"}}}
LENIENT = {"$id": "urn:acme:2", "type": "object", "properties": {"total": {"type": ["integer", "string"]}}}


def hold_to(gateway: GatewayProcess, schema: object) -> None:
    """Have the events of acme held to this schema."""
    (gateway.directory / "acme.json").write_text(json.dumps(schema))
    content = json.loads(gateway.config.read_text("utf-8"))
    content["providers"]["acme"]["schema"] = "acme.json"
    gateway.config.write_text(json.dumps(content))


@pytest.mark.parametrize("broker", ["embedded", "rabbitmq"])
def test_what_a_schema_was_wrong_about_is_released_when_it_is_mended(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    fresh_secrets: Secrets,
    expect_clean: ExpectClean,
    broker: str,
) -> None:
    """Listed with what is wrong, judged by the schema of today, published, and seen to arrive as it was sent."""
    url = request.getfixturevalue("rabbitmq_url") if broker == "rabbitmq" else ""
    gateway = GatewayProcess(tmp_path, fresh_secrets, rabbitmq_url=url)
    hold_to(gateway, STRICT)
    fixed = senders.acme(fresh_secrets.acme, senders.order(total="41.50"))
    wrong = senders.acme(fresh_secrets.acme, senders.order(total=None))
    with gateway:
        assert [post(gateway.url, each).json()["status"] for each in (fixed, wrong)] == ["quarantined"] * 2
        listed = gateway.run("quarantine", "list", "--provider", "acme")
        shown = gateway.run("quarantine", "show", wrong.event_id)
        before = gateway.run("quarantine", "revalidate")
        hold_to(gateway, LENIENT)
        after = gateway.run("quarantine", "revalidate", "--json")
        arguments = ("tail", "--json", "--config", str(gateway.config))
        with Program(tmp_path, *arguments, extra=gateway.variables) as tail:
            tail.wait_for("Waiting for events")
            released = gateway.run("quarantine", "release")
            tail.wait_for(fixed.event_id)
            body = tail.stdout.splitlines()[0].encode()
        left = gateway.run("quarantine", "list", "--json")

    assert [line.split("  ")[1:] for line in listed.stdout.splitlines()] == [
        ["acme", "order.created", each.event_id, f"/total: must be an integer, is {found}"]
        for each, found in ((fixed, "a string"), (wrong, "null"))
    ]
    assert listed.stderr == "2 events in webhooks.quarantine, 2 match (acme 2), 2 shown\n"
    assert json.loads(shown.stdout)["event"]["data"] == json.loads(wrong.body)
    assert before.stderr == "0 of 2 events pass the current schemas\n"
    assert [json.loads(line)["passes"] for line in after.stdout.splitlines()] == [True, False]
    assert released.returncode == 0
    assert "1 event released to webhooks, 1 event still violating the schema\n" in released.stderr
    event = json.loads(body)
    assert (event["id"], event["released"], event["dataschema"]) == (fixed.event_id, True, "urn:acme:2")
    assert data_of(body) == fixed.body
    assert [json.loads(line)["id"] for line in left.stdout.splitlines()] == [wrong.event_id]
    expect_clean(listed.stdout, shown.stdout, before.stdout, released.stderr)


def test_dead_events_are_dropped_only_when_somebody_says_so(
    tmp_path: Path, fresh_secrets: Secrets, expect_clean: ExpectClean
) -> None:
    """Without an answer nothing is; what is wrong with the command is one line."""
    gateway = GatewayProcess(tmp_path, fresh_secrets)
    with gateway:
        delivery = senders.acme(fresh_secrets.acme, senders.order())
        assert post(gateway.url, delivery).status_code == 202
    with closing(sqlite3.connect(tmp_path / "var/embedded.db")) as connection, connection:
        connection.execute("INSERT INTO queues VALUES ('agent', NULL), ('agent.dead', NULL)")
        connection.execute(
            "UPDATE messages SET queue = 'agent.dead', headers = ?", (json.dumps({"x-attempts": 9}),)
        )
    unanswered = gateway.run("dead", "drop", "agent")
    unknown = gateway.run("dead", "show", "agent", "evt_1")
    nowhere = gateway.run("dead", "list", "nobody")
    listed = gateway.run("dead", "list", "agent", "--event", "order.*")
    redriven = gateway.run("dead", "redrive", "agent", "--dry-run")
    dropped = gateway.run("dead", "drop", "agent", "--yes")
    gone = gateway.run("dead", "list", "agent")

    assert (unanswered.returncode, unknown.returncode, nowhere.returncode) == (1, 1, 1)
    assert unknown.stderr == "agent.dead has no event with the id 'evt_1'\n"
    assert re.fullmatch(r"there is no queue nobody\.dead in .*embedded\.db\n", nowhere.stderr)
    assert listed.stdout.split()[1:] == ["acme", "order.created", delivery.event_id, "9", "attempts"]
    assert (redriven.stdout, redriven.stderr) == (listed.stdout, "1 event would be redriven to agent\n")
    assert (dropped.returncode, dropped.stdout) == (0, listed.stdout)
    assert "1 event dropped from agent.dead\n" in dropped.stderr
    assert (gone.stdout, gone.stderr) == ("", "0 events in agent.dead, 0 match, 0 shown\n")
    expect_clean(unanswered.stderr, dropped.stderr)
