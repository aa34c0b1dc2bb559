"""If only members are signed, a repeated name on the way to one of them is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode

import pytest

from gateway.adapters.adapter import Adapter, BoundAdapter
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from support.deliveries import NOW, Delivered, delivered

SECRET = "a secret of a sender of somebody's own"
NESTED = Adapter(
    "hmac",
    AdapterSpec.model_validate(
        {
            "signature": {
                "place": "body:/proof/signature",
                "signed": "{body:/order/id}:{body:/order/total/amount}:{body:/lines/0/sku}",
                "binds_body": False,
            }
        }
    ),
)
ORDER = {
    "order": {"id": "o-1", "total": {"amount": 5, "note": "n"}, "free": {"a": 1}},
    "lines": [{"sku": "s"}],
    "proof": {},
}
ITEMS = Adapter(
    "hmac",
    AdapterSpec.model_validate(
        {
            "batch": "body:/a/events",
            "signature": {"place": "item:/sig", "signed": "{item:/id}|{item:/x/y}", "binds_body": False},
        }
    ),
)
EVENTS = {"a": {"events": [{"id": 1, "x": {"y": 2}, "z": 0}, {"id": 2, "x": {"y": 3}}]}, "b": 1}

Path = tuple[str | int, ...]


def fault(adapter: BoundAdapter, request: RawRequest) -> str | None:
    """Why a request is refused; None when it is not."""
    try:
        adapter.verify(request, NOW)
    except SignatureRejected as rejection:
        return rejection.fault
    return None


def paths(value: Any, above: Path = ()) -> Iterator[Path]:
    """The ways to all members of a document."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, member in members:
        if isinstance(name, str):
            yield (*above, name)
        yield from paths(member, (*above, name))


def escaped(name: str) -> str:
    """A name in JSON, its first letter written as an escape."""
    return f'"\\u{ord(name[0]):04x}{name[1:]}"'


def decoy(value: Any) -> str:
    """Another value of the same kind."""
    return "{}" if isinstance(value, dict) else "[]" if isinstance(value, list) else '"another"'


def doubled(value: Any, way: Path, *, is_escaped: bool) -> str:
    """The document with a second member of a name, before the one that it has."""
    if isinstance(value, dict):
        members = []
        for name, member in value.items():
            if way == (name,):
                members.append(f"{escaped(name) if is_escaped else json.dumps(name)}: {decoy(member)}")
            rest = way[1:] if way[:1] == (name,) else ()
            members.append(f"{json.dumps(name)}: {doubled(member, rest, is_escaped=is_escaped)}")
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        elements = enumerate(value)
        return f"[{', '.join(doubled(each, way[1:] if way[:1] == (n,) else (), is_escaped=is_escaped) for n, each in elements)}]"
    return json.dumps(value)


def signed(adapter: Adapter, document: Any) -> Any:
    """A document with the signatures in it."""
    body = json.dumps(document).encode()
    return json.loads(adapter.scheme.sign(RawRequest(body=body, headers=Headers([])), SECRET, NOW).body)


def faults_of(adapter: BoundAdapter, document: Any, *, is_escaped: bool) -> dict[Path, str | None]:
    """Why a document is refused in which a name stands twice, for the name of each of its members."""
    return {
        way: fault(
            adapter,
            RawRequest(body=doubled(document, way, is_escaped=is_escaped).encode(), headers=Headers([])),
        )
        for way in paths(document)
    }


def first_names(ways: dict[Path, str | None]) -> set[Path]:
    """Those of the ways that are refused."""
    assert set(ways.values()) <= {None, "signature_ambiguous"}
    return {way for way, found in ways.items() if found}


@pytest.mark.parametrize("is_escaped", [False, True])
def test_a_name_twice_on_any_level_above_a_signed_text_is_ambiguous(is_escaped: bool) -> None:
    """Beside the way it is as it was sent."""
    document = signed(NESTED, ORDER)
    refused = first_names(faults_of(NESTED.bind([SECRET]), document, is_escaped=is_escaped))

    assert refused == {
        ("order",),
        ("order", "id"),
        ("order", "total"),
        ("order", "total", "amount"),
        ("lines",),
        ("lines", 0, "sku"),
        ("proof",),
        ("proof", "signature"),
    }


