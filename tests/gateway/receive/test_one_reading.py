"""One body, one reading: what was signed as one thing is never accepted as another.

Hardly any signature covers the media type, so that whoever saw a delivery can send its bytes again under another one.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson
import pytest

from gateway.adapters import registry
from gateway.adapters.adapter import Adapter
from gateway.adapters.spec import AdapterSpec, DeliverySpec
from gateway.devtools.samples import sample_names
from gateway.events.batch import Item
from gateway.events.body import Reader
from gateway.signatures.rejections import MalformedRequest, Rejection
from gateway.signatures.request import Headers, RawRequest
from support.deliveries import NAMES, NOW, delivered

FORM = "application/x-www-form-urlencoded"
BOUNDARY = "evil"
TYPES = [
    None,
    "application/json",
    "application/json; charset=iso-8859-1",
    "application/json, application/json",
    "Application/Json;charset=utf-16",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "application/vnd.contentful.management.v1+json",
    FORM,
    f"{FORM}; charset=latin-1",
    f"multipart/form-data; boundary={BOUNDARY}",
    "text/plain",
    "text/xml",
    "application/xml; charset=us-ascii",
    "application/soap+xml",
    "application/octet-stream",
    "image/png",
]
SAMPLES = [(name, each) for name in NAMES for each in sample_names(registry.load(name))]

BY_THE_TYPE_ITSELF = {"cloudevents", "cloudevents_query"}
"""Nothing of theirs is signed, and in binary mode the media type is an attribute of the event like those beside it."""


def reader_of(adapter: Adapter) -> Reader:
    """What reads the bodies of an adapter."""
    return Reader(adapter.spec, is_body_signed=adapter.spec.signature.is_body_bound)


def meaning(name: str, raw: RawRequest, event_type: str | None = None) -> Any:
    """What a request is accepted as: its events with their types and ids; None when it is refused."""
    delivery = delivered(name, event_type)
    bound = delivery.bind()
    try:
        verified = bound.verify(raw, NOW)
        content = reader_of(delivery.adapter).read(verified.headers, verified.body)
        found = content.items if content.items is not None else [Item(content.payload, content.data)]
        identities = [bound.identify(verified, content.payload, item.payload, item.parent) for item in found]
    except Rejection:
        return None
    return [
        (item.payload, item.data, identity.event_type, identity.event_id, identity.subject, identity.is_typed)
        for item, identity in zip(found, identities, strict=True)
    ]


def declared(raw: RawRequest, content_type: str | None) -> RawRequest:
    """The same request with another media type."""
    fields = [field for field in raw.headers.fields if field[0] != b"content-type"]
    if content_type is not None:
        fields.append((b"content-type", content_type.encode()))
    return RawRequest(
        body=raw.body, headers=Headers(fields), method=raw.method, path=raw.path, query=raw.query, url=raw.url
    )


@pytest.mark.parametrize(("name", "event_type"), SAMPLES)
def test_what_is_accepted_under_one_media_type_is_refused_or_the_same_under_others(
    name: str, event_type: str
) -> None:
    """For every delivery of every adapter, and every type that it reads or does not."""
    delivery = delivered(name, event_type)
    raw = delivery.raw()
    genuine = meaning(name, raw, event_type)
    assert genuine
    own = [media_type.replace("*", "x") for media_type in delivery.adapter.spec.content]
    found = {str(each): meaning(name, declared(raw, each), event_type) for each in [*TYPES, *own]}
    others = {each: what for each, what in found.items() if what is not None and what != genuine}
    if name in BY_THE_TYPE_ITSELF:
        others = {
            each: what for each, what in others.items() if "json" in each or what[0][1:] != genuine[0][1:]
        }
    assert others == {}


INJECTED = quote('{"event":"forged","type":"forged","action":"forged","ref":"refs/heads/main"}')
HOSTILE = [
    f'{{"comment":"nice &{name}={INJECTED}&x="}}'
    for name in (
        "payload",
        "json",
        "mandrill_events",
        "bt_payload",
        "type",
        "command",
        "MessageStatus",
        "event",
    )
]
HOSTILE += [
    f'["x&payload={INJECTED}"]',
    f'"&payload={INJECTED}"',
    f' \t\r\n {{"a":"&payload={INJECTED}"}}',
    f'\ufeff{{"a":"&payload={INJECTED}"}}',
    f'{{"a":NaN,"b":"&payload={INJECTED}"}}',  # what JSON's reader refuses is no form all the same
    f'{{"a":"\\ud800","b":"&payload={INJECTED}"}}',
    f"<a>&payload={INJECTED}</a>",
    f'<?xml version="1.0"?><a b="&payload={INJECTED}"/>',
    f"\n<a>&payload={INJECTED}</a>",
    "17",
    "-1e3 ",
    "true",
    "null\n",
    "e30.eyJhIjoxfQ.c2ln",
    f'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n&payload={INJECTED}\r\n--x--\r\n',
    f'------=_Part_1\r\nContent-Disposition: form-data; name="a"\r\n\r\n&payload={INJECTED}\r\n------=_Part_1--\r\n',
    f'--a&b\r\nContent-Disposition: form-data; name="a"\r\n\r\n&payload={INJECTED}\r\n--a&b--\r\n',
]
READERS = {
    name: adapter
    for name, adapter in ((name, registry.load(name)) for name in NAMES)
    if "form" in adapter.spec.content.values()
}


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: body[:24])
@pytest.mark.parametrize("name", READERS)
def test_what_is_something_else_is_no_form(name: str, body: str) -> None:
    """However it continues; a comment that somebody wrote could have been made to look like fields."""
    reader = reader_of(READERS[name])
    for media_type, reading in READERS[name].spec.content.items():
        if reading == "form":
            stated = f"{media_type}; boundary={BOUNDARY}" if "multipart" in media_type else media_type
            with pytest.raises(MalformedRequest):
                reader.read(Headers([(b"content-type", stated.encode())]), body.encode())
            for charset in ("utf-16", "utf-16-be") if body.lstrip("\ufeff \t\r\n")[0] in '{["<' else ():
                with pytest.raises(MalformedRequest):
                    reader.read(Headers([(b"content-type", stated.encode())]), body.encode(charset))


def test_the_boundary_of_a_form_is_the_one_that_it_begins_with() -> None:
    """Else a file in it could be made to look like fields, by another boundary that nobody signed."""
    reader = Reader(DeliverySpec(content={"multipart/form-data": "form", "application/json": "json"}))
    forged = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="type"\r\n\r\nrefund\r\n--{BOUNDARY}--\r\n'
    )
    genuine = f'--x\r\nContent-Disposition: form-data; name="note"\r\n\r\n{forged}\r\n--x--\r\n'
    text = orjson.dumps({"note": forged})
    own = Headers([(b"content-type", b"multipart/form-data; boundary=x")])
    another = Headers([(b"content-type", f"multipart/form-data; boundary={BOUNDARY}".encode())])

    assert reader.read(own, genuine.encode()).payload == {"note": forged}
    for body in (
        genuine.encode(),
        b"\r\n" + genuine.encode(),
        b"\n" + text,
        text,
        b"\n a note " + forged.encode(),
    ):
        with pytest.raises(MalformedRequest):
            reader.read(another, body)


def github(body: str) -> Any:
    """What a form of GitHub is read as."""
    return reader_of(registry.load("github")).read(Headers([(b"content-type", FORM.encode())]), body.encode())


@pytest.mark.parametrize("name", ["github", "gitea"])
@pytest.mark.parametrize("body", ["x=1&payload={}", "&payload={}", "Payload={}", "payload[]={}", "pay", ""])
def test_a_form_that_begins_otherwise_is_not_its_senders(name: str, body: str) -> None:
    """GitHub's and Gitea's have one field."""
    reader = reader_of(registry.load(name))
    with pytest.raises(MalformedRequest):
        reader.read(Headers([(b"content-type", FORM.encode())]), body.encode())
    assert github("payload=%7B%22a%22%3A1%7D").payload == {"a": 1}


@pytest.mark.parametrize(
    ("body", "is_read"),
    [
        ("payload=%7B%22type%22%3A%22block_actions%22%7D", True),
        ("token=x&team_id=T1&command=%2Fweather&text=94070", True),
        ("ssl_check=1&token=x", True),
        ("token=x&payload=%7B%22type%22%3A%22block_actions%22%7D", False),
        ("text=x&payload=%7B%22type%22%3A%22block_actions%22%7D", False),
        ("text=x&command=%2Fweather", False),
    ],
)
def test_forms_of_slack_are_interactions_or_commands(body: str, is_read: bool) -> None:
    """And never both."""
    reader = reader_of(registry.load("slack"))
    headers = Headers([(b"content-type", FORM.encode())])
    if is_read:
        assert reader.read(headers, body.encode()).payload
    else:
        with pytest.raises(MalformedRequest):
            reader.read(headers, body.encode())


def own(content: dict[str, str], **spec: Any) -> Reader:
    """What reads the bodies of an operator's own provider, whose signature covers the body alone."""
    adapter = AdapterSpec.model_validate({"signature": {"header": "X-Signature"}, "content": content, **spec})
    return Reader(adapter)


