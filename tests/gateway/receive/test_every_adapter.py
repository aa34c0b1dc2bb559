"""Each adapter in a whole gateway: what its sender sends comes out, and once; and what it sends now and then as well."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import pytest
import yaml

from gateway.adapters import registry
from gateway.adapters.bundled import bundled
from gateway.app import Gateway
from gateway.config import Config
from gateway.devtools.samples import load_sample, sample_of
from gateway.devtools.simulator import SignedRequest, Simulator
from gateway.events.schemas import Catalogue
from gateway.events.validation import Validation
from gateway.receive import pipeline
from gateway.signatures.extractors import places_of, pointer_steps
from gateway.signatures.forms import parse_form, write_form
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.layout import listed
from gateway.transport.topic_patterns import matches
from support.answers import ANY_2XX, answer_to
from support.deliveries import NAMES, NOW, URL, delivered, parameters_of, secrets_of
from support.door import Door
from support.spies import SpyClaims, SpyPublisher, bundled_schemas


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
        with patch.object(Catalogue, "bundled", bundled_schemas):
            gateway = Gateway(
                config, folder, claims=SpyClaims([]), publisher=self.publisher, clock=lambda: NOW
            )
        self._transport = Door(gateway)

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
        code, body = answer_to(self.name, status)
        assert answer.status_code == code, answer.text
        assert answer.text == body if body is not None else answer.json()["status"] == status


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
        assert event.get("partlysigned", False) is delivery.adapter.spec.signature.is_body_partly_signed
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
    ids = {place: "seventeen" if place.endswith("type") else "17" for place in places_of(first)}
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


async def test_a_signed_item_that_stands_twice_in_a_list_is_one_event(tmp_path: Path) -> None:
    """Whatever is put beside its signed members: else one captured item would be any number of events."""
    house, delivery = House(tmp_path, "adyen"), delivered("adyen")
    document = json.loads(delivery.request.body)
    (item,) = document["notificationItems"]
    others = [
        {**item, "other": 1},
        {"NotificationRequestItem": {**item["NotificationRequestItem"], "eventDate": "2020-01-01"}},
    ]
    body = json.dumps({**document, "notificationItems": [item, *others]}).encode()
    house.expect_success(await house.post(delivery.request.headers, body, ""))
    assert len(house.publisher.messages) == 1


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


ADYEN_TEST = {
    "pspReference": "test_AUTHORISATION_1",
    "merchantAccountCode": "AcmeExample",
    "merchantReference": "8313842560770001",
    "amount": {"value": 10100, "currency": "EUR"},
    "eventCode": "AUTHORISATION",
    "success": "true",
    "additionalData": {},
}
WHATSAPP_TEST = {"messages": [{"from": "16315551181", "id": "ABGGFlA5Fpa", "type": "text"}]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adyen", {"notificationItems": [{"NotificationRequestItem": ADYEN_TEST}]}),
        (
            "cloudflare_notifications",
            {"text": "Hello World! This is a test message sent from https://cloudflare.com."},
        ),
        (
            "mercado_pago",
            {"id": "123456", "action": "payment.updated", "type": "payment", "data": {"id": "123456"}},
        ),
        (
            "meta",
            {
                "object": "whatsapp_business_account",
                "entry": [{"id": "0", "changes": [{"field": "messages", "value": WHATSAPP_TEST}]}],
            },
        ),
        ("stripe", {"id": "evt_00000000000000", "object": "event", "type": "x", "data": {"object": {}}}),
    ],
)
async def test_a_test_that_is_sent_again_is_published_again(
    tmp_path: Path, name: str, content: object
) -> None:
    """A second press of the button is meant, though the provider sends one id or the same bytes."""
    house = House(tmp_path, name)
    for number in (1, 2):
        house.expect_success(await house.send(JSON, json.dumps(content).encode()))
        assert [each.exchange for each in house.publisher.messages] == ["webhooks"] * number


# Equal events that are meant


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "livechat_text",
            {"action": "routing_status_set", "payload": {"agent_id": "ada", "status": "accepting_chats"}},
        ),
        ("plaid", {"webhook_type": "BANK_TRANSFERS", "webhook_code": "BANK_TRANSFERS_EVENTS_UPDATE"}),
        ("plaid", {"webhook_type": "TRANSFER", "webhook_code": "TRANSFER_EVENTS_UPDATE"}),
        ("plaid", {"webhook_type": "HOLDINGS", "webhook_code": "DEFAULT_UPDATE", "item_id": "1"}),
    ],
)
async def test_what_is_said_again_in_the_same_words_is_published_again(
    tmp_path: Path, name: str, content: object
) -> None:
    """With a mark, as it may be a repetition as well."""
    house = House(tmp_path, name)
    for _ in range(2):
        house.expect_success(await house.send(JSON, json.dumps(content).encode()))
    events = [json.loads(message.body) for message in house.publisher.messages]
    assert [event.get("replaysuspected") for event in events] == [None, True]


# Several events in one delivery


def unlike(element: dict[str, Any], number: int) -> dict[str, Any]:
    """An event that differs from others of its list, in what is signed of it."""
    if item := element.get("NotificationRequestItem"):  # of Adyen
        return {"NotificationRequestItem": {**item, "pspReference": f"REFERENCE{number}"}}
    return {**element, "unlike": number}


def multiplied(value: Any, steps: list[str], count: Iterator[int]) -> Any:
    """A payload in which each list on the way to the events, and theirs, has each element twice."""
    if isinstance(value, list):
        rest = steps[1:] if steps and steps[0] == "*" else []
        twice = [copy.deepcopy(element) for element in value for _ in range(2)]
        if steps:
            return [multiplied(element, rest, count) for element in twice]
        return [unlike(element, next(count)) for element in twice]
    if isinstance(value, dict) and steps:
        fits = [name for name in value if fnmatchcase(name, steps[0])]
        return value | {name: multiplied(value[name], steps[1:], count) for name in fits}
    return value


DROPS = {
    "subscription": {"id": "s", "type": "drop.entitlement.grant", "condition": {"organization_id": "9001"}},
    "events": [{"id": "e", "data": {"user_login": "ada", "entitlement_id": "fb78259e", "benefit_id": "b1"}}],
}
OF_SEVERAL: dict[str, Any] = {"twilio": EVENT_STREAM[:1], "twitch": DROPS}
"""Deliveries of those whose sample is one event alone."""


def of_several(name: str) -> Any:
    """What a delivery of an adapter carries that has its events in lists."""
    sample, spec = delivered(name).sample, registry.load(name).spec
    if name in OF_SEVERAL:
        return OF_SEVERAL[name]
    if sample.body_format == "form":
        fields = parse_form(sample.body, sample.media_type.encode())
        return json.loads(str(fields[spec.form_json or ""]))
    payload = json.loads(sample.body)
    return [payload] if spec.batch == "body:" and isinstance(payload, dict) else payload


@pytest.mark.parametrize("name", [name for name in NAMES if registry.load(name).spec.batch])
async def test_each_of_several_events_is_one_of_its_own(tmp_path: Path, name: str) -> None:
    """However deep they are: with an id of its own, the type and all else that one alone has."""
    house, adapter = House(tmp_path, name), registry.load(name)
    few, more, numbers = of_several(name), None, count()
    for place in listed(adapter.spec.batch):
        if (more := multiplied(few, pointer_steps(place), numbers)) != few:
            break
    told: list[dict[str, set[str]]] = []
    for payload in (few, more):
        body = json.dumps(payload).encode()
        sample = sample_of(adapter, delivered(name).sample.event_type, body)
        headers = {
            key: value for key, value in delivered(name).sample.headers.items() if key != "Content-Type"
        }
        sample = replace(sample, headers=headers)
        if adapter.spec.form_json:
            form = write_form({adapter.spec.form_json: body.decode()}, sample.media_type.encode())
            sample = replace(sample, body=form)
        secret, parameters = secrets_of(name).sender, parameters_of(adapter)
        request = Simulator(adapter, secret, URL, sample, parameters=parameters).make(NOW)
        answer = await house.post(request.headers, request.body, urlsplit(request.url).query)
        house.expect_success(answer)
        events = [json.loads(each.body) for each in house.publisher.messages]
        assert {each.exchange for each in house.publisher.messages} == {"webhooks"}
        assert len({event["id"] for event in events}) == len(events)
        told.append({event["eventtype"]: set(event) for event in events})
        house.publisher.messages.clear()
    assert len(events) == next(numbers) > 1
    assert told[0] == told[1]


META_ENTRY = {
    "id": "E1",
    "changes": [
        {"field": "messages", "value": {"messages": [{"id": "wamid.A", "from": "1555", "type": "text"}]}},
        {"field": "messages", "value": {"statuses": [{"id": "wamid.A", "status": "read", "timestamp": "1736942400"}]}},
        {"field": "messages", "value": {"statuses": [{"id": "wamid.A", "status": "sent", "timestamp": "1736942400"}]}},
        {"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}},
    ],
}  # fmt: skip
META_PAGE = {
    "id": "P1",
    "time": 1736942400000,
    "messaging": [
        {"sender": {"id": "7"}, "timestamp": 1736942400250, "message": {"mid": "m_A", "text": "hello"}},
        {"sender": {"id": "8"}, "timestamp": 1736942400250, "message": {"mid": "m_A", "is_deleted": True}},
        {"sender": {"id": "9"}, "timestamp": 1736942400250, "read": {"watermark": 1}},
    ],
    "standby": [{"sender": {"id": "9"}, "message": {"mid": "m_C"}}],
}
COMPANY = {
    "realmId": "310687",
    "dataChangeEvent": {
        "entities": [
            {"name": "Customer", "id": "1", "operation": "Create", "lastUpdated": "2025-01-15T12:00:00Z"},
            {"name": "Invoice", "id": "2", "operation": "Delete", "lastUpdated": "2025-01-15T12:00:00Z"},
        ]
    },
}
X = {
    "for_user_id": "22",
    "tweet_create_events": [{"id_str": "1", "user": {"screen_name": "ada"}, "timestamp_ms": "1736942400000"}],
    "favorite_events": [{"id": "f", "user": {"screen_name": "lin"}}, {"id": "g"}],
    "users": {"22": {"name": "Ada"}},
}


@pytest.mark.parametrize(
    ("name", "payload", "expected"),
    [
        (
            "meta",
            {"object": "whatsapp_business_account", "entry": [META_ENTRY, {"id": "E2", "time": 1736942400}]},
            [
                ("wamid.A", "whatsapp_business_account.messages", "wamid.A", "E1", "1555"),
                ("wamid.A:read:1736942400", "whatsapp_business_account.messages", "wamid.A", "E1", None),
                ("wamid.A:sent:1736942400", "whatsapp_business_account.messages", "wamid.A", "E1", None),
                (None, "whatsapp_business_account.account_update", None, "E1", None),
                (None, "whatsapp_business_account", None, "E2", None),
            ],
        ),
        (
            "meta",
            {"object": "page", "entry": [META_PAGE]},
            [
                ("m_A", "page", "m_A", "P1", "7"),
                ("m_A:deleted:true", "page", "m_A", "P1", "8"),
                (None, "page", None, "P1", "9"),
                ("m_C", "page", "m_C", "P1", "9"),
            ],
        ),
        (
            "quickbooks_legacy",
            {"eventNotifications": [COMPANY, {**COMPANY, "realmId": "2"}, {"realmId": "3"}]},
            [
                (None, "Customer.Create", "1", "310687", None),
                (None, "Invoice.Delete", "2", "310687", None),
                (None, "Customer.Create", "1", "2", None),
                (None, "Invoice.Delete", "2", "2", None),
                (None, "notification", None, "3", None),
            ],
        ),
        (
            "x_twitter",
            X,
            [
                (None, "tweet_create_events", "1", "22", "ada"),
                (None, "favorite_events", "f", "22", "lin"),
                (None, "favorite_events", "g", "22", None),
            ],
        ),
        (
            "linkedin",
            {"type": "T", "notifications": [{"notificationId": 1, "organizationalEntity": "o"}, {"notificationId": 2}]},
            [(None, "T", "1", "o", None), (None, "T", "2", None, None)],
        ),
    ],
)  # fmt: skip
async def test_events_of_several_kinds_in_one_delivery_keep_their_names(
    tmp_path: Path, name: str, payload: Any, expected: list[tuple[str | None, ...]]
) -> None:
    """The type, the subject, the account and the actor are its own, and so is the id where it is one of the sender's."""
    house = House(tmp_path, name)
    body = json.dumps(payload).encode()
    house.expect_success(await house.send(JSON, body))
    assert {each.exchange for each in house.publisher.messages} == {"webhooks"}
    events = [json.loads(each.body) for each in house.publisher.messages]
    found = [(event["eventtype"], *map(event.get, ("subject", "account", "actor"))) for event in events]
    assert found == [each[1:] for each in expected]
    for event, (event_id, *_) in zip(events, expected, strict=True):
        assert event["id"] == event_id or (event_id is None and len(event["id"]) == 64)
        assert event["summary"]
    house.expect_success(await house.send(JSON, body), "duplicate")
    assert len(house.publisher.messages) == len(expected)