@pytest.mark.parametrize("is_escaped", [False, True])
def test_a_name_twice_in_any_item_that_is_signed_is_ambiguous(is_escaped: bool) -> None:
    """And on the way to the list."""
    document = signed(ITEMS, EVENTS)
    refused = first_names(faults_of(ITEMS.bind([SECRET]), document, is_escaped=is_escaped))

    in_items = {("a", "events", n, *rest) for n in (0, 1) for rest in (("id",), ("x",), ("x", "y"), ("sig",))}
    assert refused == {("a",), ("a", "events"), *in_items}


ITEM: Path = ("notificationItems", 0, "NotificationRequestItem")
SIGNED: dict[str, list[Path]] = {
    "aws_sns": [("Message",), ("MessageId",), ("TopicArn",), ("Type",), ("Timestamp",), ("Signature",)],
    "adyen": [
        ("notificationItems",),
        ITEM,
        (*ITEM, "pspReference"),
        (*ITEM, "amount"),
        (*ITEM, "amount", "value"),
        (*ITEM, "success"),
        (*ITEM, "additionalData"),
        (*ITEM, "additionalData", "hmacSignature"),
    ],
    "mailgun": [
        ("signature",),
        ("signature", "token"),
        ("signature", "timestamp"),
        ("signature", "signature"),
    ],
    "dropbox_sign": [("event",), ("event", "event_time"), ("event", "event_type"), ("event", "event_hash")],
}
UNSIGNED: dict[str, Path] = {
    "aws_sns": ("UnsubscribeURL",),
    "adyen": (*ITEM, "eventDate"),
    "mailgun": ("event-data", "id"),
    "dropbox_sign": ("event", "event_metadata"),
}


def with_document(made: Delivered, text: str) -> RawRequest:
    """A delivery with another document in its body, or in the field of its form."""
    content_type = made.request.headers["Content-Type"]
    if content_type == "application/json" or content_type.startswith("text/"):
        return made.raw(body=text.encode())
    headers = {**made.request.headers, "Content-Type": "application/x-www-form-urlencoded"}
    return made.raw(headers, urlencode({"json": text}).encode())


def document_of(made: Delivered) -> Any:
    """The document that a delivery has in its body, or in a part of its form."""
    text = made.request.body
    return json.loads(text[text.index(b"{") : text.rindex(b"}") + 1])


@pytest.mark.parametrize("is_escaped", [False, True])
@pytest.mark.parametrize("name", SIGNED)
def test_of_a_sender_that_signs_members_none_of_them_may_stand_twice(name: str, is_escaped: bool) -> None:
    """What is not signed may, as senders have it."""
    made = delivered(name)
    document, bound = document_of(made), made.bind()

    def verdict(way: Path) -> str | None:
        return fault(bound, with_document(made, doubled(document, way, is_escaped=is_escaped)))

    assert {way: verdict(way) for way in SIGNED[name]} == dict.fromkeys(SIGNED[name], "signature_ambiguous")
    assert verdict(UNSIGNED[name]) is None


@pytest.mark.parametrize("name", SIGNED)
def test_a_name_in_another_case_is_the_same_name(name: str) -> None:
    """Many readers of JSON take it for that, and the last of both."""
    made = delivered(name)
    document, bound = document_of(made), made.bind()

    def another(way: Path, change: Callable[[str], str]) -> str | None:
        text = doubled(document, way, is_escaped=False)
        name_of_decoy = next(
            word for word in (f'"{way[-1]}": {each}' for each in ('"another"', "{}", "[]")) if word in text
        )
        spelt = name_of_decoy.replace(str(way[-1]), change(str(way[-1])))
        return fault(bound, with_document(made, text.replace(name_of_decoy, spelt, 1)))

    for change in (str.upper, lambda word: word.replace("s", "\u017f").replace("k", "\u212a")):
        ways = [way for way in SIGNED[name] if change(str(way[-1])) != way[-1]]
        assert {way: another(way, change) for way in ways} == dict.fromkeys(ways, "signature_ambiguous")


def own(signed: str, **spec: Any) -> Adapter:
    """A sender of somebody's own that signs members."""
    signature = {"header": "X-Signature", "signed": signed, "binds_body": False}
    return Adapter("hmac", AdapterSpec.model_validate({"signature": signature, **spec}))


