"""What agents emit is read strictly: what no receiver could use is told to the agent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.outbound.cloudevent import MAX_AGENT_EVENT, NotAnEvent, key_of, read_agent_event, read_event

EVENT = {
    "specversion": "1.0",
    "id": "evt_1",
    "source": "/agents/billing-agent",
    "type": "agent.run.completed",
}


def body(**changes: Any) -> bytes:
    """An event, with changes; None leaves an attribute out."""
    members = {**EVENT, "data": {"run_id": "run_1"}, **changes}
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


def test_an_event_is_read_and_its_bytes_stay() -> None:
    """They are signed and sent as they came."""
    text = body(tenant="acme", subject="run_1", sequence="0000000004", traceparent="00-1-2-01")
    event, sent = read_agent_event(text)

    assert sent == text
    assert (event.id, event.tenant, event.subject, event.sequence) == ("evt_1", "acme", "run_1", "0000000004")
    assert key_of(event) == "billing-agent.agent.run.completed"


def test_four_attributes_are_enough() -> None:
    """Without a version it would be no CloudEvent for its receiver, so it gets one."""
    event, sent = read_agent_event(b" " + body(specversion=None))

    assert event.tenant == "default"
    assert json.loads(sent) == json.loads(body())


def test_data_may_be_null_or_in_base64() -> None:
    """Both are data."""
    assert bytes(read_event(body(data=None, data_base64="AAAA")).data_base64) == b'"AAAA"'
    text = json.dumps({**EVENT, "data": None}).encode()
    assert bytes(read_event(text).data) == b"null"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "is no CloudEvent"),
        (b"[]", "is no CloudEvent"),
        (b'"\xff"', "is no CloudEvent"),
        (b"[" * 60_000, "is no CloudEvent"),
        (body(id=None), "missing required field `id`"),
        (body(id=""), "/id: must have 1 to"),
        (body(id=7), "Expected `str`, got `int` - at `$.id`"),
        (body(source=""), "/source: must have 1 to"),
        (body(type="x" * 2000), "/type: must have 1 to"),
        (body(type="x" * 129), "/type: must not have more than 128"),
        (body(subject="x" * 2000), "/subject: must not have more"),
        (body(data=None), "/data: is missing"),
        (body(specversion="0.3"), "/specversion: must be 1.0"),
        (body(tenant="Acme!"), "/tenant: must be"),
        (body(provider="stripe"), "/provider: is for the gateway's own events"),
        (body(data="x" * MAX_AGENT_EVENT), "is larger than 64 KiB"),
        (body()[:-1] + b',"x":1e999999}', "is no JSON that every reader takes"),
        (body()[:-1] + b',"x":NaN}', "is no CloudEvent"),
        (body()[:-1] + b',"x":"\xff"}', "is no JSON that every reader takes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_event_is_told(text: bytes, expected: str) -> None:
    """In one line without anything of it."""
    with pytest.raises(NotAnEvent) as caught:
        read_agent_event(text)

    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "billing-agent" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "kind", "expected"),
    [
        ("/agents/billing-agent", "agent.run.failed", "billing-agent.agent.run.failed"),
        ("urn:acme:audit", "acme.invoice/paid", "urn-acme-audit.acme.invoice.paid"),
        ("https://a.example/x/", "t", "x.t"),
        ("/агент", "t", "x-"),
    ],
)
def test_an_event_without_a_routing_key_gets_one(source: str, kind: str, expected: str) -> None:
    """The end of its source, and its type; one word for the agent, whatever it is called."""
    key = key_of(read_event(body(source=source, type=kind)))

    assert key.startswith(expected)
    assert key.partition(".")[2].startswith(kind[:1])
