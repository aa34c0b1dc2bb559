"""Senders in plain Python, as people write them, described under ``adapter: hmac``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import formatdate
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest, VerifiedRequest
from gateway.signatures.schemes import template

SECRET = "the secret of a sender of our own"
NOW = 1_790_000_000.25
EVENT = {
    "type": "order.paid",
    "id": "evt-1",
    "data": {"zeta": 1, "alpha": [1.5, True, None, "Grüße"], "amount": 10.0, "big": 2**70},
}
COMPACT = {"separators": (",", ":")}

Headed = dict[str, str]


def bound(signature: dict[str, Any], **identity: Any) -> Any:
    """An adapter as described in a configuration, with the secret."""
    spec = AdapterSpec.model_validate({"signature": signature, **identity})
    return Adapter("hmac", spec).bind([SECRET])


def request(body: bytes, headers: Headed, path: str = "/webhooks/ours", query: str = "") -> RawRequest:
    """What arrives."""
    fields = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    return RawRequest(
        body=body,
        headers=Headers([*fields, (b"content-type", b"application/json")]),
        path=path,
        query=query.encode(),
        url=f"https://hooks.example.com{path}",
    )


def fault(adapter: Any, sent: RawRequest, now: float = NOW) -> str | None:
    """Why it is refused; None when it is not."""
    try:
        adapter.verify(sent, now)
    except SignatureRejected as rejection:
        return rejection.fault
    return None


def sign(message: str | bytes, algorithm: str = "sha256") -> str:
    """What all of them do in the end."""
    message = message.encode() if isinstance(message, str) else message
    return hmac.new(SECRET.encode(), message, algorithm).hexdigest()


# JSON that is signed as it is written anew

REWRITTEN: list[tuple[str, Callable[[Any], str]]] = [
    ("json_sorted", lambda event: json.dumps(event, sort_keys=True)),
    ("json_sorted_compact", lambda event: json.dumps(event, sort_keys=True, separators=(",", ":"))),
]


@pytest.mark.parametrize(("field", "written"), REWRITTEN, ids=[name for name, _ in REWRITTEN])
@pytest.mark.parametrize("style", [{}, COMPACT, {"indent": 2}, {"ensure_ascii": False}], ids=repr)
def test_a_sender_may_sign_what_it_sorts_and_send_what_its_library_writes(
    field: str, written: Callable[[Any], str], style: dict[str, Any]
) -> None:
    """``hmac.new(secret, f"{ts}.{json.dumps(body, sort_keys=True)}")``, and ``requests.post(json=body)``."""
    adapter = bound(
        {
            "header": "X-Signature",
            "signed": f"{{timestamp}}.{{{field}}}",
            "timestamp": {"header": "X-Timestamp"},
        }
    )
    moment = str(int(NOW))
    headers = {"X-Timestamp": moment, "X-Signature": sign(f"{moment}.{written(EVENT)}")}
    body = json.dumps(EVENT, **style).encode()

    verified: VerifiedRequest = adapter.verify(request(body, headers), NOW)
    assert verified.body == body
    assert verified.signed == b"." + written(EVENT).encode()  # without the moment, which tells attempts apart
    assert fault(adapter, request(body.replace(b"evt-1", b"evt-2"), headers)) == "signature_mismatch"
    assert fault(adapter, request(body.replace(b"10.0", b"10"), headers)) == "signature_mismatch"
    assert fault(adapter, request(body, headers | {"X-Timestamp": "1790000001"})) == "signature_mismatch"
    assert fault(adapter, request(body, headers), NOW + 301) == "timestamp_too_old"


def test_a_member_that_stands_twice_is_refused_though_the_sorted_text_is_the_signed_one() -> None:
    """Who reads the first, and who reads the last, would have other events of one signature."""
    for field in ("json_sorted", "json_sorted_compact", "json_canonical"):
        adapter = bound({"header": "X-Signature", "signed": f"{{{field}}}"})
        text = '{"amount": 1}' if field == "json_sorted" else '{"amount":1}'
        headers = {"X-Signature": sign(text)}
        assert fault(adapter, request(text.encode(), headers)) is None
        for body in (b'{"amount":9,"amount":1}', b'{"\\u0061mount":9,"amount":1}'):
            assert fault(adapter, request(body, headers)) == "signature_ambiguous"


def test_a_sender_may_sign_what_rfc_8785_makes_of_its_event() -> None:
    """Whatever spelling it sends."""
    adapter = bound({"header": "X-Signature", "signed": "{json_canonical}", "encoding": "base64"})
    digest = hmac.digest(SECRET.encode(), '{"a":"€","b":100,"c":0.002}'.encode(), "sha256")
    headers = {"X-Signature": base64.b64encode(digest).decode()}
    for body in (b'{"c":2e-3,"a":"\\u20ac","b":1E2}', '{ "b": 100.0, "a": "€", "c": 0.0020 }'.encode()):
        assert fault(adapter, request(body, headers)) is None
    assert fault(adapter, request(b'{"a":"E","b":100,"c":0.002}', headers)) == "signature_mismatch"


def test_the_shape_of_a_signature_is_looked_at_before_a_body_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be right costs no parsing."""
    read: list[bytes] = []

    def rewrite(body: bytes, _: str) -> bytes:
        read.append(body)
        return body

    monkeypatch.setattr(template, "rewrite", rewrite)
    adapter = bound(
        {
            "header": "X-Signature",
            "signed": "{timestamp}.{json_sorted}",
            "timestamp": {"header": "X-Timestamp"},
        }
    )
    for headers in (
        {},
        {"X-Signature": "0" * 63, "X-Timestamp": "1790000000"},
        {"X-Signature": "0" * 64},
        {"X-Signature": "0" * 64, "X-Timestamp": "soon"},
    ):
        assert fault(adapter, request(b"{}", headers))
    assert read == []
    headers = {"X-Signature": "0" * 64, "X-Timestamp": MOMENT}
    assert fault(adapter, request(b"{}", headers)) == "signature_mismatch"
    assert read == [b"{}"]


