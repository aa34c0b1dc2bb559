"""What the gateway accepts, each consumer of ours reads; what is beyond that waits in the quarantine."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.identity import Identity
from gateway.cli.dead_letters import describe as describe_held
from gateway.cli.tail import describe, to_json_line
from gateway.config import Config
from gateway.events.envelope import Envelope
from gateway.events.json_bounds import MAX_DEPTH
from gateway.events.message import Message
from gateway.events.redaction import Redaction
from gateway.events.validation import UNREADABLE
from gateway.queues.archive import Archived
from gateway.queues.dead_letters import DeadLetter
from gateway.queues.dead_letters.quarantine import Revalidator
from gateway.queues.filter import EventFilter
from gateway.worker import Event
from gateway.worker.event import NotAnEvent
from support.acme import Acme

Build = Callable[..., Acme]
NAMED = {"event_id": "item:/id", "event_type": "item:/type"}
QUARANTINE = "webhooks.quarantine"
DEEP = f'{{"id":"1","type":"made","a":{"[" * (MAX_DEPTH - 1)}1{"]" * (MAX_DEPTH - 1)}}}'


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    """Gateways whose provider is as described."""
    async with AsyncExitStack() as stack:
        made: list[Acme] = []

        def build(**provider: Any) -> Acme:
            made.append(Acme(tmp_path, provider={**NAMED, **provider}))
            return made[-1]

        yield build
        for each in made:
            await stack.enter_async_context(each)


def held(message: Message) -> DeadLetter:
    """The message as the queue of the quarantine has it."""
    return DeadLetter(1, message.routing_key, message.message_id, message.headers, message.body)


@pytest.mark.parametrize(
    "number",
    [
        "1" * 309,
        "9" * 309,
        "-" + "9" * 400,
        "9" * 5000,
        "1e309",
        "1e999",
        "-1E+400",
        "1.8e308",
        "9" * 310 + ".5",
        "1e" + "9" * 30,
    ],
    ids=lambda number: f"{number[:8]}({len(number)})",
)
async def test_an_event_with_a_number_that_no_reader_takes_is_quarantined(build: Build, number: str) -> None:
    """It is genuine, so that it is answered 202, and it is where people find it; all commands can show it."""
    acme = build()
    body = f'{{"id":"1","type":"made","total":{number}}}'.encode()
    answer = await acme.post(body)
    (message,) = acme.publisher.messages

    if number == "1" * 309:  # which is below the largest double
        assert answer.json()["status"] == "accepted"
        assert Event.parse(message.body).data["total"] == float(number)
        return
    assert (answer.status_code, answer.json()) == (202, {"status": "quarantined", "id": "1"})
    assert (message.exchange, message.headers["violations"]) == (QUARANTINE, UNREADABLE.violations)
    assert message.body.endswith(b'"data":' + body + b"}")
    with pytest.raises(NotAnEvent):
        Event.parse(message.body)
    kept = held(message)
    assert (kept.provider, kept.word) == ("acme", "made")
    assert "acme  made  1" in describe_held(kept)
    assert "acme  made  1" in describe(message.body)
    assert to_json_line(message.body) == message.body.decode()
    assert kept.received_at
    assert Archived(1, message).received_at == kept.received_at


async def test_no_schema_takes_it_back(build: Build, tmp_path: Path) -> None:
    """No schema can make such an event readable."""
    acme = build()
    await acme.post(b'{"id":"1","type":"made","total":1e999}')
    provider = {"adapter": "hmac", "secrets": ["x" * 32], "signature": {"header": "X-Signature"}}
    config = Config.model_validate({"providers": {"acme": provider}})
    assert Revalidator(config, tmp_path).validate(held(acme.publisher.messages[0])) == UNREADABLE


async def test_of_a_list_only_what_cannot_be_read_is_quarantined(build: Build) -> None:
    """The others are published."""
    acme = build(batch="body:")
    answer = await acme.post(
        b'[{"id":"a","type":"x"},{"id":"b","type":"x","n":1e999},{"id":"c","type":"x","n":"1e999"}]'
    )

    assert answer.status_code == 202
    assert {message.message_id: message.exchange for message in acme.publisher.messages} == {
        "a": "webhooks",
        "b": QUARANTINE,
        "c": "webhooks",
    }


@pytest.mark.parametrize(
    "number",
    ["-0", "-0.0", "1e-999", "1" * 20, "1" * 300, "1.7976931348623157e308", "0.1e309", "1E5", "0e999"],
)
async def test_what_is_accepted_a_worker_reads(build: Build, number: str) -> None:
    """As the number that the standard library has for it, as near as a double is."""
    acme = build()
    event = await acme.publish(f'{{"id":"1","type":"made","n":{number}}}'.encode())
    (message,) = acme.publisher.messages

    assert message.exchange == "webhooks"
    assert Event.parse(message.body).data["n"] == pytest.approx(float(number))
    assert event["data"]["n"] == json.loads(number)


async def test_a_hundred_levels_are_read_by_all(build: Build) -> None:
    """By schemas, masks, workers and commands alike; one more is refused."""
    acme = build(redact=["/a/0/0/0"])
    message = (await acme.post(DEEP.encode()), acme.publisher.messages[0])[1]
    assert Event.parse(message.body).data["a"] == [[["***"]]]
    plain = build()
    await plain.post(DEEP.encode())
    (message,) = plain.publisher.messages
    depth, value = 1, Event.parse(message.body).data["a"]
    while isinstance(value, list):
        depth, value = depth + 1, value[0]
    assert depth == MAX_DEPTH
    assert "acme  made  1" in describe(message.body)
    assert held(message).provider == "acme"

    for deeper in (DEEP.replace("1]", "[1]]"), '{"a":' * 101 + "1" + "}" * 101):
        assert (await plain.post(deeper.encode())).status_code == 400


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"\xff", "not an event  1 bytes"),
        (b"[]", "not an event  2 bytes"),
        (b"{}", "not an event  2 bytes"),
        (b'{"a":1', "not an event  6 bytes"),
        (b'{"id":"1"}', "?  ?  ?  1  10 bytes"),
        (b'{"id":7,"provider":[],"eventtype":{"a":1},"receivedat":3}', "?  ?  a.1  7  57 bytes"),
        (b'{"id":"1","receivedat":null,"provider":"acme"}', "?  acme  ?  1  46 bytes"),
        (b"[" * 5000, "not an event  5000 bytes"),
        (b"NaN", "not an event  3 bytes"),
    ],
)
def test_a_message_that_is_no_event_is_told_and_ends_nothing(body: bytes, line: str) -> None:
    """Whoever published it: `tail`, `dev` and `replay --dry-run` go on."""
    assert describe(body) == line
    assert json.loads(to_json_line(body)) is not None
    assert DeadLetter(1, "x.y", "1", {}, body).word is not None
    assert DeadLetter(1, "x.y", "1", {}, body).received_at is None
    assert Archived(1, Message("", "x.y", "1", "", {}, body)).received_at is None


ESCAPES = "\x1b[2J\u202e\u2066\u200b\ufeff\x9b31m\u3164\U000e0041\r\n  x"


def test_what_a_sender_wrote_cannot_move_the_cursor_or_pass_for_a_column() -> None:
    """Neither in a line for people nor in one for programs, for whom it means the same as before."""
    identity = Identity("1", "made" + ESCAPES, subject="a" + ESCAPES, account="b  actor=root", actor="é 订单")
    body = Envelope("acme", "hmac").encode(
        identity,
        "1",
        "/acme",
        "com.hmac.made",
        json.dumps({"a": ESCAPES}, ensure_ascii=False).encode(),
        received_at="2025-01-15T12:00:00.000Z",
        secret_slot=0,
        is_claimed=True,
        schema_id=None,
        traceparent=None,
    )
    line = describe(body)
    assert line.isprintable()
    assert "\u3164" not in line
    assert "account=b actor=root" in line
    assert "é 订单" in line
    assert line.count("  ") == 7
    one = to_json_line(body)
    assert one.isprintable()
    assert json.loads(one) == json.loads(body)
    assert describe_held(
        DeadLetter(1, "acme.made", "1" + ESCAPES, {"exception": ESCAPES}, body)
    ).isprintable()


def test_numbers_keep_their_digits_behind_a_mask() -> None:
    """Ids are often longer than a double."""
    data = b'{"id":123456789012345678901234567890,"price":1.10,"big":1e999,"email":"x"}'
    masked, is_masked = Redaction(["/email"]).encode(data)

    assert is_masked
    assert masked.startswith(b'{"id":123456789012345678901234567890,"price":1.10,')
    assert b'"email":"***"' in masked


@pytest.mark.parametrize("pattern", ["orders/create", "orders.create", "orders/*", "#.create"])
def test_commands_take_a_pattern_in_either_spelling(pattern: str) -> None:
    """Those for events that wait, and `replay`."""
    body = b'{"provider":"shopify","eventtype":"orders/create","receivedat":"2025-01-15T12:00:00Z"}'
    message = Message("webhooks", "shopify.orders.create", "1", "com.shopify.orders.create", {}, body)

    for event in (held(message), Archived(1, message)):
        assert EventFilter(pattern=pattern).accepts(event)
        assert EventFilter("shopify", pattern, since=0, until=1e10).accepts(event)
        assert not EventFilter(pattern="orders/paid").accepts(event)
        assert not EventFilter("stripe", pattern).accepts(event)
