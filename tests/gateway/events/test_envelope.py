"""The envelope: a valid CloudEvent around the sender's own bytes, whatever the sender calls things."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.identity import (
    MAX_ATTRIBUTE,
    UNKNOWN_TYPE,
    Identity,
    clean_attribute,
    clean_event_id,
    clean_event_type,
    clean_time,
)
from gateway.events.envelope import Envelope
from gateway.transport.topic_patterns import key_segment

GITHUB = Envelope("github", "github")
ACME = Envelope("acme-eu", "hmac")
RECEIVED_AT = "2026-01-02T03:04:05.678Z"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

FULL = Identity(
    event_id="72d3162e",
    event_type="pull_request.opened",
    delivery_id="72d3162e",
    source="https://github.com/octo/hello",
    time="2026-01-02T03:04:05Z",
    subject="17",
    account="octo",
    actor="mona",
)


def encode(identity: Identity, data: bytes = b"{}", envelope: Envelope = GITHUB, **changes: Any) -> bytes:
    """The event of an identity, with the other facts as they usually are."""
    facts: dict[str, Any] = {
        "received_at": RECEIVED_AT,
        "secret_slot": 0,
        "is_claimed": True,
        "schema_id": None,
        "traceparent": None,
    }
    kind = envelope.names_of(identity.event_type)[1]
    return envelope.encode(
        identity, identity.event_id or "digest", envelope.source_of(identity), kind, data, **facts | changes
    )


@pytest.fixture(scope="session")
def validator(conformance: Path) -> jsonschema.Draft7Validator:
    """The schema of the specification."""
    schema = json.loads((conformance / "cloudevents" / "cloudevents.schema.json").read_bytes())
    return jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)


def test_an_event_in_full(validator: jsonschema.Draft7Validator) -> None:
    """Every attribute that there is, by name and value."""
    encoded = encode(FULL, b'{"number":17}', schema_id="urn:x", traceparent=TRACEPARENT, secret_slot=1)

    assert json.loads(encoded) == {
        "specversion": "1.0",
        "id": "72d3162e",
        "source": "https://github.com/octo/hello",
        "type": "com.github.pull_request.opened",
        "time": "2026-01-02T03:04:05Z",
        "subject": "17",
        "datacontenttype": "application/json",
        "dataschema": "urn:x",
        "provider": "github",
        "adapter": "github",
        "eventtype": "pull_request.opened",
        "deliveryid": "72d3162e",
        "receivedat": RECEIVED_AT,
        "secretslot": "1",
        "dedupe": "claimed",
        "account": "octo",
        "actor": "mona",
        "traceparent": TRACEPARENT,
        "data": {"number": 17},
    }
    validator.validate(json.loads(encoded))


def test_what_is_unknown_is_absent(validator: jsonschema.Draft7Validator) -> None:
    """Neither null nor empty."""
    event = json.loads(encode(Identity(event_id=None, event_type=UNKNOWN_TYPE), is_claimed=False))

    assert event == {
        "specversion": "1.0",
        "id": "digest",
        "source": "/github",
        "type": "com.github.unknown",
        "datacontenttype": "application/json",
        "provider": "github",
        "adapter": "github",
        "eventtype": "unknown",
        "receivedat": RECEIVED_AT,
        "secretslot": "0",
        "dedupe": "unchecked",
        "data": {},
    }
    validator.validate(event)


def test_data_of_which_only_members_are_signed_say_so() -> None:
    """In a truth value, which is absent elsewhere."""
    encoded = encode(FULL, envelope=Envelope("adyen", "adyen", is_partly_signed=True))
    message = HTTPMessage({"content-type": "application/cloudevents+json"}, encoded)

    assert json.loads(encoded)["partlysigned"] is True
    assert from_http_event(message, JSONFormat()).get_extension("partlysigned") is True
    assert b"partlysigned" not in encode(FULL)


def test_what_is_partly_signed_is_a_cloudevent(validator: jsonschema.Draft7Validator) -> None:
    """By the schema of the specification."""
    validator.validate(json.loads(encode(FULL, envelope=Envelope("adyen", "adyen", is_partly_signed=True))))


def test_the_reference_sdk_reads_the_event() -> None:
    """As a consumer in Python would."""
    encoded = encode(FULL, b'{"number":17}', schema_id="urn:x", traceparent=TRACEPARENT)
    message = HTTPMessage({"content-type": "application/cloudevents+json"}, encoded)
    event = from_http_event(message, JSONFormat())

    assert (event.get_id(), event.get_source()) == ("72d3162e", "https://github.com/octo/hello")
    assert (event.get_type(), event.get_specversion()) == ("com.github.pull_request.opened", "1.0")
    assert (event.get_subject(), event.get_dataschema()) == ("17", "urn:x")
    assert event.get_datacontenttype() == "application/json"
    assert str(event.get_time()) == "2026-01-02 03:04:05+00:00"
    assert event.get_extension("dedupe") == "claimed"
    assert event.get_data() == {"number": 17}


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}',
        b' {\t"a" :\r\n 1 } \n',
        b'{"n":9007199254740993,"m":1234567890123456789012345678901234567890,"x":1.10,"e":1E+2}',
        b'{"s":"\\u00e9\\/\\ud83d\\ude00"}',
        '{"s":"é😀"}'.encode(),
        b"[]",
        b"null",
        b'"text"',
        b"{}\n",
        b'{"data":"}","specversion":"0.3"}',
    ],
)
def test_data_is_byte_for_byte_what_was_sent(data: bytes) -> None:
    """Repeated names, odd spacing, large numbers and escapes included: consumers may check the signature again."""
    encoded = encode(FULL, data)

    assert encoded.endswith(b',"data":' + data + b"}")
    assert orjson.loads(encoded)["data"] == orjson.loads(data)
    assert orjson.loads(encoded)["specversion"] == "1.0"


@pytest.mark.parametrize(
    ("envelope", "identity", "expected"),
    [
        (GITHUB, Identity("1", "push", source="https://github.com/o/r"), "https://github.com/o/r"),
        (GITHUB, Identity("1", "push", source="https://x/a b?c=\u00e9"), "https://x/a%20b?c=%C3%A9"),
        (GITHUB, Identity("1", "push", source="https://x/a%20b"), "https://x/a%20b"),
        (GITHUB, Identity("1", "push"), "/github"),
        (ACME, Identity("1", "push", account="acct_1"), "/acme-eu/acct_1"),
        (ACME, Identity("1", "push", account="a/b c?\u00e9"), "/acme-eu/a%2Fb%20c%3F%C3%A9"),
        (ACME, Identity("1", "push", account="x", source="urn:y"), "urn:y"),
    ],
)
def test_the_source_is_the_sender_s_own_or_the_provider_with_the_account(
    envelope: Envelope, identity: Identity, expected: str
) -> None:
    """Always a URI reference, whatever is in it."""
    assert expected == envelope.source_of(identity)


@pytest.mark.parametrize(
    ("event_type", "expected"),
    [
        ("push", "push"),
        ("pull_request.opened", "pull_request.opened"),
        ("orders/create", "orders.create"),
        ("payment_intent.succeeded", "payment_intent.succeeded"),
        ("a b#*\u00e9$", "a.b"),
        ("Order-Created_2", "Order-Created_2"),
        (".a..b.", "a.b"),
        (
            "v2.core.account[configuration.merchant].capability_status_updated",
            "v2.core.account.configuration.merchant.capability_status_updated",
        ),
        ("repository_dispatch.\u8ba2\u5355", "repository_dispatch"),
        ("\u8ba2\u5355.created", "created"),
        ("\u8ba2\u5355", "x-3d5436ea23d2"),
        ("***", "x-596f4162a52f"),
    ],
)
def test_event_types_in_routing_keys_have_no_special_characters(event_type: str, expected: str) -> None:
    """Others than letters, digits, dash and underscore separate words, of which none is empty or a wildcard."""
    assert expected == key_segment(event_type)
    assert (f"github.{expected}", f"com.github.{expected}") == GITHUB.names_of(event_type)


def test_a_routing_key_has_255_bytes_at_most() -> None:
    """As AMQP has it."""
    assert len(GITHUB.names_of("x" * 300)[0]) == 255
    assert GITHUB.names_of("x" * 300)[0].startswith("github.xxx")
    assert len(GITHUB.names_of("x" * 300)[1]) == 255  # the CloudEvents type is a short string of AMQP as well
    assert GITHUB.names_of("x" * 247 + ".y")[0] == "github." + "x" * 247
    assert len(GITHUB.names_of("x" * 248)[0]) == 255


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
WILD = st.one_of(st.none(), st.integers(), st.text(), st.text(st.characters(), max_size=300), st.booleans())


@given(
    event_id=st.from_regex(r"[!-~]{1,255}", fullmatch=True),
    event_type=WILD,
    words=st.tuples(WILD, WILD, WILD, WILD, WILD),
    moment=WILD | st.floats() | st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    payload=ANY_JSON,
    is_claimed=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_whatever_a_delivery_says_of_itself_makes_a_valid_event(
    validator: jsonschema.Draft7Validator,
    event_id: str,
    event_type: object,
    words: tuple[object, ...],
    moment: object,
    payload: object,
    is_claimed: bool,
) -> None:
    """Valid JSON, valid by the schema, every attribute a text of bounded size, and a routing key that AMQP takes."""
    delivery_id, source, subject, account, actor = map(clean_attribute, words)
    identity = Identity(
        clean_event_id(event_id),
        clean_event_type(event_type) or UNKNOWN_TYPE,
        delivery_id=delivery_id,
        source=source,
        time=clean_time(moment),
        subject=subject,
        account=account,
        actor=actor,
    )
    try:
        data = json.dumps(payload, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # lone surrogates are refused before they get here
        data = b"{}"
    encoded = encode(identity, data, is_claimed=is_claimed)
    event = orjson.loads(encoded)
    validator.validate(event)

    attributes = {name: value for name, value in event.items() if name != "data"}
    assert all(type(value) is str and value for value in attributes.values())
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in attributes)
    assert all(len(value.encode()) <= 4 * MAX_ATTRIBUTE for value in attributes.values())
    assert encoded.endswith(b',"data":' + data + b"}")
    assert re.fullmatch(r"github\.[A-Za-z0-9_.-]{1,248}", GITHUB.names_of(identity.event_type)[0])
    assert re.fullmatch(r"[!-~]+", event["source"])