def test_json_that_is_written_anew_is_never_read_as_anything_else() -> None:
    """A form under the same signature would be another event."""
    for reading in ("form", "text", "xml"):
        with pytest.raises(ValidationError, match="content must be JSON alone"):
            bound(
                {"header": "X-S", "signed": "{json_sorted}"},
                content={"application/json": "json", "text/plain": reading},
            )


def test_rewritten_json_can_be_simulated() -> None:
    """`gateway send` signs like the sender."""
    spec = AdapterSpec.model_validate(
        {
            "signature": {
                "header": "X-Signature",
                "signed": "{timestamp}:{json_canonical}",
                "timestamp": {"header": "X-Timestamp", "unit": "decimal"},
            }
        }
    )
    adapter = Adapter("hmac", spec)
    body = b'{"b": 1, "a": 2}'
    signed = adapter.scheme.sign(request(body, {}), SECRET, NOW)
    assert fault(adapter.bind([SECRET]), request(body, signed.headers)) is None


# Moments

MOMENTS: list[tuple[str, Callable[[float], str]]] = [
    ("s", lambda now: str(int(now))),
    ("ms", lambda now: str(int(now * 1000))),
    ("us", lambda now: str(int(now * 1_000_000))),
    ("ns", lambda now: str(int(now * 1_000_000_000))),
    ("auto", lambda now: str(int(now * 1000))),
    ("decimal", str),
    ("decimal", lambda now: str(int(now))),
    ("iso8601", lambda now: datetime.fromtimestamp(now, UTC).isoformat()),
    ("iso8601", lambda now: datetime.fromtimestamp(now, UTC).replace(tzinfo=None).isoformat()),
    ("iso8601", lambda now: str(datetime.fromtimestamp(now, UTC).replace(tzinfo=None))),
    (
        "iso8601",
        lambda now: datetime.fromtimestamp(now, timezone(-timedelta(hours=9, minutes=30))).isoformat(),
    ),
    ("iso8601", lambda now: time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + ".123456789Z"),
    ("iso8601", lambda now: time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(now))),
    ("rfc3339", lambda now: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))),
    ("rfc3339", lambda now: time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(now))),
    ("http_date", lambda now: formatdate(now, usegmt=True)),
    ("http_date", lambda now: formatdate(now, localtime=False)),
]


@pytest.mark.parametrize("place", ["header", "body"])
@pytest.mark.parametrize(("unit", "written"), MOMENTS)
def test_a_moment_may_be_written_in_many_ways(unit: str, written: Callable[[float], str], place: str) -> None:
    """In a header or in the body, and is held to the tolerance in each."""
    for age, expected in ((0, None), (299, None), (302, "timestamp_too_old"), (-302, "timestamp_in_future")):
        moment = written(NOW - age)
        where = {"header": "X-Timestamp"} if place == "header" else {"place": "body:/sent_at"}
        signed = "{timestamp}\n{body}" if place == "header" else "{body}"
        adapter = bound({"header": "X-Signature", "signed": signed, "timestamp": {**where, "unit": unit}})
        body = json.dumps(EVENT | {"sent_at": moment}).encode()
        message = moment.encode() + b"\n" + body if place == "header" else body
        headers = {"X-Signature": sign(message), "X-Timestamp": moment}
        assert fault(adapter, request(body, headers)) == expected


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("decimal", "1790000000."),
        ("decimal", ".5"),
        ("decimal", "1.79e9"),
        ("decimal", "01790000000.5"),
        ("decimal", "+1790000000.5"),
        ("decimal", "1790000000.123456789012345678901"),
        ("us", "01790000000000000"),
        ("ns", "1790000000000000000000"),
        ("rfc3339", "2026-09-21T14:13:20"),
        ("rfc3339", "2026-09-21T14:13:20+00"),
        ("http_date", "Mon, 21 Sep 2026 14:13:20"),
        ("http_date", "Tue, 21 Sep 2026 14:13:20 GMT"),
        ("http_date", "Mon, 21 sep 2026 14:13:20 GMT"),
        ("http_date", "Mon, 31 Sep 2026 14:13:20 GMT"),
        ("http_date", "Mon, 21 Sep 2026 14:13:20 EST"),
        ("http_date", "Mon Sep 21 14:13:20 2026"),
        ("http_date", "Mon, 21 Sep 2026 14:13:20 GMT" + " " * 60),
    ],
)
def test_a_moment_that_is_not_quite_written_so_is_malformed(unit: str, text: str) -> None:
    """Though it is signed."""
    adapter = bound(
        {"header": "X-S", "signed": "{timestamp}\n{body}", "timestamp": {"header": "X-T", "unit": unit}}
    )
    headers = {"X-S": sign(f"{text}\n{{}}"), "X-T": text}

    assert fault(adapter, request(b"{}", headers)) == "timestamp_malformed"


