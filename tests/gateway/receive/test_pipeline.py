"""The whole application as a sender sees it: every answer there is, and the order of what happens before it."""

from __future__ import annotations

import asyncio
import hmac
import json
import uuid
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from structlog.testing import capture_logs

from gateway.app import Gateway
from gateway.claims import Claims
from gateway.config import Config
from gateway.events.envelope import Envelope
from gateway.events.message import Message
from gateway.events.schemas import Catalogue
from gateway.publishers import Publisher, PublishUnavailable
from support.door import Door
from support.spies import SECRET, SpyClaims, SpyPublisher, bundled_schemas
from support.waiting import PATIENCE, wait_until_async

JSON = "application/json"


class House:
    """A gateway in memory, with everything that a test looks at."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        provider = settings.pop("provider", {})
        self.events: list[str] = []
        self.claims = SpyClaims(self.events)
        self.publisher = SpyPublisher(self.events)
        self.config = Config.model_validate(
            {
                "data_dir": str(folder),
                "providers": {
                    "github": {"adapter": "github", "secrets": [SECRET], **provider},
                    "stripe": {"adapter": "stripe", "secrets": [SECRET]},
                },
                **settings,
            }
        )
        claims: Claims = self.claims
        publisher: Publisher = self.publisher
        with patch.object(Catalogue, "bundled", bundled_schemas):
            self.gateway = Gateway(self.config, folder, claims=claims, publisher=publisher)
        self.client = httpx.AsyncClient(transport=Door(self.gateway), base_url="http://gateway.test")
        self.operator = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.gateway.admin), base_url="http://gateway.test"
        )

    async def post(
        self,
        body: bytes = b'{"zen":"Design for failure."}',
        *,
        event_id: str | None = "1",
        event: str = "zen",
        path: str = "/webhooks/github",
        content: Any = None,
        drop: str = "",
        **headers: str,
    ) -> httpx.Response:
        """One delivery as GitHub signs it, with some of its headers replaced or dropped."""
        fields = {
            "Content-Type": JSON,
            "X-GitHub-Event": event,
            "X-Hub-Signature-256": "sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest(),
            **({} if event_id is None else {"X-GitHub-Delivery": event_id}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        fields.pop(drop, None)
        return await self.client.post(path, content=body if content is None else content, headers=fields)

    async def metric(self, sample: str) -> float:
        """The number behind one line of /metrics."""
        text = (await self.operator.get("/metrics")).text
        return next(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(sample))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A gateway as it is by default."""
    made = House(tmp_path)
    yield made
    await made.client.aclose()
    await made.operator.aclose()


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Callable[..., House]]:
    """A gateway with other settings."""
    made: list[House] = []

    def build(**settings: Any) -> House:
        made.append(House(tmp_path, **settings))
        return made[-1]

    yield build
    for each in made:
        await each.client.aclose()
        await each.operator.aclose()


def answer_of(response: httpx.Response) -> tuple[int, dict[str, Any]]:
    """Status and body, after a look at the headers that every answer has."""
    assert response.headers["content-type"] == JSON
    assert int(response.headers["content-length"]) == len(response.content)
    return response.status_code, response.json()


# The answers


async def test_an_event_that_was_published_is_accepted(house: House) -> None:
    """202 with its id."""
    assert answer_of(await house.post()) == (202, {"status": "accepted", "id": "1"})
    assert [message.message_id for message in house.publisher.messages] == ["1"]
    assert house.publisher.messages[0].exchange == "webhooks"
    assert house.publisher.messages[0].routing_key == "github.zen"


async def test_an_event_that_is_done_is_a_duplicate(house: House) -> None:
    """200 with its id, and nothing is published again."""
    await house.post()

    assert answer_of(await house.post()) == (200, {"status": "duplicate", "id": "1"})
    assert len(house.publisher.messages) == 1


async def test_an_event_against_its_schema_is_quarantined(house: House) -> None:
    """Confirmed where an operator can look at it, with the rules that it breaks and none of its values."""
    answer = await house.post(b'{"sender":"Mallory"}', event_id="2")

    assert answer_of(answer) == (202, {"status": "quarantined", "id": "2"})
    message = house.publisher.messages[0]
    assert message.exchange == "webhooks.quarantine"
    assert "/sender: " in message.headers["violations"]
    assert "Mallory" not in message.headers["violations"]
    assert "dataschema" not in json.loads(message.body)
    assert answer_of(await house.post(b'{"sender":"Mallory"}', event_id="2")) == (
        200,
        {"status": "duplicate", "id": "2"},
    )