async def test_several_messages_in_one_change_are_known_by_its_digest(tmp_path: Path) -> None:
    """No message stands for the others."""
    house = House(tmp_path, "meta")
    value = {"messages": [{"id": "wamid.A", "type": "text"}, {"id": "wamid.B", "type": "text"}]}
    change = {"field": "messages", "value": value}
    body = {"object": "whatsapp_business_account", "entry": [{"id": "E", "changes": [change]}]}
    await house.send(JSON, json.dumps(body).encode())
    event = json.loads(house.publisher.messages[0].body)
    assert len(event["id"]) == 64
    assert "subject" not in event
    assert event["summary"] == "WhatsApp for E: 2 messages"


# Answers


@pytest.mark.parametrize("name", NAMES)
async def test_a_quarantined_event_has_the_answer_of_an_accepted_one(tmp_path: Path, name: str) -> None:
    """Its sender is not to see the difference; it would repeat what it has delivered."""
    house, delivery = House(tmp_path, name), delivered(name)
    refuse = Validation(None, "/: /")
    with (
        patch.object(pipeline, "validate", lambda *_: refuse),
        patch.object(pipeline, "UNKNOWN", refuse),
    ):
        query = urlsplit(delivery.request.url).query
        answer = await house.post(delivery.request.headers, delivery.request.body, query)
    assert {each.exchange for each in house.publisher.messages} == {"webhooks.quarantine"}
    house.expect_success(answer, "quarantined")