@pytest.mark.parametrize(
    ("content", "body", "kind", "other"),
    [
        ({"application/json": "json", "text/plain": "text"}, b'{"a":1}', "application/json", "text/plain"),
        ({"application/json": "json", "*/*": "text"}, b"[1]", "application/json", "image/png"),
        ({"application/json": "json", "text/plain": "text"}, b"17", "application/json", "text/plain"),
        ({"text/xml": "xml", "*/*": "text"}, b"\xef\xbb\xbf<a/>", "text/xml", "text/plain"),
        ({"text/plain": "jwt", "*/*": "text"}, b"e30.eyJhIjoxfQ.c2ln", "text/plain", "image/png"),
        (
            {"application/json": "json", "text/plain": "jwt"},
            b'{"a":"e30.eyJhIjoxfQ.c2ln"}',
            "application/json",
            "text/plain",
        ),
        ({FORM: "form", "text/plain": "jwt"}, b"e30.eyJhIjoxfQ.c2ln", "text/plain", FORM),
        ({FORM: "form", "text/xml": "xml"}, b"<a>&amp;b=1</a>", "text/xml", FORM),
        ({"a/b": "json_list", "application/json": "json"}, b'[{"id":1},{"id":2}]', "a/b", "application/json"),
        ({"a/b": "json_list", "application/json": "json"}, b'{"id":1}', "application/json", "a/b"),
    ],
)
def test_two_readings_of_an_operators_own_never_take_the_same_body(
    content: dict[str, str], body: bytes, kind: str, other: str
) -> None:
    """Whichever two are configured."""
    reader = own(content)
    assert reader.read(Headers([(b"content-type", kind.encode())]), body)
    with pytest.raises(Rejection):
        reader.read(Headers([(b"content-type", other.encode())]), body)


