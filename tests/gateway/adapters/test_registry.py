"""What every adapter must refuse and must accept. One that is added is tested by being there.

Requests are signed by the adapter's own scheme and then damaged. That its signatures are the sender's is for the
vectors and for the senders' own libraries to prove.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters import registry
from gateway.adapters.identity import MAX_ATTRIBUTE, UNKNOWN_TYPE
from gateway.devtools.samples import sample_names
from gateway.events.batch import Item
from gateway.events.body import Reader
from gateway.events.schemas import Catalogue
from gateway.signatures import request as internals
from gateway.signatures.extractors import places_of
from gateway.signatures.forms import parse_form
from gateway.signatures.rejections import MalformedRequest, Rejection, SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.request import VerifiedRequest as Verified
from gateway.signatures.schemes.fetched_keys import KeyNeeded
from gateway.signatures.schemes.jwt import JwtSpec
from support.deliveries import NAMES, NOW, URL, Delivered, delivered, secrets_of

YEARS = 3 * 365 * 86_400
VALUES_ALONE = {"aws_sns", "braintree", "gitea_form", "wix"}
"""Whose signatures cover values within the body, and not how they are written."""

UNTOUCHED = {
    "aws_sns": {"x-amz-sns-message-id", "x-amz-sns-message-type", "x-amz-sns-topic-arn"},
    "paypal": {"PAYPAL-CERT-URL"},
}
"""Fields that belong to a signature and do not matter here: what they say is in the body too, or the key is known."""


def signing(name: str) -> set[str]:
    """The fields that its signature depends on."""
    untouched = {field.lower() for field in UNTOUCHED.get(name, ())}
    return {field for field in delivered(name).signing if field.lower() not in untouched}


SIGNED_BODIES = [
    name for name in NAMES if registry.load(name).spec.signature.is_body_bound and name not in VALUES_ALONE
]
WITH_MOMENTS = [name for name in NAMES if registry.load(name).spec.signature.has_moment]
WITH_IDS = [name for name in NAMES if registry.load(name).spec.event_id]
IN_HEADERS = [name for name in NAMES if signing(name)]
ELSEWHERE = [name for name in NAMES if not signing(name)]

SAMPLES = [(name, event_type) for name in NAMES for event_type in sample_names(registry.load(name))]

each = pytest.mark.parametrize("name", NAMES)

DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "blank": lambda _: " ",
    "truncated": lambda value: value[:-1],
    "halved": lambda value: value[: len(value) // 2],
    "longer": lambda value: value + "0",
    "oversized": lambda value: value * 200,
    "garbled": lambda value: "".join(chr(33 + (ord(letter) * 7 + 3) % 90) for letter in value),
    "not ASCII": lambda value: value[:-1] + "\xe9",
    "not text": lambda value: "\x00" + value[1:],
    "another": lambda value: value[:-3] + ("AAA" if not value.upper().endswith("AAA") else "BBB"),
}


def refused(delivery: Delivered, request: RawRequest, now: float = NOW) -> str:
    """The precise reason, in the words of the log."""
    with pytest.raises((SignatureRejected, MalformedRequest)) as caught:
        delivery.bind().verify(request, now)
    return caught.value.detail


@each
def test_what_its_sender_signs_is_verified(name: str) -> None:
    """In the slot of the secret that it is signed with, which may be the second while rotating."""
    delivery = delivered(name)
    own, other = delivery.secrets.receiver, secrets_of(name, 1).receiver
    assert delivery.bind().verify(delivery.raw(), NOW).secret_slot == 0
    assert delivery.bind(own, other).verify(delivery.raw(), NOW).secret_slot == 0
    assert delivery.bind(other, own).verify(delivery.raw(), NOW).secret_slot == 1


@each
def test_under_another_secret_it_is_refused(name: str) -> None:
    """However much else is right."""
    delivery = delivered(name)
    with pytest.raises(SignatureRejected):
        delivery.bind(secrets_of(name, 1).receiver).verify(delivery.raw(), NOW)


@pytest.mark.parametrize("name", IN_HEADERS)
def test_without_a_field_of_its_signature_it_is_refused(name: str) -> None:
    """Each of them."""
    delivery = delivered(name)
    for field in signing(name):
        rest = {other: value for other, value in delivery.request.headers.items() if other != field}
        assert refused(delivery, delivery.raw(rest))


@pytest.mark.parametrize("name", IN_HEADERS)
def test_with_a_field_of_its_signature_twice_it_is_refused(name: str) -> None:
    """Even twice the same: a proxy and we could read different ones."""
    delivery = delivered(name)
    for field in signing(name):
        value = delivery.request.headers[field].encode("latin-1")
        for second in (value, b"0"):
            assert refused(delivery, delivery.raw(extra=((field.lower().encode(), second),)))


@pytest.mark.parametrize("name", IN_HEADERS)
def test_a_damaged_field_of_its_signature_is_refused(name: str) -> None:
    """Nothing else is raised, whatever is in it."""
    delivery = delivered(name)
    for field, damage in product(signing(name), DAMAGES):
        damaged = DAMAGES[damage](delivery.request.headers[field])
        if damaged != delivery.request.headers[field]:
            assert refused(delivery, delivery.raw(delivery.request.headers | {field: damaged})), (
                field,
                damage,
            )


def _elsewhere(delivery: Delivered) -> tuple[str, Callable[[str], RawRequest]]:
    """A signature in the query or the body, and the request with another one in its place."""
    signed, unsigned = delivery.request, delivery.sample.body
    if signed.body.count(b".") == 2 and not signed.body.startswith(b"{"):  # the body is a token
        return signed.body.decode(), lambda text: delivery.raw(body=text.encode("latin-1"))
    if "?" in signed.url:
        value = signed.url.rpartition("=")[2]
        return value, lambda text: delivery.raw(url=signed.url.removesuffix(value) + text)
    assert signed.body != unsigned
    new = [part for part in _texts(delivery) if part.encode() not in unsigned]
    value = max(new, key=len).rpartition("%7C")[2]  # of Braintree's pairs of key and signature, the second
    return value, lambda text: delivery.raw(body=signed.body.replace(value.encode(), text.encode("latin-1")))


def _texts(delivery: Delivered) -> Iterator[str]:
    """All texts in the payload as they stand in the body."""
    body, media_type = delivery.request.body, delivery.sample.media_type
    if media_type.startswith("multipart/"):
        fields = parse_form(body, media_type.encode())
        body = str(fields[str(delivery.adapter.spec.form_json)]).encode()
    elif delivery.sample.body_format == "form":
        yield from (pair.partition(b"=")[2].decode() for pair in body.split(b"&"))
        return
    waiting = [json.loads(body)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, str):
            yield json.dumps(value)[1:-1]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_damaged_signature_in_the_query_or_the_body_is_refused(name: str) -> None:
    """As it is in a header."""
    delivery = delivered(name)
    value, with_signature = _elsewhere(delivery)
    for kind, damage in DAMAGES.items():
        assert refused(delivery, with_signature(damage(value))), kind


@pytest.mark.parametrize("name", SIGNED_BODIES)
def test_one_other_bit_in_the_body_is_refused(name: str) -> None:
    """At any place; some fifty are tried."""
    delivery = delivered(name)
    body = delivery.request.body
    for place in range(0, len(body), max(1, len(body) // 50)):
        flipped = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        assert refused(delivery, delivery.raw(body=flipped)), place


@pytest.mark.parametrize("name", SIGNED_BODIES)
def test_a_body_that_was_encoded_anew_is_refused(name: str) -> None:
    """Equal in meaning is not equal; a byte more or less is another body."""
    delivery = delivered(name)
    body = delivery.request.body
    for other in (body + b"\n", b" " + body, body[:-1], b""):
        assert refused(delivery, delivery.raw(body=other))
    if delivery.sample.body_format == "json":
        assert refused(delivery, delivery.raw(body=json.dumps(json.loads(body), indent=7).encode()))


@each
def test_another_address_is_refused_where_it_is_signed(name: str) -> None:
    """And is nobody's care where it is not."""
    delivery = delivered(name)
    if delivery.adapter.spec.signature.needs_url:
        assert refused(
            delivery, delivery.raw(url=delivery.request.url.replace("/webhooks/in", "/webhooks/out"))
        )
    else:
        other = delivery.request.url.replace("hooks.example.com", "hooks.example.org")
        assert delivery.bind().verify(delivery.raw(url=other), NOW).secret_slot == 0