async def test_an_event_against_its_schema_is_refused_where_that_is_wanted(
    build: Callable[..., House],
) -> None:
    """422, nothing claimed and nothing published."""
    house = build(provider={"on_invalid": "reject"})
    answer = await house.post(b'{"sender":"Mallory"}')

    assert answer_of(answer) == (422, {"status": "rejected", "reason": "schema_mismatch", "id": "1"})
    assert house.events == []


async def test_a_digit_in_a_pattern_is_one_of_ten(tmp_path: Path, build: Callable[..., House]) -> None:
    """Not one of another script, nor one before a line feed."""
    (tmp_path / "own.json").write_text('{"properties":{"digit":{"pattern":"^\\\\d$"}}}')
    house = build(provider={"schema": "own.json"})
    answer = await house.post('{"digit":"\u0663"}'.encode())

    assert answer_of(answer) == (202, {"status": "quarantined", "id": "1"})
    assert house.publisher.messages[0].headers["violations"] == r"/digit: must match ^\d$"
    assert answer_of(await house.post(b'{"digit":"3"}', event_id="2")) == (
        202,
        {"status": "accepted", "id": "2"},
    )


async def test_an_event_that_nobody_wants_is_ignored(build: Callable[..., House]) -> None:
    """200, so that its sender is content; nothing claimed and nothing published."""
    house = build(provider={"events": ["push", "pull_request.*"]})

    assert answer_of(await house.post()) == (200, {"status": "ignored", "id": "1"})
    assert house.events == []
    assert (await house.post(b'{"action":"opened"}', event="pull_request")).status_code == 202


@pytest.mark.parametrize("body", [b"", b" ", b"{", b'{"a":1}x', b"NaN", b"\xff", b"[" * 101 + b"]" * 101])
async def test_what_is_not_json_is_refused(house: House, body: bytes) -> None:
    """400, though the sender is genuine; without an id, because none was read yet."""
    assert answer_of(await house.post(body)) == (400, {"status": "rejected", "reason": "malformed_json"})
    assert house.events == []


@pytest.mark.parametrize(
    ("event_id", "published"),
    [
        (None, None),
        ("", None),
        ("a b", "a b"),
        ("caf\xe9", "caf\xe9"),
        ("x" * 256, sha256(b"x" * 256).hexdigest()),
        ("a\tb", sha256(b"a\tb").hexdigest()),
    ],
)
async def test_no_event_is_refused_for_its_id(
    house: House, event_id: str | None, published: str | None
) -> None:
    """It keeps one that can be carried, and has a digest in place of another."""
    headers = {} if event_id is None else {b"x-github-delivery": event_id.encode("latin-1")}
    body = b"{}"
    signature = b"sha256=" + hmac.new(SECRET.encode(), body, "sha256").hexdigest().encode()
    answer = await house.client.post(
        "/webhooks/github",
        content=body,
        headers={b"x-hub-signature-256": signature, b"x-github-event": b"ping", **headers},
    )

    assert answer.status_code == 202
    (message,) = house.publisher.messages
    published = published or sha256(b"ping\0" + body).hexdigest()
    assert message.message_id == json.loads(message.body)["id"] == answer.json()["id"] == published


async def test_all_signature_failures_have_one_answer(house: House) -> None:
    """401 with one body, so that nothing can be probed; the precise reason is counted."""
    answers = [
        await house.post(drop="X-Hub-Signature-256"),
        await house.post(X_Hub_Signature_256="sha256=" + "0" * 64),
        await house.post(X_Hub_Signature_256="sha256=tooshort"),
        await house.post(X_Hub_Signature_256="md5=" + "0" * 64),
        await house.post(X_Hub_Signature_256=""),
        # nothing else is looked at before the sender is proven
        await house.post(b"{", X_Hub_Signature_256="sha256=" + "0" * 64),
        await house.post(Content_Type="text/plain", drop="X-Hub-Signature-256"),
        await house.post(event_id=None, drop="X-Hub-Signature-256"),
        await house.post(path="/webhooks/stripe"),
        await house.post(path="/webhooks/stripe", Stripe_Signature="t=1,v1=" + "0" * 64),
    ]

    assert [(401, b'{"status":"rejected","reason":"invalid_signature"}')] * len(answers) == [
        (answer.status_code, answer.content) for answer in answers
    ]
    assert len({str(answer.headers) for answer in answers}) == 1
    assert house.events == []
    metric = 'webhook_signature_failures_total{provider="github",reason="signature_%s"}'
    assert await house.metric(metric % "mismatch") == 2
    assert await house.metric(metric % "missing") >= 1


