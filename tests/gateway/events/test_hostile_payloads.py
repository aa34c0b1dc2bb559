"""Whatever a body, a header or a name holds: it is refused, or becomes a valid event within its bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.identity import MAX_ATTRIBUTE, Identity
from gateway.adapters.spec import AdapterSpec
from gateway.adapters.summary import MAX_SUMMARY
from gateway.events.envelope import MAX_ROUTING_KEY, Envelope
from gateway.events.json_bounds import MAX_NAME, MAX_NAMES
from gateway.events.strict_json import UnreadableNumber, parse_json
from gateway.signatures import request as internals
from gateway.signatures.rejections import MalformedRequest, Rejection
from gateway.signatures.request import Headers, RawRequest, VerifiedRequest

NOW = 1_736_942_400
RAW_SECRET, ENCODED_SECRET = "correct horse battery staple", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GENERIC = Adapter(
    "hmac",
    AdapterSpec.model_validate(
        {
            "signature": {"header": "X-Signature", "signed": "{url}{path}{body}"},
            "event_id": ["header:X-Id", "body:/id"],
            "event_type": ["header:X-Type", "body:/type"],
            "event_action": "body:/action",
            "delivery_id": "header:X-Id",
            "source": "body:/source",
            "time": "body:/time",
            "subject": {"*": "body:/subject/0/id"},
            "account": "body:/account",
            "actor": "body:/actor",
        }
    ),
)
ADAPTERS = [GENERIC, *map(registry.load, ("github", "openai", "standard_webhooks", "stripe", "svix"))]
NAMES = [
    b"stripe-signature", b"x-hub-signature-256", b"x-github-event", b"x-github-delivery", b"x-signature", b"x-id",
    b"x-type", b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"svix-id", b"svix-timestamp",
    b"svix-signature", b"traceparent",
]  # fmt: skip
FIELDS = st.lists(
    st.tuples(
        st.sampled_from(NAMES) | st.binary(max_size=20),
        st.binary(max_size=60)
        | st.sampled_from(
            [b"", b"sha256=", b"v1,", b"v1a,x", b"t=1,v1=", b"%d" % NOW, b"\xff", b"v1=" + b"0" * 64]
        ),
    ),
    max_size=8,
)
WORDS = st.sampled_from(
    ["id", "type", "created", "data", "object", "action", "repository", "html_url", "sender", "login", "account",
     "context", "source", "time", "subject", "actor", "pull_request", "updated_at", "timestamp", "created_at"]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=300)
    | st.sampled_from(
        [1e308, -1, 1e11, 253402300800, "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "\0"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=9), inner, max_size=8)
    ),
)


def verified(body: bytes, fields: list[tuple[bytes, bytes]]) -> VerifiedRequest:
    """A request, as if it were proven."""
    return VerifiedRequest(RawRequest(body=body, headers=Headers(fields)), 0, proof=internals.PROOF)


def bound(adapter: Adapter) -> Any:
    """The adapter with a secret in its format."""
    return adapter.bind(
        [ENCODED_SECRET if adapter.spec.signature.scheme == "standard_webhooks" else RAW_SECRET]
    )


def publish(adapter: Adapter, body: bytes, fields: list[tuple[bytes, bytes]]) -> tuple[Identity, str, bytes]:
    """What the event would be: identity, routing key and body.

    Raises:
        Rejection: it is refused.
    """
    request = verified(body, fields)
    identity = bound(adapter).identify(request, parse_json(body))
    envelope = Envelope("acme", adapter.name)
    routing_key, kind = envelope.names_of(identity.event_type)
    event = envelope.encode(
        identity,
        identity.event_id or "0" * 64,
        envelope.source_of(identity),
        kind,
        body,
        received_at="2025-01-15T12:00:00.000Z",
        secret_slot=0,
        is_claimed=True,
        schema_id=None,
        traceparent=None,
    )
    return identity, routing_key, event


def check(adapter: Adapter, body: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    """It is refused with a rejection, or published within all bounds."""
    try:
        _, routing_key, event = publish(adapter, body, fields)
    except Rejection:
        return
    assert len(routing_key.encode("ascii")) <= MAX_ROUTING_KEY
    assert routing_key.isprintable()
    assert event.endswith(b',"data":' + body + b"}")
    attributes = orjson.loads(event)
    del attributes["data"]
    for name, value in attributes.items():
        assert type(value) is str, name
        assert value, name
        assert value.isprintable() or not any(
            ord(character) < 32 or 127 <= ord(character) < 160 for character in value
        )
        bound = {"source": 3 * MAX_ATTRIBUTE + len("/acme/"), "summary": 4 * MAX_SUMMARY}
        assert len(value.encode()) <= bound.get(name, MAX_ATTRIBUTE + len("com.github.")), name


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
@given(fields=FIELDS, body=st.binary(max_size=40))
def test_no_request_makes_a_verifier_raise_anything_but_a_rejection(
    adapter: Adapter, fields: list[tuple[bytes, bytes]], body: bytes
) -> None:
    """And none of them is proven."""
    with pytest.raises(Rejection):
        bound(adapter).verify(RawRequest(body=body, headers=Headers(fields)), NOW)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
@settings(max_examples=200)
@given(payload=VALUES, fields=FIELDS)
def test_any_json_is_refused_or_becomes_a_valid_event(
    adapter: Adapter, payload: object, fields: list[tuple[bytes, bytes]]
) -> None:
    """With bounded attributes, and the bytes of the body as they came."""
    check(
        adapter,
        json.dumps(payload, ensure_ascii=len(fields) % 2 == 0).encode("utf-8", "surrogatepass"),
        fields,
    )


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.name)
def test_naughty_strings_are_refused_or_become_valid_events(adapter: Adapter, corpus: Path) -> None:
    """As ids, types, header values and values of the body."""
    for text in json.loads((corpus / "naughty-strings" / "strings.json").read_bytes()):
        value = text.encode("utf-8", "surrogatepass")
        everywhere = dict.fromkeys(
            ("id", "type", "action", "created", "account", "context", "source", "time", "actor"), text
        )
        everywhere |= {"subject": [{"id": text}], "data": {"object": {"id": text}, "id": text}, text: text}
        everywhere |= {"repository": {"html_url": text, "owner": {"login": text}}, "sender": {"login": text}}
        body = json.dumps(everywhere).encode()
        check(adapter, body, [])
        check(adapter, body, [(name, value) for name in NAMES])
        check(adapter, body, [(name, b"push" if b"event" in name else b"1") for name in NAMES])
        check(adapter, json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass"), [])
        with pytest.raises(Rejection):
            bound(adapter).verify(
                RawRequest(body=body, headers=Headers([(name, value) for name in NAMES])), NOW
            )


def test_the_verdicts_on_the_json_test_suite_are_those_of_its_index(corpus: Path) -> None:
    """Accept is accepted, reject is refused; the rest ends in one of the two."""
    folder = corpus / "json-parsing"
    wrong = []
    for entry in json.loads((folder / "index.json").read_bytes())["files"]:
        try:
            parse_json((folder / entry["file"]).read_bytes())
            verdict = "accept"
        except Rejection:
            verdict = "reject"
        if entry["expect"] in {"accept", "reject"} and entry["expect"] != verdict:
            wrong.append(entry["file"])

    assert wrong == []


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"1" * 400, 1e308),
        (b"-" + b"9" * 4300, -1e308),
        (b"1" * 1_000_000, 1e308),
        (b"1e400", 1e308),
        (b"-1E+400", -1e308),
        (b"[1e309,1.5,1e-400]", [1e308, 1.5, 0.0]),
        (b"[1e" + b"9" * 400 + b"]", [1e308]),
        (b"1" * 400 + b"e1", 1e308),
        (b"1" * 400 + b".0", 1e308),
        (b"1.8e308", 1e308),
        (b'{"a":[%b,1],"b":"%b"}' % (b"7" * 400, b"7" * 400), {"a": [1e308, 1], "b": "7" * 400}),
        (b'["\\"' + b"1" * 400 + b'",1e999]', ['"' + "1" * 400, 1e308]),
        (b'{"\\\\":%b,"1e999":"1e999"}' % (b"1" * 400), {"\\": 1e308, "1e999": "1e999"}),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_number_that_no_double_holds_is_told_from_broken_json(body: bytes, value: object) -> None:
    """Its event is identified with a large number in its place; digits in a text are left alone."""
    with pytest.raises(UnreadableNumber) as caught:
        parse_json(body)
    assert caught.value.payload == value


@pytest.mark.parametrize(
    "body",
    [
        b"0" + b"1" * 400,
        b"1e-" + b"1" * 400 + b"x",
        b"[1" + b"1" * 400 + b",]",
        b'["' + b"1" * 400,
        b"1" * 400 + b" 1e400",
        b"1e400e1",
        b"1e400.0",
        b"[1e400,NaN]",
        b'"' + b'\\"' * 500_000,
        b"\\" * 1_000_000,
        b'"' * 1_000_000,
        b"-" * 1_000_000,
        b"[" + b"1" * 308 + (b"," + b"1" * 308) * 3000 + b",NaN]",
    ],
    ids=lambda body: repr(body[:12]),
)
def test_what_only_looks_like_such_a_number_is_refused(body: bytes) -> None:
    """However long it is."""
    with pytest.raises(Rejection) as caught:
        parse_json(body)
    assert not isinstance(caught.value, UnreadableNumber)


@pytest.mark.parametrize(
    ("payload", "is_accepted"),
    [
        ({str(number): "x" * 8 for number in range(MAX_NAMES)}, True),
        ({str(number): "x" * 8 for number in range(MAX_NAMES + 1)}, False),
        ([{"a": {str(number): 0 for number in range(100_000)}}], False),
        ([{str(number): 0} for number in range(100_000)], True),
        ({"a": ":" * 100_000}, True),
        ({"k" * MAX_NAME: "x" * 100_000}, True),
        ({"k" * (MAX_NAME + 1): "x" * 100_000}, False),
        ({"k" * (MAX_NAME + 1): ["x" * 100] * 1000}, False),
        ({'"' * (MAX_NAME + 1): ["x" * 100] * 1000}, False),
        ({'\\"' * MAX_NAME: ["x" * 100] * 1000}, False),
        ([["x" * 100] * 1000, {"k" * (MAX_NAME + 1): 0}], False),
        ({"a": [[{"k" * 1_000_000: 0}]]}, False),
        ({"k" * (MAX_NAME + 1): 0}, True),
        ({"a": "x" * 1_000_000}, True),
        ([{}] * 100_000, True),
        ({str(hash_): 0 for hash_ in range(0, 2**61, 2**48)}, True),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_the_names_in_a_large_body_are_bounded(payload: object, is_accepted: bool) -> None:
    """In number and in length; a small body is bounded enough by its size."""
    body = orjson.dumps(payload)
    if is_accepted:
        assert payload == parse_json(body)
    else:
        with pytest.raises(Rejection, match="name"):
            parse_json(body)


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("unit", ['"', "\\", '"\\', 'k"'])
def test_a_long_name_is_found_wherever_it_begins(shift: int, unit: str) -> None:
    """Also if it consists of quotes, each of which is two bytes in the body."""
    name = unit * ((MAX_NAME + 1) // len(unit) + 1)
    body = b" " * shift + orjson.dumps({"a": ["x" * 100] * 1000, name: 0})
    with pytest.raises(Rejection, match="name is too long"):
        parse_json(body)


def test_of_a_name_that_is_repeated_the_last_value_identifies_the_event() -> None:
    """Also when it is spelt in another way; and the body goes out with both."""
    body = b'{"id":"first","id":"second","\\u0069d":"last","type":"a","type":"b"}'
    identity, routing_key, event = publish(GENERIC, body, [])

    assert (identity.event_id, identity.event_type, routing_key) == ("last", "b", "acme.b")
    assert event.endswith(body + b"}")


@pytest.mark.parametrize(
    "text",
    ["x" * 300, "é" * 128, "", " \t", "\0\n"],
    ids=repr,
)
def test_what_is_no_event_type_never_gets_into_a_routing_key(text: str) -> None:
    """The event is published all the same: its sender is proven."""
    identity, routing_key, _ = publish(GENERIC, orjson.dumps({"id": "1", "type": text}), [])

    assert (identity.is_typed, routing_key) == (False, "acme.unknown")


def test_characters_with_a_meaning_in_patterns_never_get_into_a_routing_key() -> None:
    """No event can pass itself off as a wildcard."""
    assert publish(GENERIC, b'{"id":"1","type":"a.*.#/b"}', [])[1] == "acme.a.b"


@pytest.mark.parametrize(
    "event_id",
    [
        None,
        "",
        " ",
        "a b",
        "x" * 256,
        "x" * 10_000,
        "a\r\nb",
        "a\0",
        "é",
        "\u2028",
        {},
        [],
        True,
        1.5,
        10**19,
        {"$ne": 1},
    ],
    ids=lambda value: repr(value)[:16],
)
def test_no_event_is_refused_for_an_odd_id(event_id: object) -> None:
    """Whether it stands in the body or in a header; it is kept, or a digest stands for it."""
    body = orjson.dumps({"id": event_id}) if event_id != 10**19 else b'{"id":1e19}'
    deliveries: list[tuple[bytes, list[tuple[bytes, bytes]]]] = [(body, [])] + (
        [(b"{}", [(b"x-id", event_id.encode())])] if type(event_id) is str else []
    )
    for sent, fields in deliveries:
        identity, _, _ = publish(GENERIC, sent, fields)
        assert identity.event_id is None or 0 < len(identity.event_id.encode()) <= MAX_ATTRIBUTE


def test_a_repeated_header_with_the_id_is_malformed() -> None:
    """A proxy and we could read different ones."""
    with pytest.raises(MalformedRequest):
        publish(GENERIC, b"{}", [(b"x-id", b"1"), (b"x-id", b"1")])
