"""The gateway in memory: its answers, and the events that it publishes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.devtools.simulator import Tampering
from gateway.errors import OperatorError
from gateway.testing import Answer, MemoryGateway


def short(answer: Answer) -> tuple[int, str, str | None]:
    """Return the status, outcome and cause of an answer."""
    return answer.status, answer.outcome, answer.cause


async def test_what_is_sent_is_published_once() -> None:
    """The same request again is a duplicate; another request of the same type is another event."""
    gateway = MemoryGateway()
    first = await gateway.send("stripe", "invoice.paid")
    again = await gateway.repeat(first)
    other = await gateway.send("stripe", "invoice.paid")

    assert [short(each)[:2] for each in (first, again, other)] == [
        (202, "accepted"),
        (200, "duplicate"),
        (202, "accepted"),
    ]
    assert orjson.loads(first.body) == {"status": "accepted", "id": first.events[0].id}
    assert again.events == ()
    assert [event.id for event in gateway.events] == [first.events[0].id, other.events[0].id]
    assert [message.routing_key for message in gateway.messages] == ["stripe.invoice.paid"] * 2


@pytest.mark.parametrize(
    ("tampering", "cause"),
    [
        ("body", "signature_mismatch"),
        ("signature", "signature_mismatch"),
        ("timestamp", "timestamp_too_old"),
    ],
)
async def test_a_forged_request_is_refused(tampering: Tampering, cause: str) -> None:
    """With the cause; nothing is published."""
    gateway = MemoryGateway()

    assert short(await gateway.send("stripe", tamper=tampering)) == (401, "invalid_signature", cause)
    assert gateway.messages == []


async def test_an_event_that_violates_its_schema_is_quarantined() -> None:
    """Workers never get it."""
    gateway = MemoryGateway()
    answer = await gateway.send("stripe", "invoice.paid", data={"data": {"object": {"id": 7}}})

    assert answer.outcome == "quarantined"
    assert (answer.events, gateway.events) == ((), [])
    assert [message.exchange for message in gateway.messages] == ["webhooks.quarantine"]


async def test_a_list_of_events_is_one_request() -> None:
    """Among concurrent requests, each answer has its own events."""
    gateway = MemoryGateway()
    answers = await asyncio.gather(*(gateway.send("sendgrid", data={"email": f"{n}@x"}) for n in range(3)))

    for number, answer in enumerate(answers):
        assert len(answer.events) > 1
        assert {event.data["email"] for event in answer.events} == {f"{number}@x"}


async def test_an_id_that_comes_twice_is_a_duplicate() -> None:
    """Whatever else the body contains."""
    gateway = MemoryGateway()
    outcomes = [
        (await gateway.send("stripe", "invoice.paid", data={"id": "evt_1", "pending_webhooks": n})).outcome
        for n in range(2)
    ]

    assert outcomes == ["accepted", "duplicate"]


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ({"tamper": "replay"}, ValueError, r"not 'replay'; repeat\(\) sends again"),
        ({"tamper": "header"}, ValueError, "tamper is body, signature or timestamp, not 'header'"),
        ({"tamper": "timestamp"}, OperatorError, "github does not sign the time"),
        ({"event_type": "pull_request"}, LookupError, "there are pull_request.opened, "),
    ],
)
async def test_mistakes_are_explained(arguments: dict[str, Any], kind: type[Exception], text: str) -> None:
    """With the possible values."""
    with pytest.raises(kind, match=text):
        await MemoryGateway().send("github", **arguments)


async def test_limits_that_gateways_share_need_no_redis_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the address of one needed, as elsewhere."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    config = tmp_path / "config.yaml"
    config.write_text(
        "server: {limits: shared}\nredis: {url: '${REDIS_URL}'}\n"
        "providers: {stripe: {adapter: stripe, secrets: ['${STRIPE_WEBHOOK_SECRET}'], rate_limit: 1/h}}\n",
        "utf-8",
    )
    gateway = MemoryGateway(config)

    assert [(await gateway.send("stripe")).status for _ in range(2)] == [202, 202]