async def test_a_body_that_was_changed_on_the_way_is_refused(house: House) -> None:
    """By one byte, under the signature of what was sent."""
    answer = await house.post(b'{"amount":1}', content=b'{"amount":9}')

    assert answer.status_code == 401
    assert house.events == []


@pytest.mark.parametrize(
    "path",
    ["/webhooks/gitlab", "/webhooks/", "/webhooks", "/webhooks/github//", "//webhooks/github", "/", "/x"],
)
async def test_a_path_that_nobody_configured_is_unknown(house: House, path: str) -> None:
    """404 for the path alone, whatever it carries; and never a redirect."""
    expected = (404, {"status": "rejected", "reason": "unknown_provider"})
    assert expected == answer_of(await house.post(path=path))
    assert house.events == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_webhooks_are_posted(house: House, method: str) -> None:
    """405, with what is allowed."""
    answer = await house.client.request(method, "/webhooks/github")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    if method != "HEAD":  # whose answer has no body
        assert answer_of(answer) == (405, {"status": "rejected", "reason": "method_not_allowed"})


async def test_a_body_of_the_limit_is_read(build: Callable[..., House]) -> None:
    """In one piece, in many, and not one byte more."""
    house = build(server={"max_body": "1KiB"})
    body = b'{"zen":"' + b"x" * 1014 + b'"}'
    assert len(body) == 1024

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    assert (await house.post(body, event_id="1")).status_code == 202
    assert (await house.post(body, event_id="2", content=pieces())).status_code == 202
    assert (await house.post(body + b" ", event_id="3")).status_code == 413
    assert [body, body] == [data_of(message) for message in house.publisher.messages]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "text/plain"},
        {"Content_Encoding": "gzip"},
    ],
)
async def test_what_is_not_plain_json_is_not_read(house: House, headers: dict[str, str]) -> None:
    """415; a compressed body is never inflated."""
    answer = await house.post(**headers)  # type: ignore[arg-type]

    assert answer_of(answer) == (415, {"status": "rejected", "reason": "unsupported_media_type"})
    assert house.events == []


async def test_a_repeated_header_that_counts_is_refused(house: House) -> None:
    """400: a proxy and we could have read different ones."""
    signature = ("X-Hub-Signature-256", "sha256=" + "0" * 64)
    answer = await house.client.post("/webhooks/github", content=b"{}", headers=[signature, signature])

    assert answer.status_code in (400, 401)
    assert house.events == []


async def test_an_event_that_another_request_handles_is_in_flight(
    build: Callable[..., House],
) -> None:
    """503 with Retry-After and never 2xx: the other one may still fail. Half of the deadline is waited at most."""
    house = build(server={"deadline": "200ms"})
    house.publisher.gate.clear()
    first = asyncio.ensure_future(house.post())
    await wait_until_async(lambda: house.publisher.waiting, PATIENCE, "the first one waits for its confirm")
    second = await house.post()
    assert answer_of(second) == (503, {"status": "unavailable", "reason": "in_flight", "id": "1"})
    assert second.headers["retry-after"] == "5"
    assert not first.done()
    house.publisher.gate.set()

    assert (await first).status_code == 202
    assert len(house.publisher.messages) == 1