def test_any_2xx_counts_only_where_the_sender_says_so(facts: Path) -> None:
    """Each adapter names the page; none has it whose sender is known to count 200 alone."""
    known = yaml.safe_load((facts / "providers.yaml").read_text("utf-8"))
    only_200 = {
        entry["id"]
        for entry in known
        if re.search(r"\b200\b|non-200", str(entry.get("retry")))
        and not re.search(r"2xx|20[124]", str(entry["retry"]))
    }
    assert only_200 >= {"linear", "meta", "plaid", "postmark", "quickbooks", "strava", "webflow", "wix"}
    for name in NAMES:
        assert registry.load(name).spec.any_2xx == (name in ANY_2XX)
        assert not (name in ANY_2XX and name in only_200)
    lines = [
        line
        for file in bundled("providers").iterdir()
        if file.name.endswith(".yaml")
        for line in file.read_text("utf-8").splitlines()
        if line.startswith("any_2xx:")
    ]
    assert lines
    assert all(re.fullmatch(r"any_2xx: true  # https://[^ ]+", line) for line in lines)


@pytest.mark.parametrize(
    ("name", "headers", "content", "code"),
    [
        ("slack", JSON, {"type": "event_callback", "event_id": "E", "event": {"type": "message"}}, 200),
        ("slack", FORM, b"command=%2Fdeploy&trigger_id=1&team_id=T&user_id=U&channel_id=C", 200),
        ("slack", FORM, b"payload=" + quote('{"type":"block_actions","trigger_id":"2"}').encode(), 200),
        ("discord", JSON, {"id": "1", "application_id": "7", "type": 2, "data": {"name": "deploy"}}, 202),
        ("discord", JSON, {"id": "2", "application_id": "7", "type": 3, "data": {"custom_id": "b"}}, 202),
        (
            "discord",
            JSON,
            {"application_id": "7", "type": 1, "event": {"type": "QUEST", "timestamp": "2025-01-15"}},
            204,
        ),
    ],
)
async def test_the_answer_fits_the_kind_of_event(
    tmp_path: Path, name: str, headers: dict[str, str], content: object, code: int
) -> None:
    """What people do in a client waits for another answer than what is only told; none of these has a body."""
    house = House(tmp_path, name)
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = await house.send(headers, body)
    assert (answer.status_code, answer.content) == (code, b"")
    assert len(house.publisher.messages) == 1