# What else they sign

BODY = json.dumps(EVENT).encode()
TEXT = BODY.decode()
MOMENT = str(int(NOW))
STAMPED = {"timestamp": {"header": "X-Timestamp"}}
SENDERS: list[tuple[str, dict[str, Any], Headed]] = [
    (
        "a list with its moment",
        {"header": "X-Signature", "prefix": "v1=", "separator": ",", "signed": "{timestamp}.{body}", "timestamp": {"element": "t="}},
        {"X-Signature": f"t={MOMENT},v1={sign(f'{MOMENT}.{TEXT}')}"},
    ),
    (
        "method, path, moment and body in lines",
        {"header": "X-Signature", "signed": "{method}\n{path}\n{timestamp}\n{body}", **STAMPED},
        {"X-Signature": sign(f"POST\n/webhooks/ours\n{MOMENT}\n{TEXT}"), "X-Timestamp": MOMENT},
    ),
    (
        "method, path, query, moment and a digest of nothing but the body in lines",
        {"header": "X-Signature", "signed": "{method}\n{path}\n{query}\n{timestamp}\n{body}", **STAMPED},
        {"X-Signature": sign(f"POST\n/webhooks/ours\na=1\n{MOMENT}\n{TEXT}"), "X-Timestamp": MOMENT},
    ),
    (
        "a colon",
        {"header": "X-Signature", "prefix": "sha256=", "signed": "{timestamp}:{body}", **STAMPED},
        {"X-Signature": "sha256=" + sign(f"{MOMENT}:{TEXT}"), "X-Timestamp": MOMENT},
    ),
    (
        "upper case",
        {"header": "X-Signature"},
        {"X-Signature": sign(TEXT).upper()},
    ),
    (
        "base64 of SHA-512",
        {"header": "X-Signature", "algorithm": "sha512", "encoding": "base64"},
        {"X-Signature": base64.b64encode(hmac.digest(SECRET.encode(), BODY, "sha512")).decode()},
    ),
    (
        "headers by name",
        {"header": "X-Signature", "signed": "{header:X-Event}\n{header:X-Request-Id}\n{body}"},
        {"X-Event": "order.paid", "X-Request-Id": "r.1", "X-Signature": sign(f"order.paid\nr.1\n{TEXT}")},
    ),
    (
        "an id, a moment and the body",
        {"header": "X-Signature", "signed": "{id}.{timestamp}.{body}", **STAMPED},
        {"X-Id": "evt-1", "X-Timestamp": MOMENT, "X-Signature": sign(f"evt-1.{MOMENT}.{TEXT}")},
    ),
    (
        "the moment behind the body",
        {"header": "X-Signature", "signed": "{body}{timestamp}", **STAMPED},
        {"X-Timestamp": MOMENT, "X-Signature": sign(f"{TEXT}{MOMENT}")},
    ),
    (
        "a digest with the secret in it",
        {"header": "X-Signature", "construction": "hash", "signed": "{secret}{body}"},
        {"X-Signature": hashlib.sha256(SECRET.encode() + BODY).hexdigest()},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("signature", "headers"), [sender[1:] for sender in SENDERS], ids=[name for name, *_ in SENDERS]
)
def test_a_sender_of_our_own_is_described_in_a_few_lines(signature: dict[str, Any], headers: Headed) -> None:
    """What it signs is accepted, and nothing else; and the template can be divided in one way only."""
    adapter = bound(signature, event_id="header:X-Id")
    query = "a=1" if "query" in signature.get("signed", "") else ""
    sent = request(BODY, headers, query=query)
    assert fault(adapter, sent) is None
    assert adapter.spec.ambiguity is None
    assert fault(adapter, request(BODY + b" ", headers, query=query)) == "signature_mismatch"
    for name, value in headers.items():
        changed = headers | {name: value[:-1] + ("0" if value[-1] != "0" else "1")}
        assert fault(adapter, request(BODY, changed, query=query)), name


def test_several_places_of_an_id_may_be_named_in_their_order() -> None:
    """The first that is there counts."""
    adapter = bound({"header": "X-S"}, event_id=["body:/id", "body:/idempotency_key"])
    for body, event_id in (
        (b'{"id":"a","idempotency_key":"b"}', "a"),
        (b'{"idempotency_key":"b"}', "b"),
        (b'{"id":"","idempotency_key":"b"}', "b"),
    ):
        verified = adapter.verify(request(body, {"X-S": sign(body)}), NOW)
        assert adapter.identify(verified, json.loads(body)).event_id == event_id
