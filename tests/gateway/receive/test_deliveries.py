"""What deliveries of other kinds than one JSON event become, and how their senders are answered."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.adapter import BoundAdapter
from gateway.errors import Overloaded
from gateway.receive.jobs import AT_A_TIME, Keys, PublishBatch
from gateway.receive.public_keys import PublicKeyFetcher
from gateway.signatures.rejections import Rejection, SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeyNeeded, KeyRequest
from support.acme import Acme

Build = Callable[..., Acme]

CLOUDEVENTS = {
    "content": {
        "application/json": "json",
        "application/*+json": "json",
        "application/cloudevents-batch+json": "json_list",
        "*/*": "text",
    },
    "event_id": ["header:ce-id", "item:/id"],
    "event_type": ["header:ce-type", "item:/type"],
}
FORM = {
    "content": {"application/x-www-form-urlencoded": "form"},
    "event_id": "body:/sid",
    "event_type": "body:/status",
}


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    """Gateways whose provider is as described."""
    async with AsyncExitStack() as stack:
        made: list[Acme] = []

        def build(provider: dict[str, Any] | None = None, **settings: Any) -> Acme:
            made.append(Acme(tmp_path, provider=provider, **settings))
            return made[-1]

        yield build
        for each in made:
            await stack.enter_async_context(each)


# What becomes of bodies


async def test_a_form_becomes_an_object(build: Build) -> None:
    """By which it is identified, and which is its data."""
    event = await build(FORM).publish(b"sid=SM1&status=sent&to=%2B1", "application/x-www-form-urlencoded")
    assert (event["id"], event["eventtype"]) == ("SM1", "sent")
    assert event["data"] == {"sid": "SM1", "status": "sent", "to": "+1"}
    assert event["datacontenttype"] == "application/json"


async def test_xml_becomes_base64(build: Build) -> None:
    """Identified by what is in it, and held to no schema."""
    acme = build({"content": {"text/xml": "xml"}, "event_id": "body:/note/id", "event_type": "member:"})
    body = b'<n:note xmlns:n="urn:n"><n:id>7</n:id></n:note>'
    event = await acme.publish(body, "text/xml; charset=utf-8")
    assert (event["id"], event["eventtype"]) == ("7", "note")
    assert (base64.b64decode(event["data_base64"]), event["datacontenttype"]) == (
        body,
        "text/xml; charset=utf-8",
    )
    assert "data" not in event


async def test_a_delivery_may_have_no_body(build: Build) -> None:
    """All is in its headers, and there are no data."""
    acme = build({"is_empty_allowed": True, "event_id": "header:X-Number", "event_type": "header:X-State"})
    event = await acme.publish(b"", None, X_Number="10", X_State="exists")
    assert (event["id"], event["eventtype"]) == ("10", "exists")
    assert not event.keys() & {"data", "data_base64", "datacontenttype"}


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"a": 1}', "application/json", {"data": {"a": 1}}),
        (b"[1,2]", "application/json", {"data": [1, 2]}),
        (b"\xff\0", "image/png", {"data_base64": "/wA=", "datacontenttype": "image/png"}),
        (b"<a/>", "text/xml", {"data_base64": "PGEvPg==", "datacontenttype": "text/xml"}),
    ],
)
async def test_a_cloudevent_in_binary_mode_carries_anything(
    build: Build, body: bytes, content_type: str, expected: dict[str, Any]
) -> None:
    """Its attributes stand in the header, and JSON that is a list is its data."""
    headers = {"ce-id": "A-1", "ce-type": "com.acme.made", "ce-specversion": "1.0"}
    event = await build(CLOUDEVENTS).publish(body, content_type, **headers)
    assert (event["id"], event["eventtype"]) == ("A-1", "com.acme.made")
    assert expected.items() <= event.items()


async def test_cloudevents_come_in_a_batch_or_alone(build: Build) -> None:
    """By their media type alone."""
    acme = build(CLOUDEVENTS)
    one, other = b'{"id":"a","type":"made"}', b'{"id":"b","type":"made"}'
    await acme.post(b"[" + one + b"," + other + b"]", "application/cloudevents-batch+json")
    await acme.post(one.replace(b'"a"', b'"c"'), "application/cloudevents+json; charset=UTF-8")
    assert acme.published == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b'{"sid": "1"}', "application/x-www-form-urlencoded", (400, "malformed_request")),
        (b"{}", "application/json", (415, "unsupported_media_type")),
    ],
)
async def test_what_cannot_be_read_is_refused(
    build: Build, body: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    """As broken JSON is, with nothing claimed."""
    acme = build(FORM)
    answer = await acme.post(body, content_type)
    assert (answer.status_code, answer.json()["reason"]) == expected
    assert acme.events == []


# Answers


async def test_a_sender_gets_the_answer_that_it_demands(build: Build) -> None:
    """For all that went well, and for nothing else."""
    demanded = {"status": 200, "body": "[accepted]", "content_type": "text/plain"}
    acme = build(
        {"success": demanded, "event_id": "body:/id", "events": ["unknown"], "batch": "body:/events"}
    )
    for body in (b'{"id":"a"}', b'{"id":"a"}', b'{"events":[]}'):
        answer = await acme.post(body)
        assert (answer.status_code, answer.text) == (200, "[accepted]")
        assert answer.headers["content-type"] == "text/plain"
    assert [
        acme.metric(f'webhook_requests_total{{outcome="{each}"')
        for each in ("accepted", "duplicate", "ignored")
    ] == [1] * 3
    acme.publisher.refused = {"b"}
    assert (await acme.post(b'{"id":"b"}')).json()["reason"] == "broker_unavailable"


async def test_an_answer_may_have_no_content(build: Build) -> None:
    """Then it tells no length either."""
    answer = await build({"success": {"status": 204}}).post(b"{}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert "content-length" not in answer.headers


# Signatures that do not cover the body


class Careless:
    """A verifier that trusts a token which covers no body."""

    fetched: FetchedKeys | None = None

    def verify(self, request: RawRequest, now: float) -> int:
        """See :meth:`gateway.signatures.schemes.base.Verifier.verify`."""
        request.signed = request.headers.get(b"x-token")
        return 0

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """See :meth:`gateway.signatures.schemes.base.Verifier.learn`."""


def adapter_of(acme: Acme) -> BoundAdapter:
    """The one of the only endpoint."""
    return acme.gateway.receiver.routes[b"/webhooks/acme"].adapter


async def test_another_event_under_one_signature_is_suspect(build: Build) -> None:
    """Where that proves no body, it is what the marker is made of; its sender's repetition is not suspect."""
    acme = build({"event_id": "body:/id"})
    adapter = adapter_of(acme)
    adapter.verifier, adapter.signs_event_id = Careless(), False
    assert "replaysuspected" not in await acme.publish(b'{"id":"a"}', X_Token="1")
    assert "replaysuspected" not in await acme.publish(b'{"id":"b"}', X_Token="2")
    assert (await acme.post(b'{"id":"a"}', X_Token="1")).json()["status"] == "duplicate"
    assert (await acme.publish(b'{"id":"c"}', X_Token="1"))["replaysuspected"]