FORM = {"content": {"application/x-www-form-urlencoded": "form"}}
WITHIN_TEXTS = {
    "a text": (own("{body:/a/id}"), "{}", '{"a": %s}', 1),
    "a text within a text": (own("{body:/a/b/id}"), '{"b": %s}', '{"a": %s}', 2),
    "a text beside a list": (own("{body:/a/id}|{body:/list/0}"), "{}", '{"list": ["x"], "a": %s}', 1),
    "a field of a form": (own("{body:/a/id}", **FORM), "{}", "", 1),
}


@pytest.mark.parametrize("kind", WITHIN_TEXTS)
@pytest.mark.parametrize("other", ['"id"', '"ID"', '"\\u0069d"'])
def test_a_name_twice_in_json_within_a_text_is_ambiguous(kind: str, other: str) -> None:
    """However deep, and in fields of forms as well."""
    adapter, middle, outer, levels = WITHIN_TEXTS[kind]

    def verdict(members: str) -> str | None:
        text = members if levels == 1 else middle % json.dumps(members)
        body = urlencode({"a": text}) if not outer else outer % json.dumps(text)
        kept = Headers([(b"content-type", next(iter(adapter.spec.content)).encode())])
        request = RawRequest(body=body.encode(), headers=kept)
        proof = adapter.scheme.sign(request, SECRET, NOW).headers["X-Signature"].encode()
        signed = Headers([*kept.fields, (b"x-signature", proof)])
        return fault(adapter.bind([SECRET]), RawRequest(body=body.encode(), headers=signed))

    assert verdict('{"id": 1, "x": 1, "X": 1}') is None
    assert verdict(f'{{{other}: 2, "id": 1}}') == "signature_ambiguous"


def test_a_name_twice_costs_a_stranger_no_second_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are only looked through once the signature has matched."""
    made = delivered("adyen")
    text = doubled(document_of(made), SIGNED["adyen"][0], is_escaped=True).replace("pspReference", "ref")
    monkeypatch.setattr(json, "loads", None)
    assert fault(made.bind(), with_document(made, text)) == "signature_mismatch"


def _multipart(fields: list[tuple[str, str]]) -> bytes:
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    ]
    return ("".join(parts) + "--x--\r\n").encode()


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("gitea", "payload"),
        ("braintree", "bt_payload"),
        ("braintree", "bt_signature"),
        ("dropbox_sign", "json"),
        ("paddle_classic", "alert_id"),
        ("paddle_classic", "p_signature"),
        ("mandrill", "mandrill_events"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_signed_field_of_a_form_stands_there_once(name: str, field: str, is_first: bool) -> None:
    """Whichever of the two is the signed one."""
    made = delivered(name)
    headers = {**made.request.headers, "Content-Type": "application/x-www-form-urlencoded"}
    body = made.request.body
    if name in ("gitea", "dropbox_sign"):
        body = urlencode({field: json.dumps(document_of(made), separators=(",", ":"))}).encode()
    if name == "gitea":
        body = urlencode({field: made.request.body.decode()}).encode()
    assert fault(made.bind(), made.raw(headers, body)) is None
    assert field in parse_qs(body.decode())
    other = f"{field}=%7B%7D".encode()
    twice = other + b"&" + body if is_first else body + b"&" + other
    assert fault(made.bind(), made.raw(headers, twice)) == "signature_ambiguous"


@pytest.mark.parametrize("field", ["token", "timestamp", "signature"])
@pytest.mark.parametrize("is_multipart", [False, True])
def test_the_fields_that_mailgun_signs_stand_there_once(field: str, is_multipart: bool) -> None:
    """In forms of both kinds."""
    made = delivered("mailgun")
    fields = [*document_of(made)["signature"].items(), ("event", "delivered")]
    media_type = "multipart/form-data; boundary=x" if is_multipart else "application/x-www-form-urlencoded"

    def verdict(pairs: list[tuple[str, str]]) -> str | None:
        body = _multipart(pairs) if is_multipart else urlencode(pairs).encode()
        return fault(made.bind(), made.raw({"Content-Type": media_type}, body))

    assert verdict(fields) is None
    assert verdict([*fields, ("event", "opened")]) is None
    assert verdict([(field, "1"), *fields]) == "signature_ambiguous"