async def test_a_repetition_that_waits_learns_how_the_first_one_ended(house: House) -> None:
    """A duplicate when it was published; its own attempt when it was not."""
    house.publisher.gate.clear()
    first = asyncio.ensure_future(house.post())
    await wait_until_async(lambda: house.publisher.waiting, PATIENCE, "the first one waits for its confirm")
    second = asyncio.ensure_future(house.post())
    await wait_until_async(lambda: house.events.count("claim") >= 3, PATIENCE, "the second one asks again")
    house.publisher.gate.set()
    assert [(await each).status_code for each in (first, second)] == [202, 200]

    house.publisher.unavailable_reason = "no queue"
    house.publisher.gate.clear()
    first = asyncio.ensure_future(house.post(event_id="2"))
    await wait_until_async(lambda: house.publisher.waiting, PATIENCE, "the first one waits for its confirm")
    second = asyncio.ensure_future(house.post(event_id="2"))
    claims = house.events.count("claim")
    await wait_until_async(lambda: house.events.count("claim") >= claims + 2, PATIENCE, "it asks again")
    house.publisher.gate.set()
    assert (await first).status_code == 503
    house.publisher.unavailable_reason = ""

    assert (await second).status_code == 202
    assert [message.message_id for message in house.publisher.messages] == ["1", "2"]


async def test_an_event_that_the_broker_does_not_confirm_is_to_be_sent_again(house: House) -> None:
    """503 with Retry-After; the claim is given back, so that the repetition is accepted."""
    house.publisher.unavailable_reason = "the broker has gone fishing"
    answer = await house.post()
    assert answer_of(answer) == (503, {"status": "unavailable", "reason": "broker_unavailable", "id": "1"})
    assert answer.headers["retry-after"] == "5"
    assert house.claims.value("1") is None
    house.publisher.unavailable_reason = ""

    assert (await house.post()).status_code == 202
    assert house.events == ["claim", "publish", "release", "claim", "publish", "confirm", "commit"]


async def test_without_claims_events_are_refused_where_that_is_wanted(build: Callable[..., House]) -> None:
    """503 with Retry-After, and nothing is published."""
    house = build(dedupe={"on_unavailable": "reject"})
    house.claims.is_away = True
    answer = await house.post()

    assert answer_of(answer) == (503, {"status": "unavailable", "reason": "dedupe_unavailable", "id": "1"})
    assert answer.headers["retry-after"] == "5"
    assert house.events == ["claim"]


async def test_without_claims_events_are_published_unchecked_and_marked(house: House) -> None:
    """A duplicate can be repaired by its consumer; an event that is never sent again cannot."""
    house.claims.is_away = True
    answers = [(await house.post(event_id=event_id)).status_code for event_id in ("1", "3")]
    house.claims.is_away = False
    await house.post(event_id="2")

    assert answers == [202, 202]
    marks = [json.loads(message.body)["dedupe"] for message in house.publisher.messages]
    assert marks == ["unchecked", "unchecked", "claimed"]
    assert await house.metric('webhook_dedupe_unchecked_total{provider="github"}') == 2
    assert await house.metric('webhook_claim_commit_failures_total{provider="github"}') == 2
    assert "release" not in house.events


async def test_a_commit_that_fails_does_not_change_the_answer(house: House) -> None:
    """The event is safe; the repetition that may be published again is counted."""
    house.publisher.gate.clear()
    request = asyncio.ensure_future(house.post())
    await wait_until_async(lambda: house.publisher.waiting, PATIENCE, "it waits for its confirm")
    house.claims.is_away = True
    house.publisher.gate.set()

    assert (await request).status_code == 202
    assert await house.metric('webhook_claim_commit_failures_total{provider="github"}') == 1
    assert json.loads(house.publisher.messages[0].body)["dedupe"] == "claimed"


@pytest.mark.parametrize("bug", [RuntimeError("secret detail"), ValueError(), ZeroDivisionError()])
async def test_a_bug_is_a_500_and_gives_the_claim_back(house: House, bug: Exception) -> None:
    """A sender is told nothing of it but to try again; the log has the traceback."""
    house.publisher.bug = bug
    with capture_logs() as logs:
        answer = await house.post()
    assert answer_of(answer) == (500, {"status": "error", "reason": "internal", "id": "1"})
    assert answer.headers["retry-after"] == "5"
    assert any(line["event"] == "internal error" and line["exc_info"] for line in logs)
    assert house.claims.value("1") is None
    house.publisher.bug = None

    assert (await house.post()).status_code == 202


async def test_a_bug_in_the_claim_store_is_a_500(house: House) -> None:
    """Nothing is published without a decision about it."""
    house.claims.bug = RuntimeError("a bug")
    assert (await house.post()).status_code == 500
    assert house.events == ["claim"]


