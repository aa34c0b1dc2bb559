"""Templates whose signed bytes can be divided into fields in exactly one way, and templates that are ambiguous."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest

NOW = 1_790_000_000
SECRET = "the secret of a sender of our own"

KNOWN_BY_THE_RECEIVER = {"mandrill"}
"""Whose address is followed by a form: it is the configured one, and nothing in the form begins with a question mark."""


def described(signed: str, unit: str = "s", content: str = "json", **more: Any) -> AdapterSpec:
    """An adapter with this template."""
    signature: dict[str, Any] = {"header": "X-Signature", "signed": signed, **more}
    if "{timestamp}" in signed:
        signature["timestamp"] = {"header": "X-Timestamp", "unit": unit}
    return AdapterSpec.model_validate(
        {"signature": signature, "event_id": "header:X-Id", "content": {"application/json": content}}
    )


@pytest.mark.parametrize("name", [name for name in registry.names() if name != registry.GENERIC])
def test_no_bundled_sender_signs_what_can_be_divided_otherwise(name: str) -> None:
    """Where it does, the adapter says what its fields are made of."""
    found = registry.load(name).spec.ambiguity

    assert (found is None) != (name in KNOWN_BY_THE_RECEIVER)


@pytest.mark.parametrize(
    ("template", "fields"),
    [
        ("{id}{timestamp}{body}", ("id", "timestamp")),
        ("{header:X-A}.{id}.{body}", ("header:X-A", "id")),
        ("{header:X-A}{header:X-B}{body}", ("header:X-A", "header:X-B")),
        ("{header:X-A}.{header:X-B}.{timestamp}.{body}", ("header:X-A", "header:X-B")),
        ("{body}{id}{header:X-A}", ("id", "header:X-A")),
        ("{body}.{id}.{header:X-A}", ("id", "header:X-A")),
        ("{id}, {header:X-A}, {body}", ("id", "header:X-A")),
        ("{query:a}\n{query:b}\n{body}", ("query:a", "query:b")),
        ("{path}{query}{body}", ("path", "query")),
        ("{url}{id}{body}", ("url", "id")),
        ("{id}-{method}{header:X-A}{body}", ("id", "header:X-A")),
    ],
)
def test_two_fields_that_can_share_bytes_are_found(template: str, fields: tuple[str, str]) -> None:
    """Those that touch, and those joined by what both may contain."""
    found = described(template).ambiguity
    assert found is not None
    assert found[0] == fields[0] or fields[0] == "id"


@pytest.mark.parametrize(
    "template",
    [
        "{body}",
        "{timestamp}{body}",
        "{timestamp}.{body}",
        "{id}.{timestamp}.{body}",
        "{timestamp}.{id}.{body}",
        "{body}{timestamp}",
        "{body}.{header:X-Nonce}.{timestamp}",
        "{timestamp}\n{secret}{body}",
        "{secret}{method}{url}{body}",
        "{method}{url:decoded}{body}{timestamp}",
        "{url}{body}",
        "{method}\n{path}\n{query}\n{timestamp}\n{body}",
        "{header:X-A}\n{id}\n{header:X-B}\n{body}",
        "v0:{timestamp}:{json_sorted}",
        "{id}|{timestamp}|{json_canonical}",
        "[{timestamp};{body}]",
    ],
)
def test_a_template_that_can_be_divided_in_one_way_is_none(template: str) -> None:
    """As most senders have them."""
    assert described(template).ambiguity is None


@pytest.mark.parametrize(
    ("template", "unit", "alphabet", "is_ambiguous"),
    [
        ("{timestamp}.{header:X-Event}.{body}", "iso8601", "a-z_.", False),
        ("{timestamp}.{header:X-Event}.{body}", "iso8601", "a-z0-9_.", True),
        ("{timestamp}.{header:X-Event}.{body}", "decimal", "a-z_.", True),
        ("{timestamp}{header:X-Event}.{body}", "iso8601", "a-z_.", True),
    ],
)
def test_a_moment_ends_at_a_dot_that_no_digit_follows(
    template: str, unit: str, alphabet: str, is_ambiguous: bool
) -> None:
    """As in what joins ``datetime.isoformat()``, an event type with dots in it, and the body."""
    found = described(template, unit, alphabets={"header:X-Event": alphabet}).ambiguity
    assert (found is not None) == is_ambiguous


@pytest.mark.parametrize(
    ("template", "unit", "content", "is_ambiguous"),
    [
        ("{id}{timestamp}{body}", "iso8601", "json", False),
        ("{id}{timestamp}{body}", "rfc3339", "json", False),
        ("{id}{timestamp}{body}", "http_date", "json", False),
        ("{id}.{timestamp}{body}", "decimal", "json", True),
        ("{timestamp}:{body}", "iso8601", "json", False),
        ("{timestamp}:{body}", "iso8601", "text", True),
        ("{timestamp}\n{body}", "iso8601", "text", False),
        ("{timestamp}{body}", "iso8601", "form", True),
        ("{timestamp}{body}", "rfc3339", "form", False),
        ("{timestamp}{body}", "s", "form", False),
        ("{timestamp}{body}", "auto", "form", True),
        ("{timestamp}.{body}", "decimal", "form", True),
        ("{body}{timestamp}", "s", "form", True),
        ("{body}\n{timestamp}", "s", "form", False),
        ("{id}.{body}", "s", "form", True),
        ("{id}\n{body}", "s", "form", False),
    ],
)
def test_how_a_moment_and_a_body_are_written_decides_too(
    template: str, unit: str, content: str, *, is_ambiguous: bool
) -> None:
    """JSON tells where it begins and ends, a form does not; nor does a time that may have an offset or none."""
    assert (described(template, unit, content).ambiguity is not None) == is_ambiguous


def test_an_alphabet_tells_fields_apart_and_is_held_to() -> None:
    """What a field is made of may be said; then nothing else verifies."""
    spec = described("{header:X-A}.{id}.{body}", alphabets={"header:X-A": "a-z_", "id": "A-Za-z0-9-"})
    assert spec.ambiguity is None
    adapter = Adapter("hmac", spec).bind([SECRET])
    assert _fault(adapter, "order", "evt-1") is None
    assert _fault(adapter, "order.evt", "1") == "signature_malformed"
    assert _fault(adapter, "order", "evt.1") == "signature_malformed"
    assert described("{header:X-A}.{id}.{body}", alphabets={"header:X-A": "^."}).ambiguity is None
    of_key = described(
        "{header:X-A}.{id}.{body}", scheme="public_key", algorithm="ed25519", alphabets={"id": "0-9"}
    )
    assert of_key.ambiguity is None
    for wrong in ({"id": "z-a"}, {"id": "]"}, {"id": ""}, {"id": "\\d"}, {"header:X-B": "a-z"}):
        with pytest.raises(ValidationError):
            described("{header:X-A}.{id}.{body}", alphabets=wrong)


@pytest.mark.parametrize("name", ["polar", "bigcommerce", "standard_webhooks", "svix", "openai"])
def test_an_id_has_no_dot_where_a_dot_ends_it(name: str) -> None:
    """Though it is signed: "a.b" + "1" and "a" + "b.1" would be the same bytes."""
    adapter = registry.load(name)
    secret = adapter.spec.signature.make_secret()
    bound = adapter.bind([secret.receiver])
    header = "svix-id" if name == "svix" else "webhook-id"
    prefix = header.removesuffix("id")
    key = secret.sender.encode()
    if adapter.spec.signature.scheme == "standard_webhooks":
        key = base64.b64decode(secret.sender.removeprefix("whsec_"))
    for event_id, expected in (("msg_1", None), ("msg.1", "signature_malformed")):
        digest = hmac.digest(key, f"{event_id}.{NOW}.{{}}".encode(), "sha256")
        headers = {
            header: event_id,
            f"{prefix}timestamp": str(NOW),
            f"{prefix}signature": "v1," + base64.b64encode(digest).decode(),
        }
        assert _fault_of(bound, _request(headers)) == expected


def _fault(adapter: Any, first: str, event_id: str) -> str | None:
    body = b"{}"
    digest = hmac.digest(SECRET.encode(), f"{first}.{event_id}.".encode() + body, hashlib.sha256).hex()
    return _fault_of(adapter, _request({"X-A": first, "X-Id": event_id, "X-Signature": digest}))


def _request(headers: dict[str, str]) -> RawRequest:
    fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return RawRequest(body=b"{}", headers=Headers([*fields, (b"content-type", b"application/json")]))


def _fault_of(adapter: Any, request: RawRequest) -> str | None:
    try:
        adapter.verify(request, NOW)
    except SignatureRejected as rejection:
        return rejection.fault
    return None
