"""Bodies that are not one JSON value: forms, XML, texts, and none at all."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.adapters.spec import DeliverySpec
from gateway.errors import MalformedJson, UnsupportedMediaType
from gateway.events.body import Content, Reader
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"


def read(body: bytes, content_type: str | None, **spec: Any) -> Content:
    """What is in a body."""
    fields = [] if content_type is None else [(b"content-type", content_type.encode("latin-1"))]
    return Reader(DeliverySpec.model_validate(spec)).read(Headers(fields), body)


def form(body: bytes, content_type: str = URLENCODED, **spec: Any) -> Content:
    """What is in a form."""
    return read(body, content_type, content={URLENCODED: "form", "multipart/form-data": "form"}, **spec)


def part(name: str, content: bytes, rest: str = "") -> bytes:
    """One part of a multipart form."""
    return f'--x\r\nContent-Disposition: form-data; name="{name}"{rest}\r\n\r\n'.encode() + content + b"\r\n"


# Media types


@pytest.mark.parametrize(
    ("content_type", "content", "payload"),
    [
        ("application/vnd.acme.v2+json", {"application/*+json": "json"}, {"a": 1}),
        ("Application/Vnd.Acme+JSON ; charset=UTF-8", {"application/*+json": "json"}, {"a": 1}),
        ("text/plain", {"text/plain": "json"}, {"a": 1}),
        ("application/json", {"*/*": "text", "application/json": "json"}, {"a": 1}),
        ("image/png", {"text/xml": "xml", "*/*": "text"}, None),
        ("image/png; charset=utf-16", {"*/*": "text"}, None),
        (None, {"application/json": "json", "*/*": "text"}, {"a": 1}),
        (None, {"text/*": "text", "text/xml": "xml"}, None),
    ],
)
def test_a_body_is_read_as_its_media_type_says(
    content_type: str | None, content: dict[str, str], payload: object
) -> None:
    """The exact type before patterns; without one, as the first entry says."""
    assert read(b'{"a":1}', content_type, content=content).payload == payload


@pytest.mark.parametrize(
    ("content_type", "content"),
    [
        ("application/json", {"application/*+json": "json"}),
        ("application/a/b+json", {"application/*+json": "json"}),
        ("xapplication/a+json", {"application/*+json": "json"}),
        ("application/a+jsonx", {"application/*+json": "json"}),
        ("", {"*/*": "text"}),
    ],
)
def test_other_types_and_charsets_are_not_read(content_type: str, content: dict[str, str]) -> None:
    """415, as for JSON."""
    with pytest.raises(UnsupportedMediaType):
        read(b"{}", content_type, content=content)


def test_a_body_may_be_missing_only_where_that_is_said() -> None:
    """Then it is nothing, whatever type it would have."""
    for content_type in ("application/json", "image/png", None):
        assert read(b"", content_type, is_empty_allowed=True) == (None, b"", "", None, True)
    with pytest.raises(MalformedJson):
        read(b"", "application/json")


# Forms


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        (b"a=1&b=x+y&c=%C3%BC&d=", {"a": "1", "b": "x y", "c": "\xfc", "d": ""}),
        (b"a=1&b=2&a=3&a=1", {"a": ["1", "3", "1"], "b": "2"}),
        (b"a=&a=", {"a": ["", ""]}),
        (b"a;b=1;c", {"a;b": "1;c"}),
        (b"flag&&x=1", {"flag": "", "x": "1"}),
        (b"a%00b=%00", {"a\0b": "\0"}),
        ("\u00fc=\u2603".encode(), {"\u00fc": "\u2603"}),
        (b"data[id]=7", {"data[id]": "7"}),
    ],
)
def test_a_form_is_an_object_of_text(body: bytes, fields: dict[str, object]) -> None:
    """Which becomes the event's data as JSON."""
    assert form(body) == (fields, orjson.dumps(fields), None, None, True)


def test_a_form_of_several_parts_is_one_too() -> None:
    """Its files in base64; names of headers in any case."""
    body = part("a", b"1") + part("b", "\u00fc\r\n--y".encode()) + part("a", b"")
    body += part("f", b"\x00\xff", '; filename="x.bin"').replace(b"Content-D", b"content-d") + b"--x--\r\n"
    fields = {
        "a": ["1", ""],
        "b": "\u00fc\r\n--y",
        "f": {"filename": "x.bin", "data_base64": "AP8="},
    }
    assert form(body, MULTIPART).payload == fields
    assert form(body, 'Multipart/Form-Data; Boundary="x"'.replace("Boundary", "boundary")).payload == fields


@pytest.mark.parametrize("content_type", [URLENCODED, MULTIPART])
def test_json_in_a_field_is_the_payload(content_type: str) -> None:
    """Its bytes are the data; without the field, the form is."""
    text = b'{"a": 1.10}'
    body = {
        URLENCODED: b"x=1&payload=%7B%22a%22:+1.10%7D",
        MULTIPART: part("payload", text) + part("x", b"1") + b"--x--",
    }[content_type]
    assert form(body, content_type, form_json="payload") == ({"a": 1.1}, text, None, None, True)
    assert form(b"x=1", form_json="payload").payload == {"x": "1"}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"payload=", MalformedJson),
        (b"payload=%7B", MalformedJson),
        (b"payload=NaN", MalformedJson),
        (b"payload=" + b"[" * 101 + b"]" * 101, MalformedJson),
        (b"payload={}&payload={}", MalformedRequest),
    ],
)
def test_json_in_a_field_is_read_as_strictly(body: bytes, error: type[Exception]) -> None:
    """As a body of JSON."""
    with pytest.raises(error):
        form(body, form_json="payload")


# XML


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (b"<a/>", {"a": ""}),
        (b'<?xml version="1.0"?><a x="1"> <b>1</b> <c> 2 </c> </a>', {"a": {"b": "1", "c": "2"}}),
        (b"<a><b>1</b><b>2</b><b/></a>", {"a": {"b": ["1", "2", ""]}}),
        (b'<s:a xmlns:s="urn:s" xmlns="urn:d"><b>x&amp;y&#252;</b><!-- c --></s:a>', {"a": {"b": "x&y\xfc"}}),
        (b"<a><![CDATA[<b>]]></a>", {"a": "<b>"}),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xfc</a>', {"a": "\xfc"}),
        (b"<a>" + b"<b>" * 99 + b"</b>" * 99 + b"</a>", None),
    ],
)
def test_xml_is_an_object_to_identify_by(body: bytes, payload: object) -> None:
    """Names without namespaces; the data are the bytes, as their sender calls them."""
    content = read(body, "text/xml; charset=UTF-8", content={"text/xml": "xml"})
    assert payload is None or content.payload == payload
    assert content[1:] == (body, "text/xml; charset=UTF-8", None, True)


def test_xml_that_says_nothing_of_itself_is_of_the_first_type() -> None:
    """Unless that is a pattern."""
    assert read(b"<a/>", None, content={"text/xml": "xml"}).media_type == "text/xml"
    assert read(b"<a/>", None, content={"*/*": "text"}).media_type == "application/octet-stream"
