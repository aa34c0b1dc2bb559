"""Each adapter in a whole gateway: what its sender sends comes out, and once; and what it sends now and then as well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import pytest

from gateway.app import Gateway
from gateway.config import Config
from gateway.samples import load_sample
from gateway.schemas import Catalogue
from gateway.simulator import SignedRequest, Simulator
from gateway.topics import matches
from providers import Headers, RawRequest, registry
from providers.sources import places_of
from support.deliveries import NAMES, NOW, URL, delivered, parameters_of, secrets_of
from support.spies import SpyClaims, SpyPublisher, bundled


class House:
    """A gateway in memory with one sender, which is called like its adapter."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.adapter = name, registry.load(name)
        self.publisher = SpyPublisher([])
        provider: dict[str, Any] = {
            "adapter": name,
            "secrets": [secrets_of(name).receiver],
            "public_url": URL,
            "parameters": parameters_of(self.adapter),
            "handshake_token": "what it shows",
        }
        config = Config.model_validate({"data_dir": str(folder), "providers": {name: provider}})
        with patch.object(Catalogue, "bundled", bundled):
            gateway = Gateway(
                config, folder, claims=SpyClaims([]), publisher=self.publisher, clock=lambda: NOW
            )
        self._transport = httpx.ASGITransport(gateway.public)

    async def post(self, headers: Mapping[str, str], body: bytes, query: str) -> httpx.Response:
        """One request as it is."""
        async with httpx.AsyncClient(transport=self._transport, base_url="http://gateway.test") as client:
            return await client.post(f"/webhooks/{self.name}?{query}", headers=dict(headers), content=body)

    async def send(self, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """One request that is signed."""
        fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        request = RawRequest(body=body, headers=Headers(fields), path=urlsplit(URL).path, url=URL)
        secret = secrets_of(self.name).sender
        signed = self.adapter.scheme.sign(request, secret, NOW, parameters_of(self.adapter))
        return await self.post({**headers, **signed.headers}, signed.body, signed.query.decode())

    def expect_success(self, answer: httpx.Response, status: str = "accepted") -> None:
        """Raise for another answer than the one that the sender wants."""
        success = self.adapter.spec.success
        if success:
            assert (answer.status_code, answer.text) == (success.status, success.body)
        else:
            codes = {"accepted": 202, "duplicate": 200}
            assert (answer.status_code, answer.json()["status"]) == (codes[status], status), answer.text


@pytest.mark.parametrize("name", NAMES)
async def test_what_its_sender_sends_is_published_once(tmp_path: Path, name: str) -> None:
    """With the answer that the sender wants, under its name, with a summary where one is described."""
    house, delivery = House(tmp_path, name), delivered(name)
    query = urlsplit(delivery.request.url).query
    answer = await house.post(delivery.request.headers, delivery.request.body, query)

    house.expect_success(answer)
    assert house.publisher.messages
    assert {each.exchange for each in house.publisher.messages} == {"webhooks"}
    events = [json.loads(each.body) for each in house.publisher.messages]
    for message, event in zip(house.publisher.messages, events, strict=True):
        assert message.routing_key.startswith(f"{name}.")
        assert event["eventtype"] != "unknown"
        assert ("summary" in event) == bool(delivery.adapter.spec.summary)
        assert "dataschema" in event or "data" not in event or event["datacontenttype"] != "application/json"

    repeated = await house.post(delivery.request.headers, delivery.request.body, query)
    spec = delivery.adapter.spec
    equal = None if spec.event_id else spec.equal_events
    if equal and any(matches(pattern, event["eventtype"]) for event in events for pattern in equal.meant):
        again = [json.loads(each.body) for each in house.publisher.messages[len(events) :]]
        assert len(again) == len(events)
        assert all(event["replaysuspected"] for event in again)
    else:
        house.expect_success(repeated, "duplicate")
        assert len(house.publisher.messages) == len(events)


UNSIGNED_IDS = [
    name
    for name in NAMES
    if registry.load(name).spec.event_id and not registry.load(name).spec.signs_event_id
]
NO_OTHER_CONTENT = {"google_push_channels", "salesforce_outbound"}
"""Adapters whose events have no content, or none in JSON or a form, so that nothing else can be put into it here."""


def made(name: str, *, note: str, ids: dict[str, str]) -> SignedRequest:
    """A signed delivery with a word in its body; those of its ids that a simulator can set are as given."""
    adapter = registry.load(name)
    sample = load_sample(adapter, None)
    changes: dict[str, Any] = {"note": note}
    for place, value in ids.items():
        if place.startswith(("body:", "item:")):
            branch = changes
            *steps, last = place.partition(":/")[2].split("/")
            for step in steps:
                branch = branch.setdefault(step, {})
            branch[last] = value
    simulator = Simulator(
        adapter,
        secrets_of(name).sender,
        URL,
        sample,
        parameters=parameters_of(adapter),
        seed=1,
        changes=changes,
    )
    request = simulator.make(NOW)
    headers = {place.partition(":")[2]: value for place, value in ids.items() if place.startswith("header:")}
    kept = {
        field: value
        for field, value in request.headers.items()
        if field.lower() not in map(str.lower, headers)
    }
    return replace(request, headers={**kept, **headers})


@pytest.mark.parametrize("name", sorted(set(UNSIGNED_IDS) - NO_OTHER_CONTENT))
async def test_a_captured_delivery_under_an_id_to_come_swallows_no_event(tmp_path: Path, name: str) -> None:
    """The genuine one is published when it comes, marked, and told apart by its key; its repetitions are not."""
    house = House(tmp_path, name)
    source = house.adapter.spec.event_id
    first = source if isinstance(source, str) else (source or [""])[0]
    ids = dict.fromkeys(places_of(first), "17")
    captured, genuine = (made(name, note=note, ids=ids) for note in ("seen before", "to come"))
    for request, number in ((captured, 1), (genuine, 2), (genuine, 2), (captured, 2)):
        answer = await house.post(request.headers, request.body, urlsplit(request.url).query)
        assert answer.is_success, answer.text
        assert len(house.publisher.messages) == number
    events = [json.loads(message.body) for message in house.publisher.messages]
    assert events[0]["id"] == events[1]["id"]
    assert events[1]["replaysuspected"]
    assert events[1]["dedupekey"] != events[0].get("dedupekey")


@pytest.mark.parametrize("name", ["braintree", "paddle_classic", "plivo", "twilio"])
async def test_what_nobody_signed_makes_no_other_event(tmp_path: Path, name: str) -> None:
    """One captured delivery in other spellings is a repetition, or published with a mark."""
    house, delivery = House(tmp_path, name), delivered(name)
    query = urlsplit(delivery.request.url).query
    body = delivery.request.body
    respelled = "&".join(
        f"{field}=" + "".join(f"%{byte:02x}" for byte in value.encode())
        for field, value in parse_qsl(body.decode(), keep_blank_values=True)
    ).encode()
    bodies = [body, respelled, *([body + b"&more=1"] if name == "braintree" else [])]
    unsigned = {field.lower() for field in ("I-Twilio-Idempotency-Token",)}
    headers = {
        field: value for field, value in delivery.request.headers.items() if field.lower() not in unsigned
    }
    for each in bodies:
        await house.post(headers, each, query)
    events = [json.loads(message.body) for message in house.publisher.messages]
    assert events
    assert all(event.get("replaysuspected") for event in events[1:])


JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
GITHUB_FORM = b"payload=" + quote(json.dumps({"hook_id": 7, "hook": {"id": 7, "type": "App"}})).encode()
EVENT_STREAM = [{"id": "1", "type": "com.twilio.a"}, {"id": "2", "type": "com.twilio.b"}]


@pytest.mark.parametrize(
    ("name", "headers", "content", "event_types"),
    [
        ("intercom", JSON, {"id": None, "topic": "ping", "data": {"item": {"type": "ping"}}}, ["ping"]),
        ("monday", JSON, {"type": "install", "data": {"account_id": 7, "user_id": 8}}, ["install"]),
        ("gitlab", JSON, {"object_kind": "push", "ref": "refs/heads/main", "commits": []}, ["push"]),
        ("gitlab", JSON, {"event_name": "project_create", "project_id": 7}, ["project_create"]),
        ("jira", JSON, {"webhookEvent": "user_created", "user": {"name": "ada"}}, ["user_created"]),
        ("aws_eventbridge", JSON, {"instance": "i-1", "state": "stopped"}, ["event"]),
        ("paddle_classic", FORM, b"p_order_id=7&p_product_id=8&email=a%40example.com", ["fulfillment"]),
        ("google_pubsub", {**JSON, "x-goog-pubsub-message-id": "7"}, {"order": 7}, ["message"]),
        ("brevo", JSON, [{"event": "opened"}, {"event": "click"}], ["opened", "click"]),
        ("brevo", JSON, {"items": [{"Subject": "é"}]}, ["inbound"]),
        ("attio", JSON, {"webhook_id": "w", "events": [{"event_type": "task.created"}]}, ["task.created"]),
        ("mailersend", JSON, {"type": "maintenance.start", "data": {}}, ["maintenance.start"]),
        ("grafana", JSON, {"state": "alerting", "ruleId": 7, "evalMatches": None}, ["alerting"]),
        ("twilio", JSON, EVENT_STREAM, ["com.twilio.a", "com.twilio.b"]),
        ("github", {**FORM, "X-GitHub-Event": "ping", "X-GitHub-Delivery": "1"}, GITHUB_FORM, ["ping"]),
    ],
)  # fmt: skip
async def test_what_its_sender_sends_seldom_is_published_too(
    tmp_path: Path, name: str, headers: dict[str, str], content: object, event_types: list[str]
) -> None:
    """Other events than most, older versions, and lists: genuine all the same."""
    house = House(tmp_path, name)
    body = content if isinstance(content, bytes) else json.dumps(content).encode()

    house.expect_success(await house.send(headers, body))
    published = [(each.exchange, json.loads(each.body)["eventtype"]) for each in house.publisher.messages]
    assert published == [("webhooks", event_type) for event_type in event_types]