@pytest.mark.parametrize("name", WITH_MOMENTS)
def test_what_was_signed_long_ago_or_is_not_signed_yet_is_refused(name: str) -> None:
    """By years, which is more than anybody tolerates."""
    delivery = delivered(name)
    assert refused(delivery, delivery.raw(), NOW + YEARS) in {"timestamp_too_old", "claim_mismatch"}
    if not isinstance(delivery.adapter.spec.signature, JwtSpec):  # a token may be without a beginning
        assert refused(delivery, delivery.raw(), NOW - YEARS) == "timestamp_in_future"


@pytest.mark.parametrize(("name", "event_type"), SAMPLES)
def test_it_is_what_its_sample_says(name: str, event_type: str) -> None:
    """Its id and its type; what it tells has bounds; and its schema holds."""
    delivery = delivered(name, event_type)
    bound = delivery.bind()
    verified = bound.verify(delivery.raw(), NOW)
    content = Reader(delivery.adapter.spec).read(verified.headers, verified.body)
    items = [Item(content.payload, b"")] if content.items is None else content.items
    assert items
    schemas = Catalogue.bundled().of_adapter(delivery.adapter.family)
    for position, (item, _, parent, _) in enumerate(items):
        identity = bound.identify(verified, content.payload, item, parent)
        assert identity.is_typed
        assert identity.event_type != UNKNOWN_TYPE
        if position == 0:
            assert identity.event_type == event_type
            assert identity.event_id in {delivery.request.event_id, None}
        for attribute in (
            identity.subject,
            identity.account,
            identity.actor,
            identity.delivery_id,
            identity.summary,
        ):
            assert attribute is None or 0 < len(attribute) <= MAX_ATTRIBUTE
        if delivery.adapter.spec.summary and ("*" in delivery.adapter.spec.summary):
            assert identity.summary
        schema = schemas.find(identity.event_type)
        if delivery.sample.body_format in {"json", "form", "jwt"}:
            assert schema
            assert schema.explain(item) == []