async def test_the_events_of_a_list_under_one_signature_are_not_suspect(build: Build) -> None:
    """But others in their place are."""
    acme = build({"event_id": "item:/id", "batch": "body:"})
    adapter = adapter_of(acme)
    adapter.verifier, adapter.signs_event_id = Careless(), False
    await acme.post(b'[{"id":"a"},{"id":"b"}]', X_Token="1")
    await acme.post(b'[{"id":"a"},{"id":"x"}]', X_Token="1")
    suspects = [each.message_id for each in acme.publisher.messages if b"replaysuspected" in each.body]
    assert (acme.published, suspects) == (["a", "b", "x"], ["x"])


# Keys that have to be fetched


class Learner(Careless):
    """A verifier that has to learn so many keys."""

    def __init__(self, needed: int) -> None:
        self.needed = needed

    def verify(self, request: RawRequest, now: float) -> int:
        """See :meth:`gateway.signatures.schemes.base.Verifier.verify`."""
        if self.needed:
            raise KeyNeeded(KeyRequest(f"https://keys.test/{self.needed}"))
        if request.body == b"{}":
            return 0
        raise SignatureRejected("signature_mismatch")

    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        """See :meth:`gateway.signatures.schemes.base.Verifier.learn`."""
        self.needed -= 1


class Store(Keys):
    """Keys that are there, or not."""

    def __init__(self, unavailable_reason: Rejection | Exception | None = None) -> None:
        self.unavailable_reason = unavailable_reason
        self.asked: list[str] = []
        self.clients: set[str] = set()

    async def fetch(self, adapter: BoundAdapter, request: KeyRequest, client: str) -> None:
        """See :class:`gateway.receive.receiver.Keys`."""
        await asyncio.sleep(0)
        self.asked.append(request.url)
        self.clients.add(client)
        if self.unavailable_reason:
            raise self.unavailable_reason
        adapter.learn(request, b"", 0.0)


@pytest.mark.parametrize(
    ("needed", "body", "reason", "expected", "asked"),
    [
        (0, b"{}", None, (202, "accepted"), 0),
        (1, b"{}", None, (202, "accepted"), 1),
        (2, b"{}", None, (202, "accepted"), 2),
        (3, b"{}", None, (202, "accepted"), 3),
        (4, b"{}", None, (503, "key_unavailable"), 3),
        (1, b"{ }", None, (401, "invalid_signature"), 1),
        (1, b"{}", Overloaded(), (503, "overloaded"), 1),
        (1, b"{}", ValueError("a bug"), (500, "internal"), 1),
    ],
)
async def test_a_key_is_fetched_before_the_verdict(
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    needed: int,
    body: bytes,
    reason: Rejection | Exception | None,
    expected: tuple[int, str],
    asked: int,
) -> None:
    """Three times at most, and what follows is as ever."""
    acme = build()
    adapter_of(acme).verifier = Learner(needed)
    store = Store(reason)
    monkeypatch.setattr(PublicKeyFetcher, "fetch", lambda _, *asked: store.fetch(*asked))
    answer = await acme.post(body)
    word = answer.json()
    assert (answer.status_code, word.get("reason", word["status"])) == expected
    assert len(store.asked) == asked
    assert store.clients == ({"127.0.0.1"} if asked else set())
    assert len(acme.published) == (expected[0] == 202)


def test_a_list_counts_for_as_many_as_are_under_way() -> None:
    """So that the limit on events under way holds for the memory that they take."""
    part: Any = object()
    for number, width in ((3, 3), (AT_A_TIME + 1, AT_A_TIME)):
        assert PublishBatch(part, part, number, part).width == width
