"""A request that cannot have a signature is refused before anything else of it is read."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from gateway.adapters import registry
from gateway.signatures import forms
from gateway.signatures.extractors import pointer_steps, resolve
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes import excerpt
from support.deliveries import NAMES, NOW, Delivered, delivered

FORMS = {"Content-Type": "application/x-www-form-urlencoded"}


def signature_header(name: str) -> str | None:
    """The header that carries the signature, where the signature is of what a body says."""
    spec: Any = registry.load(name).spec.signature
    match spec.scheme:
        case "twilio":
            return "X-Twilio-Signature"
        case "plivo":
            return f"X-Plivo-Signature-{spec.version.upper()}"
        case "hmac" if spec.headers and not spec.signs_body_as_it_came:
            return str(spec.headers[0])
    return None


OF_HEADERS = [name for name in NAMES if signature_header(name)]


class Looked(Exception):
    """Somebody has looked at the body."""


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever looks at a body raises, once those are signed that are tried."""
    for name in OF_HEADERS:
        delivered(name)

    def look(*_: object, **__: object) -> Any:
        raise Looked

    for module, function in [(forms, "read_pairs"), (forms, "_split"), (forms, "split_multipart")]:
        monkeypatch.setattr(module, function, look)
    monkeypatch.setattr(excerpt.Excerpt, "read", look)
    monkeypatch.setattr(excerpt, "_load", look)


def test_the_senders_are_found() -> None:
    """All that sign what a form says, and show the signature in a header."""
    assert {"twilio", "plivo", "mandrill", "gitea"} <= set(OF_HEADERS)


def with_signature(made: Delivered, name: str, text: str | None) -> dict[str, str]:
    """The header fields with another signature, or none."""
    header = signature_header(name)
    fields = {field: value for field, value in made.request.headers.items() if field != header}
    return {**fields, **FORMS} if text is None else {**fields, **FORMS, str(header): text}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("text", [None, "junk", "A" * 4000, ",".join(["A"] * 4000)])
@pytest.mark.parametrize("name", OF_HEADERS)
def test_a_form_is_not_looked_at_without_a_signature(name: str, text: str | None) -> None:
    """Nor with one that is none."""
    made = delivered(name)
    request = made.raw(with_signature(made, name, text), b"a=%41&b=%42")
    with pytest.raises(SignatureRejected, match=r"signature_m|too_many_signatures"):
        made.bind().verify(request, NOW)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", ["twilio", "mandrill", "gitea"])
def test_a_form_is_looked_at_for_a_signature_that_could_be_one(name: str) -> None:
    """Else the test above would prove nothing."""
    made = delivered(name)
    size = 32 if name == "gitea" else 20
    text = "0" * 64 if name == "gitea" else base64.b64encode(bytes(size)).decode()
    with pytest.raises(Looked):
        made.bind().verify(made.raw(with_signature(made, name, text), b"payload=%41"), NOW)


