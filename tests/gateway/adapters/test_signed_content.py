"""Signed content has one canonical form, however the rest of the request is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import parse_qsl

import pytest

from gateway.adapters import registry
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from support.deliveries import NAMES, NOW, Delivered, delivered

FORMS = ["twilio", "plivo", "braintree", "paddle_classic", "mandrill", "gitea"]
"""Senders that sign what a form says."""

FORM = {"Content-Type": "application/x-www-form-urlencoded"}

PARTLY = ["adyen", "aws_sns", "braintree", "dropbox_sign", "mailgun"]
"""Senders whose bodies hold what they sign beside what they do not."""


def signed(made: Delivered, request: RawRequest) -> bytes | None:
    """What of a delivery is found to be signed."""
    return made.bind().verify(request, NOW).signed


def as_form(made: Delivered) -> tuple[dict[str, str], bytes]:
    """A delivery as the form that its sender sends."""
    headers, body = made.request.headers, made.request.body
    if not body.startswith(b"{"):
        return dict(headers), body
    escaped = b"".join(b"%%%02X" % byte for byte in body)
    return {**headers, **FORM}, b"payload=" + escaped


def respelled(body: bytes) -> bytes:
    """The same form with every byte of its values escaped."""
    pairs = parse_qsl(body.decode(), keep_blank_values=True)
    return "&".join(
        f"{name}=" + "".join(f"%{byte:02x}" for byte in value.encode()) for name, value in pairs
    ).encode()


@pytest.mark.parametrize("name", FORMS)
def test_another_spelling_of_a_form_is_the_same_content(name: str) -> None:
    """The signature covers what the form says, and that is what is told."""
    made = delivered(name)
    headers, body = as_form(made)
    other = respelled(body)
    first, second = (signed(made, made.raw(headers, each)) for each in (body, other))

    assert body != other
    assert first
    assert first == second


@pytest.mark.parametrize("name", ["twilio", "plivo", "paddle_classic"])
def test_the_order_of_the_fields_is_not_part_of_the_content(name: str) -> None:
    """They are sorted before they are signed."""
    made = delivered(name)
    fields = made.request.body.split(b"&")
    turned = b"&".join(reversed(fields))

    assert len(fields) > 1
    assert signed(made, made.raw()) == signed(made, made.raw(body=turned))


def _with_a_field(body: bytes) -> bytes:
    return body + b"&added=1"


def _with_a_member(body: bytes) -> bytes:
    return json.dumps({"added": 1, **json.loads(body)}, indent=3).encode()


def _with_a_member_in_the_field(body: bytes) -> bytes:
    return body.replace(b'{"', b'{"added": 1,\n "', 1)


@pytest.mark.parametrize(
    ("name", "alter"),
    [
        ("braintree", _with_a_field),
        ("gitea", None),
        ("adyen", _with_a_member),
        ("aws_sns", _with_a_member),
        ("mailgun", _with_a_member),
        ("dropbox_sign", _with_a_member_in_the_field),
    ],
)
def test_what_stands_beside_the_signed_parts_is_not_in_it(
    name: str, alter: Callable[[bytes], bytes] | None
) -> None:
    """A member, a field or white space more changes nothing."""
    made = delivered(name)
    headers, body = as_form(made) if alter is None else (made.request.headers, made.request.body)
    other = (alter or _with_a_field)(body)
    first, second = (signed(made, made.raw(headers, each)) for each in (body, other))

    assert body != other
    assert first
    assert first == second


@pytest.mark.parametrize("name", ["wix", "mercado_pago", "paypal"])
def test_another_attempt_at_the_same_event_is_the_same_content(name: str) -> None:
    """Its moment is not part of what is told, nor is the id of the attempt where the event has one of its own."""
    made = delivered(name)
    body = made.sample.body if name == "wix" else made.request.body
    attempts = []
    for number in range(2):
        headers = dict(made.request.headers)
        if name == "paypal":
            headers["PAYPAL-TRANSMISSION-ID"] = f"attempt-{number}"
        unsigned = made.raw(headers, body)
        attempt = made.adapter.scheme.sign(unsigned, made.secrets.sender, NOW + 60 * number, made.parameters)
        attempts.append(made.raw({**headers, **attempt.headers}, attempt.body))
    first, second = (signed(made, attempt) for attempt in attempts)

    assert len({(attempt.body, *attempt.headers.fields) for attempt in attempts}) > 1
    assert first
    assert first == second


def test_a_nonce_takes_nothing_from_the_last_value_of_a_form() -> None:
    """A nonce with dots could have been the end of a field."""
    made = delivered("plivo")
    unsigned = {**FORM, "X-Plivo-Signature-V3-Nonce": "5"}
    proof = made.adapter.scheme.sign(made.raw(unsigned, b"a=1.6"), made.secrets.sender, NOW).headers
    assert signed(made, made.raw({**unsigned, **proof}, b"a=1.6"))
    moved = {**unsigned, **proof, "X-Plivo-Signature-V3-Nonce": "6.5"}
    with pytest.raises(SignatureRejected, match="signature_malformed"):
        signed(made, made.raw(moved, b"a=1"))


def test_each_item_that_is_signed_by_itself_tells_its_own_content() -> None:
    """In the order of the batch."""
    made = delivered("adyen")
    document = json.loads(made.request.body)
    (item,) = document["notificationItems"]
    other = json.loads(json.dumps(item))
    other["NotificationRequestItem"]["pspReference"] = "ANOTHER123"
    unsigned = json.dumps({"notificationItems": [item, other]}).encode()
    both = made.adapter.scheme.sign(made.raw(body=unsigned), made.secrets.sender, NOW)
    verified = made.bind().verify(made.raw(body=both.body), NOW)

    assert verified.signed_items is not None
    assert [b"ANOTHER123" in part for part in verified.signed_items] == [False, True]
    assert verified.signed is not None
    assert all(part in verified.signed for part in verified.signed_items)


def test_it_is_known_which_bodies_are_signed_in_part() -> None:
    """What stands beside the signed places is nobody's word."""
    specs = {name: registry.load(name).spec.signature for name in NAMES}
    assert [name for name, spec in specs.items() if spec.is_body_partly_signed] == PARTLY