NEEDED = {
    "stripe": {"id", "object", "data", "data.object", "data.object.object"},
    "github": {"action", "hook", "issue", "comment", "pull_request", "release", "workflow_run"},
}
"""What events have to have, or to have of one kind, besides what their type is read from."""


def _without_each(value: object, at: str = "") -> Iterator[tuple[str, Any]]:
    """A value without each of its members, one at a time, and with null in its place."""
    if isinstance(value, dict):
        for name, member in value.items():
            path = f"{at}.{name}" if at else name
            yield path, {other: kept for other, kept in value.items() if other != name}
            yield path, {**value, name: None}
            for deeper, changed in _without_each(member, path):
                yield deeper, {**value, name: changed}


@pytest.mark.parametrize(("name", "event_type"), SAMPLES)
def test_an_event_that_has_its_type_lacks_nothing(name: str, event_type: str) -> None:
    """A member that is absent or null costs the summary a word, never the agent the event."""
    delivery = delivered(name, event_type)
    bound = delivery.bind()
    verified = bound.verify(delivery.raw(), NOW)
    content = Reader(delivery.adapter.spec).read(verified.headers, verified.body)
    if content.media_type is not None:
        return
    item = content.items[0] if content.items else Item(content.payload, b"")
    schemas = Catalogue.bundled().of_adapter(delivery.adapter.family)
    for path, changed in _without_each(item.payload):
        is_alone = content.items is None
        identity = (
            bound.identify(verified, changed)
            if is_alone
            else bound.identify(verified, content.payload, changed, item.parent)
        )
        schema = schemas.find(identity.event_type)
        if identity.is_typed and schema and path not in NEEDED.get(delivery.adapter.family, ()):
            assert schema.explain(changed) == [], path