@pytest.mark.parametrize(
    ("name", "field"), [("braintree", "bt_signature"), ("paddle_classic", "p_signature")]
)
@pytest.mark.parametrize("text", ["junk!", "A" * 200_000, "%41" * 100_000, "%26" * 100_000])
def test_of_a_form_with_its_signature_no_more_is_looked_at_than_that(
    name: str, field: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else it has."""
    undone = []
    original = forms.unquote

    def recorded(escaped: bytes) -> bytes:
        undone.append(escaped)
        return original(escaped)

    monkeypatch.setattr(forms, "unquote", recorded)
    made = delivered(name)
    body = f"{field}={text}&bt_payload=".encode() + b"%42" * 100_000
    with pytest.raises(SignatureRejected, match=r"signature_m|too_many_signatures"):
        made.bind().verify(made.raw(body=body), NOW)
    assert not any(b"%42%42" in piece for piece in undone)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("stripe", "Stripe-Signature"),
        ("openai", "webhook-signature"),
        ("persona", "Persona-Signature"),
        ("coinbase_cdp", "X-Hook0-Signature"),
        ("contentful", "x-contentful-signed-headers"),
        ("plivo", "X-Plivo-Signature-V3"),
        ("paypal", "PAYPAL-TRANSMISSION-SIG"),
        ("ebay", "X-EBAY-SIGNATURE"),
        ("discord", "X-Signature-Ed25519"),
    ],
)
@pytest.mark.parametrize("separator", [",", " ", ", "])
def test_a_header_of_thousands_of_elements_is_refused_by_counting(
    name: str, header: str, separator: str
) -> None:
    """Thirty kilobytes of them are no list of a sender's."""
    made = delivered(name)
    assert header.lower() in {field.lower() for field in made.request.headers}
    fields = {
        field: value for field, value in made.request.headers.items() if field.lower() != header.lower()
    }
    made.bind().verify(made.raw(), NOW)
    with pytest.raises(SignatureRejected):
        made.bind().verify(made.raw({**fields, header: separator.join(["v1,t=1"] * 3000)}), NOW)


@pytest.mark.parametrize(
    ("name", "header", "element"),
    [
        ("stripe", "Stripe-Signature", ",v0=1"),
        ("openai", "webhook-signature", " v9,x"),
        ("coinbase_cdp", "X-Hook0-Signature", ",v0=1"),
    ],
)
def test_a_few_elements_of_another_kind_are_skipped_and_many_are_refused(
    name: str, header: str, element: str
) -> None:
    """However right the one is that counts."""
    made = delivered(name)
    right = next(value for field, value in made.request.headers.items() if field.lower() == header.lower())
    fields = {
        field: value for field, value in made.request.headers.items() if field.lower() != header.lower()
    }
    made.bind().verify(made.raw({**fields, header: right + element * 9}), NOW)
    with pytest.raises(SignatureRejected, match="too_many_signatures"):
        made.bind().verify(made.raw({**fields, header: right + element * 40}), NOW)


def test_the_first_item_that_is_not_signed_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of those behind it is looked at."""
    made = delivered("adyen")
    item = orjson.loads(made.request.body)["notificationItems"][0]
    forged = {"NotificationRequestItem": {**item["NotificationRequestItem"], "pspReference": "another"}}
    body = orjson.dumps({"notificationItems": [forged, *[item] * 500]})
    looked_at = []
    original = excerpt.Node.plain

    def recorded(node: excerpt.Node, value: object) -> object:
        looked_at.append(value)
        return original(node, value)

    monkeypatch.setattr(excerpt.Node, "plain", recorded)
    with pytest.raises(SignatureRejected, match="signature_mismatch"):
        made.bind().verify(made.raw(body=body), NOW)
    assert 0 < len(looked_at) < 100


def test_of_large_json_no_more_becomes_an_object_than_is_signed() -> None:
    """All else is skipped."""
    read = excerpt.Excerpt(["body:/a/b"])
    text = b'{"x":[%b0],"a":{"y":{"z":1},"b":"text"}}' % (b"0," * 5000)
    assert list(read.read(text)) == [({"a": {"b": "text"}}, {"a": {"b": "text"}})]


@pytest.mark.parametrize("steps", ["/a/b", "/a/0/b"])
@pytest.mark.parametrize("size", [1, 3000])
def test_json_within_a_text_is_read_as_pointers_lead_into_it(steps: str, size: int) -> None:
    """In JSON that is read as a whole, and in what is not."""
    inner = [{"b": "text", "c": [0] * size}] if "0" in steps else {"b": "text", "c": [0] * size}
    text = orjson.dumps({"a": inner if "0" in steps else orjson.dumps(inner).decode()})
    ((payload, _),) = excerpt.Excerpt([f"body:{steps}"]).read(text)

    assert resolve(payload, pointer_steps(f"body:{steps}")) == "text"


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' * 5000,
        b"[" * 5000,
        b'{"a":{"b":"' + b"x" * 5000,
        b'{"a":{"b":"\xff"}' + b" " * 5000 + b"}",
        b'{"a":{"b":"\\ud800"}' + b" " * 5000 + b"}",
        b'{"a":{"b":1e999}' + b" " * 5000 + b"}",
        b'{"a":{"b":[1]}' + b" " * 5000 + b"}",
        b" " * 5000,
    ],
)
def test_what_is_no_json_of_its_sender_is_refused_like_no_signature(text: bytes) -> None:
    """Nothing else is ever raised."""
    with pytest.raises(SignatureRejected):
        list(excerpt.Excerpt(["body:/a/b"]).read(text))


def test_json_with_its_signature_in_it_has_a_size() -> None:
    """And a batch of such has a number of items."""
    with pytest.raises(SignatureRejected, match="signature_malformed"):
        list(excerpt.Excerpt(["body:/a"]).read(b'{"a":1}' + b" " * 9_000_000))
    with pytest.raises(SignatureRejected, match="signature_malformed"):
        list(excerpt.Excerpt(["item:/a"], ["b"]).read(b'{"b":[%b{}]}' % (b"{}," * 20_000)))
