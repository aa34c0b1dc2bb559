"""Lists of events with real servers: each arrives once, byte for byte, despite repetitions."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.gateway_process import GatewayProcess, Secrets
from support.inbox import Inbox, ids

COUNT = 2500


@pytest.fixture(scope="module")
def gateway(
    module_folder: Path, module_secrets: Secrets, module_redis_url: str, module_rabbitmq_url: str
) -> Iterator[GatewayProcess]:
    """One gateway on real servers, with a sender of lists."""
    mailer = {
        "adapter": "hmac",
        "secrets": ["${ACME_WEBHOOK_SECRET}"],
        "signature": {"header": "X-Signature"},
        "batch": "body:",
        "event_id": "item:/id",
        "event_type": "item:/event",
        "delivery_id": "header:X-Delivery",
    }
    process = GatewayProcess(
        module_folder,
        module_secrets,
        redis_url=module_redis_url,
        rabbitmq_url=module_rabbitmq_url,
        overrides={"providers": {"mailer": mailer}},
    )
    with process:
        yield process


@pytest.fixture
def inbox(gateway: GatewayProcess, module_rabbitmq_url: str) -> Inbox:
    """A queue for all events, empty."""
    inbox = Inbox(module_rabbitmq_url)
    inbox.take_all()
    return inbox


def post(gateway: GatewayProcess, texts: list[str], delivery: str) -> httpx.Response:
    """One delivery of these events."""
    body = ("[\n" + ",\n  ".join(texts) + "\n]").encode()
    digest = hmac.new(gateway.secrets.acme.encode(), body, "sha256").hexdigest()
    headers = {"Content-Type": "application/json", "X-Signature": digest, "X-Delivery": delivery}
    return httpx.post(
        f"{gateway.url}/webhooks/mailer", content=body, headers=headers, timeout=20, trust_env=False
    )


def test_a_list_arrives_whole_and_once(gateway: GatewayProcess, inbox: Inbox) -> None:
    """Though part of it has come before, and all of it comes again."""
    texts = [f'{{ "id":"m-{number}", "event":"open", "n":{number}.10 }}' for number in range(COUNT)]

    first = post(gateway, texts[:700], "d-1")
    assert (first.status_code, first.json()) == (202, {"status": "accepted", "id": "d-1"})
    assert post(gateway, texts, "d-2").json()["status"] == "accepted"
    again = post(gateway, texts, "d-2")
    assert (again.status_code, again.json()) == (200, {"status": "duplicate", "id": "d-2"})

    arrivals = inbox.take(COUNT)
    assert set(ids(arrivals).values()) == {1}
    assert {arrival.message_id: arrival.data.decode() for arrival in arrivals} == {
        json.loads(text)["id"]: text for text in texts
    }
    assert {arrival.routing_key for arrival in arrivals} == {"mailer.open"}
    lines = [line for line in gateway.request_lines() if line["event_id"] == "d-2"]
    assert [line["outcomes"] for line in lines] == [
        {"duplicate": 700, "accepted": COUNT - 700},
        {"duplicate": COUNT},
    ]


def test_a_list_with_something_else_in_it_loses_nothing(
    gateway: GatewayProcess, inbox: Inbox, module_rabbitmq_url: str
) -> None:
    """What is no event is quarantined, the rest goes where it belongs."""
    answer = post(gateway, ['{"id":"x-1","event":"open"}', "17", '{"id":"x-2","event":"click"}'], "d-3")

    assert answer.json() == {"status": "quarantined", "id": "d-3"}
    assert set(ids(inbox.take(2))) == {"x-1", "x-2"}
    (odd,) = Inbox(module_rabbitmq_url, "webhooks.quarantine", None).take(1)
    assert (odd.data, odd.headers["violations"]) == (b"17", "/: the event is not an object")