async def test_a_bug_in_composing_the_event_gives_the_claim_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails after the claim, the repetition is not held up by it."""

    def fail(*_: object, **__: object) -> bytes:
        raise RuntimeError("a bug")

    with monkeypatch.context() as context:
        context.setattr(Envelope, "encode", fail)
        assert (await house.post()).status_code == 500

    assert (await house.post()).status_code == 202


# The order


async def test_the_claim_is_permanent_only_after_the_confirm(house: House) -> None:
    """While the broker has not confirmed there is no answer and no `done`, and then both."""
    house.publisher.gate.clear()
    request = asyncio.ensure_future(house.post())
    await wait_until_async(lambda: house.publisher.waiting, PATIENCE, "it waits for its confirm")
    for _ in range(50):
        await asyncio.sleep(0)
    assert not request.done()
    assert (house.claims.value("1") or b"").startswith(b"pending:")
    assert house.events == ["claim", "publish"]
    house.publisher.gate.set()

    assert (await request).status_code == 202
    assert house.claims.value("1") == b"done"
    assert house.events == ["claim", "publish", "confirm", "commit"]


async def test_a_request_that_is_cancelled_gives_its_claim_back(house: House) -> None:
    """As at the end of the process: what is not confirmed is not done."""
    house.publisher.gate.clear()
    request = asyncio.ensure_future(house.post())
    await wait_until_async(lambda: house.publisher.waiting, PATIENCE, "it waits for its confirm")
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    assert house.events == ["claim", "publish", "release"]
    assert house.claims.value("1") is None


async def test_concurrent_identical_deliveries_are_published_once(house: House) -> None:
    """One is accepted; the others are duplicates, or told to come again."""
    answers = await asyncio.gather(*(house.post() for _ in range(30)))

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses.count(202) == 1
    assert set(statuses) <= {200, 202, 503}
    assert len(house.publisher.messages) == 1


async def test_concurrent_distinct_deliveries_are_all_published(house: House) -> None:
    """None disturbs another."""
    answers = await asyncio.gather(*(house.post(event_id=str(number)) for number in range(50)))

    assert [answer.status_code for answer in answers] == [202] * 50
    assert {str(number) for number in range(50)} == {each.message_id for each in house.publisher.messages}


# What an answer says


async def test_answers_echo_nothing_but_the_id_of_a_proven_sender(house: House) -> None:
    """A mark in every part of the request comes back from none of them."""
    mark = uuid.uuid4().hex
    body = b'{"%b":"%b"}' % (mark.encode(), mark.encode())
    answers = [
        await house.post(body, path=f"/webhooks/{mark}", event_id=mark),
        await house.post(body, path=f"/webhooks/github?{mark}", event_id=mark, X_Hub_Signature_256=mark),
        await house.post(b"{" + mark.encode(), event_id=mark, event=mark),
        await house.post(body, event=mark, X_Mark=mark, drop="X-GitHub-Delivery"),
        await house.post(body, event_id="1", event=mark, User_Agent=mark, Content_Type=mark),
        await house.post(body, event_id="1", event=mark, User_Agent=mark),
    ]

    assert [answer.status_code for answer in answers] == [404, 401, 400, 202, 415, 202]
    assert not any(mark in answer.text or mark in str(answer.headers) for answer in answers)


async def test_the_event_is_around_the_bytes_that_were_sent(house: House) -> None:
    """With the identity that was read of them."""
    body = b'{"zen" : 1e2, "zen":"\\u00e9", "n":12345678901234567890123}\n'
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await house.post(body, traceparent=traceparent)
    (message,) = house.publisher.messages

    assert data_of(message) == body
    event = json.loads(message.body)
    assert {
        "specversion": "1.0",
        "id": "1",
        "source": "/github",
        "type": "com.github.zen",
        "datacontenttype": "application/json",
        "provider": "github",
        "adapter": "github",
        "eventtype": "zen",
        "deliveryid": "1",
        "secretslot": "0",
        "dedupe": "claimed",
        "traceparent": traceparent,
    }.items() <= event.items()
    assert message.headers == {
        "provider": "github",
        "adapter": "github",
        "eventtype": "zen",
        "source": "/github",
        "traceparent": traceparent,
    }


async def test_an_event_without_an_id_is_known_by_its_body(build: Callable[..., House]) -> None:
    """Where the configuration names none."""
    signature = {"header": "X-Hub-Signature-256", "prefix": "sha256="}
    house = build(providers={"acme": {"adapter": "hmac", "secrets": [SECRET], "signature": signature}})
    answers = [await house.post(body, path="/webhooks/acme") for body in (b"{}", b"{}", b"{} ")]

    assert [answer.status_code for answer in answers] == [202, 200, 202]
    assert all(len(answer.json()["id"]) == 64 for answer in answers)


async def test_where_events_may_be_equal_each_delivery_is_one(build: Callable[..., House]) -> None:
    """Dropbox says that something changed, and says it in the same words the next time."""
    house = build(providers={"dropbox": {"adapter": "dropbox", "secrets": [SECRET]}})
    body = b'{"list_folder": {"accounts": ["dbid:a"]}}'
    signed = {"X-Dropbox-Signature": hmac.new(SECRET.encode(), body, "sha256").hexdigest()}
    answers = [await house.post(body, path="/webhooks/dropbox", **signed) for _ in range(2)]

    assert [answer.json()["status"] for answer in answers] == ["accepted", "accepted"]
    assert len({message.message_id for message in house.publisher.messages}) == 2


async def test_which_secret_matched_is_counted_and_told(build: Callable[..., House]) -> None:
    """So that an operator sees when the old one is out of use."""
    house = build(provider={"secrets": ["a newer secret of theirs", SECRET]})
    await house.post()

    assert json.loads(house.publisher.messages[0].body)["secretslot"] == "1"
    assert await house.metric('webhook_secret_slot_matches_total{provider="github",slot="1"}') == 1


async def test_a_trailing_slash_is_accepted(house: House) -> None:
    """It is the same address: the event is the same, too."""
    assert answer_of(await house.post(path="/webhooks/github/"))[0] == 202
    assert answer_of(await house.post(path="/webhooks/github")) == (200, {"status": "duplicate", "id": "1"})


# Health


async def test_readiness_follows_the_stores(house: House) -> None:
    """Live as long as it answers; ready while events can be accepted."""
    assert answer_of(await house.client.get("/livez")) == (200, {"status": "live"})
    ready = {"status": "ready", "checks": {"publisher": "ok", "claims": "ok", "clock": "ok"}}
    assert (200, ready) == answer_of(await house.operator.get("/readyz"))
    assert answer_of(await house.client.get("/readyz")) == (200, {"status": "ready"})
    house.publisher.unavailable_reason = "the broker has gone fishing"
    assert (answer_of(await house.operator.get("/readyz"))) == (
        503,
        {
            "status": "unavailable",
            "checks": {"publisher": "the broker has gone fishing", "claims": "ok", "clock": "ok"},
        },
    )
    assert answer_of(await house.client.get("/readyz")) == (503, {"status": "unavailable"})
    assert answer_of(await house.client.get("/livez")) == (200, {"status": "live"})


async def test_readiness_without_claims_depends_on_the_policy(build: Callable[..., House]) -> None:
    """Where events go out unchecked, the store may be away, once that has been found out."""
    for policy, has_been_tried, expected in (
        ("accept", True, 200),
        ("accept", False, 503),
        ("reject", True, 503),
    ):
        house = build(dedupe={"on_unavailable": policy})
        house.claims.unavailable_reason = "gone"
        house.claims.has_been_tried = has_been_tried
        assert (await house.client.get("/readyz")).status_code == expected
        explained = (await house.operator.get("/readyz")).json()
        assert explained["status"] == ("degraded" if expected == 200 else "unavailable")
        assert explained["checks"]["claims"] == "gone"


async def test_metrics_are_for_the_operator_alone(house: House) -> None:
    """The public listener does not know them."""
    assert (await house.client.get("/metrics")).status_code == 404
    assert (await house.operator.get("/metrics")).status_code == 200
    assert (await house.operator.post("/webhooks/github")).status_code == 404


def data_of(message: Message) -> bytes:
    """The bytes of the event's data, which stand last."""
    return message.body.partition(b',"data":')[2].removesuffix(b"}")


async def test_a_publish_that_fails_at_once_gives_the_claim_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher may raise before there is anything to wait for."""

    def refuse(_: Message) -> Any:
        raise PublishUnavailable("not connected")

    monkeypatch.setattr(house.publisher, "publish", refuse)
    assert (await house.post()).json()["reason"] == "broker_unavailable"
    assert house.claims.value("1") is None