def test_a_form_and_a_text_cannot_be_configured_together() -> None:
    """Every text can be read as a form; where nothing is signed, that is no matter."""
    content = {FORM: "form", "text/plain": "text"}
    with pytest.raises(ValueError, match="tells apart"):
        own(content)
    token = {"scheme": "token", "header": "X-Token"}
    assert AdapterSpec.model_validate({"signature": token, "content": content}).content == content


def test_a_text_that_could_be_nothing_else_is_read() -> None:
    """As what it is declared."""
    reader = own({"application/json": "json", "*/*": "text"})
    assert reader.read(Headers([(b"content-type", b"text/plain")]), b"hello {world}").data == b"hello {world}"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"text=caf%E9", {"text": "café"}),
        (b"text=caf\xe9", {"text": "café"}),
        (b"text=caf%C3%A9&a=%E9", {"text": "café", "a": "é"}),
        (b"caf%E9=1", {"café": "1"}),
        (b"a=%C3%28", {"a": "\xc3("}),
    ],
)
@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=iso-8859-1", "; charset=utf-16"])
def test_a_form_is_in_utf_8_else_in_latin_1_whatever_is_declared(
    body: bytes, fields: dict[str, str], charset: str
) -> None:
    """Each field by itself: the declaration is not signed, the bytes are."""
    reader = Reader(DeliverySpec(content={FORM: "form"}))
    content = reader.read(Headers([(b"content-type", (FORM + charset).encode())]), body)
    assert content.payload == fields


def test_a_form_in_parts_is_in_utf_8_else_in_latin_1() -> None:
    """As old mail is."""
    reader = Reader(DeliverySpec(content={"multipart/form-data": "form"}))
    body = b'--x\r\nContent-Disposition: form-data; name="subject"\r\n\r\ncaf\xe9\r\n--x--\r\n'
    content = reader.read(Headers([(b"content-type", b"multipart/form-data; boundary=x")]), body)
    assert content.payload == {"subject": "café"}