@each
def test_no_event_is_refused_for_its_id(name: str) -> None:
    """Whatever else it holds; a digest serves where there is none."""
    bound = delivered(name).bind()
    nothing = Verified(RawRequest(body=b"", headers=Headers([])), 0, proof=internals.PROOF)
    payloads: list[object] = [{}, {"id": ""}, {"id": {}}, None, [], "text", 7]
    for payload in payloads:
        bound.identify(nothing, payload)


@pytest.mark.parametrize("name", WITH_IDS)
def test_an_id_that_is_told_to_be_signed_cannot_be_changed(name: str) -> None:
    """Or whoever saw a delivery could send it under any number of ids, and nobody would suspect it."""
    delivery = delivered(name)
    bound = delivery.bind()
    places = [place for place in places_of(delivery.adapter.spec.event_id) if place.startswith("header:")]
    for field in {place.removeprefix("header:").lower() for place in places}:
        rest = {other: value for other, value in delivery.request.headers.items() if other.lower() != field}
        try:
            verified = bound.verify(delivery.raw(rest | {field: "another"}), NOW)
        except Rejection:
            continue
        content = Reader(delivery.adapter.spec).read(verified.headers, verified.body)
        item = content.items[0] if content.items else Item(content.payload, b"")
        identity = bound.identify(verified, content.payload, item.payload, item.parent)
        is_other = identity.event_id != delivery.request.event_id
        assert not (is_other and bound.signs_event_id), field


@pytest.mark.parametrize("name", WITH_IDS)
def test_an_id_that_is_too_long_is_known_by_its_digest(name: str) -> None:
    """Wherever it comes from, so that two of them are two."""
    delivery = delivered(name)
    spec = delivery.adapter.spec
    raw, found = delivery.raw(), set()
    for letter in "xy":
        text = letter * 300
        fields = [(field.lower().encode(), text.encode()) for field in delivery.request.headers]
        stuffed = Verified(
            RawRequest(body=raw.body, headers=Headers(fields), query=raw.query), 0, proof=internals.PROOF
        )
        payload = _stuff(Reader(spec).read(raw.headers, raw.body).payload, text)
        event_id = delivery.bind().identify(stuffed, payload).event_id
        assert event_id is None or len(event_id) <= MAX_ATTRIBUTE
        found.add(event_id)
    assert len(found) == 2 or found == {None}


def _stuff(value: object, text: str) -> object:
    """The value with every text and number in it replaced."""
    if isinstance(value, dict):
        return {name: _stuff(member, text) for name, member in value.items()}
    if isinstance(value, list):
        return [_stuff(member, text) for member in value]
    return text


@settings(max_examples=8, deadline=None)
@given(data=st.data())
@each
def test_nothing_but_a_rejection_is_raised(name: str, data: st.DataObject) -> None:
    """Whatever stands in the fields, the query and the body."""
    delivery = delivered(name)
    names = [*delivery.signing, "Content-Type", *delivery.request.headers]
    values = st.binary(max_size=60) | st.sampled_from([b"0", b"v1,", b"t=1,v1=", b"a.b.c", b"Bearer a.b.c"])
    fields = [
        (field.lower().encode(), data.draw(values)) for field in data.draw(st.lists(st.sampled_from(names)))
    ]
    request = RawRequest(
        body=data.draw(
            st.binary(max_size=200) | st.sampled_from([delivery.request.body, b"{}", b"[]", b"a=b&c"])
        ),
        headers=Headers(fields),
        query=data.draw(st.binary(max_size=60)),
        url=URL,
    )
    try:
        delivery.bind().verify(request, NOW)
    except (Rejection, KeyNeeded):
        return


@each
def test_it_is_described_for_people(name: str) -> None:
    """Where it comes from, and how it signs."""
    spec = registry.load(name).spec
    assert spec.title
    assert spec.docs.startswith("https://")
    assert 5 < len(spec.signature.describe()) < 500
