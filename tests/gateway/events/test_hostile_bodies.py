"""Whatever a form, an XML document or a list holds: it is read within its bounds, or refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.identity import Identity
from gateway.adapters.spec import DeliverySpec
from gateway.events.body import Content, Reader
from gateway.events.envelope import Envelope
from gateway.events.json_bounds import MAX_DEPTH
from gateway.events.xml import MAX_ELEMENTS
from gateway.signatures.forms import MAX_FIELDS, MAX_NAME
from gateway.signatures.rejections import MalformedRequest, Rejection
from gateway.signatures.request import Headers
from support.work import cost

READER = Reader(
    DeliverySpec.model_validate(
        {
            "content": {
                "application/json": "json",
                "application/list": "json_list",
                "application/x-www-form-urlencoded": "form",
                "multipart/form-data": "form",
                "text/xml": "xml",
                "*/*": "text",
            },
            "form_json": "payload",
            "batch": "body:/events",
        }
    )
)
URLENCODED, XML = b"application/x-www-form-urlencoded", b"text/xml"
MULTIPART = b"multipart/form-data; boundary=x"
LARGE = 1024**2  # the largest body by default
MOST_WORK = 30
"""Times as much as writing and reading JSON of 1.5 MB."""


def read(body: bytes, content_type: bytes) -> Content:
    """What is in a body."""
    return READER.read(Headers([(b"content-type", content_type)]), body)


def part(headers: bytes, content: bytes = b"") -> bytes:
    """One part of a multipart form."""
    return b"--x\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"


NAMED = b'Content-Disposition: form-data; name="a"'
END = b"--x--\r\n"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'payload="\xff"', id="bad UTF-8 in JSON"),
        pytest.param(b"payload=%22%FF%22", id="bad UTF-8 in JSON behind a percent sign"),
        pytest.param(b"payload=%22%ED%A0%80%22", id="a lone surrogate in JSON"),
        pytest.param(b"&".join(b"a%d=1" % number for number in range(100_000)), id="100,000 fields"),
        pytest.param(b"a=1&" * 100_000, id="100,000 times one field"),
        pytest.param(b"&" * LARGE, id="nothing, a million times"),
        pytest.param(b"a" * (MAX_NAME + 1) + b"=1", id="a long name"),
    ],
)
def test_a_hostile_form_is_refused(body: bytes) -> None:
    """400."""
    with pytest.raises(MalformedRequest):
        read(body, URLENCODED)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(b"multipart/form-data", part(NAMED) + END, id="no boundary"),
        pytest.param(b"multipart/form-data; boundary=", part(NAMED) + END, id="an empty boundary"),
        pytest.param(
            b"multipart/form-data; boundary=" + b"x" * 8000, part(NAMED) + END, id="a long boundary"
        ),
        pytest.param(b"multipart/form-data; boundary=\xff", part(NAMED) + END, id="another boundary"),
        pytest.param(MULTIPART, b"", id="nothing"),
        pytest.param(MULTIPART, b"junk", id="no part"),
        pytest.param(MULTIPART, part(NAMED, b"1"), id="no end"),
        pytest.param(MULTIPART, part(NAMED, b"1")[:-9], id="cut off"),
        pytest.param(MULTIPART, part(b"X: y", b"1") + END, id="no disposition"),
        pytest.param(MULTIPART, part(b"Content-Disposition: form-data", b"1") + END, id="no name"),
        pytest.param(MULTIPART, part(b'Content-Disposition: attachment; name="a"') + END, id="no field"),
        pytest.param(
            MULTIPART, part(NAMED.replace(b"a", b"payload"), b'"\xff"') + END, id="bad UTF-8 in JSON"
        ),
        pytest.param(MULTIPART, part(NAMED) * (MAX_FIELDS + 1) + END, id="many parts"),
        pytest.param(MULTIPART, part(b"\r\n".join([b"X: y"] * 1000) + NAMED) + END, id="many headers"),
        pytest.param(MULTIPART, part(b"X: " + b"y" * 500_000) + END, id="a long header"),
        pytest.param(MULTIPART, part(b"\xff: y") + END, id="a header that is none"),
        pytest.param(MULTIPART, part(NAMED.replace(b"a", b"a" * (MAX_NAME + 1))) + END, id="a long name"),
    ],
)
def test_a_hostile_form_of_several_parts_is_refused(content_type: bytes, body: bytes) -> None:
    """400."""
    with pytest.raises(MalformedRequest):
        read(body, content_type)


LAUGHS = b'<!DOCTYPE l [<!ENTITY a "ha">%b]><l>&z;</l>' % b"".join(
    b'<!ENTITY %c "&%c;&%c;&%c;&%c;">' % (each, each - 1, each - 1, each - 1, each - 1)
    for each in range(ord("b"), ord("z") + 1)
)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(LAUGHS, id="a billion laughs"),
        pytest.param(b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', id="a file"),
        pytest.param(b'<!DOCTYPE a SYSTEM "http://127.0.0.1:1/a.dtd"><a/>', id="a foreign document type"),
        pytest.param(b'<!DOCTYPE a [<!ENTITY % b SYSTEM "http://127.0.0.1:1/">%b;]><a/>', id="a parameter"),
        pytest.param(b"<!DOCTYPE a><a/>", id="a document type"),
        pytest.param(b"<a>&b;</a>", id="an unknown entity"),
        pytest.param(b"<a>" * (MAX_DEPTH + 1) + b"</a>" * (MAX_DEPTH + 1), id="deep"),
        pytest.param(b"<a>" * 300_000, id="very deep"),
        pytest.param(b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>", id="many elements"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"<a>", id="no end"),
        pytest.param(b"<a/><b/>", id="two roots"),
        pytest.param(b"<a>\x00</a>", id="NUL"),
        pytest.param(b"<a>\xff</a>", id="bad UTF-8"),
        pytest.param(b"<a>&#0;</a>", id="NUL as a reference"),
        pytest.param(b"<a>&#xD800;</a>", id="a lone surrogate"),
        pytest.param(b'<?xml version="1.0" encoding="nonsense"?><a/>', id="an unknown encoding"),
        pytest.param(b'<?xml version="1.0" encoding="utf-7"?><a/>', id="an odd encoding"),
        pytest.param(b'<?xml version="1.0" encoding="hex"?><a/>', id="no encoding"),
        pytest.param(b"<x:a/>", id="an unknown prefix"),
        pytest.param(b'<a b="1" b="2"/>', id="an attribute twice"),
    ],
)
def test_hostile_xml_is_refused(body: bytes) -> None:
    """400, and nothing is fetched, opened or expanded."""
    with pytest.raises(MalformedRequest):
        read(body, XML)


def _filled(piece: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + piece * ((LARGE - len(before) - len(after)) // len(piece)) + after


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        pytest.param(URLENCODED, _filled(b"%00", b"a="), id="escapes"),
        pytest.param(URLENCODED, _filled(b"%", b"a="), id="percent signs"),
        pytest.param(URLENCODED, _filled(b"%C3%BC\xc3\xbc", b"a="), id="escapes and characters by turns"),
        pytest.param(URLENCODED, _filled(b"+", b"a="), id="blanks"),
        pytest.param(MULTIPART, part(NAMED, _filled(b"\r")) + END, id="carriage returns"),
        pytest.param(MULTIPART, part(NAMED, _filled(b"\r\n--")) + END, id="nearly boundaries"),
        pytest.param(MULTIPART, part(NAMED, _filled(b"\r\n--y")) + END, id="other boundaries"),
        pytest.param(MULTIPART, part(NAMED + _filled(b';a="', b"", b'"')[:3000]) + END, id="parameters"),
        pytest.param(MULTIPART, part(NAMED) + END + _filled(b"x"), id="what follows"),
        pytest.param(MULTIPART, _filled(b"x") + part(NAMED) + END, id="what precedes"),
        pytest.param(MULTIPART[:-1] + b"-" * 60, _filled(b"-"), id="hyphens"),
        pytest.param(XML, _filled(b"<b>x</b>", b"<a>", b"</a>"), id="elements"),
        pytest.param(XML, _filled(b"&amp;", b"<a>", b"</a>"), id="references"),
        pytest.param(XML, _filled(b"x", b'<a b="', b'"/>'), id="an attribute"),
        pytest.param(
            XML, b"<a " + b" ".join(b'b%d=""' % number for number in range(90_000)) + b"/>", id="attributes"
        ),
        pytest.param(XML, _filled(b"<!---->", b"<a>", b"</a>"), id="comments"),
        pytest.param(XML, _filled(b"<![CDATA[]]>", b"<a>", b"</a>"), id="sections"),
        pytest.param(XML, _filled(b"<"), id="beginnings"),
        pytest.param(b"application/list", _filled(b"[],", b"[", b"[]]"), id="lists"),
        pytest.param(b"application/list", _filled(b" ", b"[", b"]"), id="white space"),
        pytest.param(b"application/json", _filled(b'"a":1,', b'{"events":[{', b'"a":1}]}'), id="names"),
        pytest.param(b";" * 30_000, b"", id="parameters of the type"),
        pytest.param(b"multipart/form-data" + b';a="\\' * 7000, b"", id="quotes in the type"),
    ],
)
def test_no_body_takes_long(content_type: bytes, body: bytes) -> None:
    """Nothing is searched over and over."""

    def read_or_refuse() -> None:
        with contextlib.suppress(Rejection):
            read(body, content_type)

    assert cost(read_or_refuse, MOST_WORK) < MOST_WORK


TYPES = st.sampled_from(
    [
        b"application/json",
        b"application/list",
        URLENCODED,
        XML,
        MULTIPART,
        b"multipart/form-data",
        b"a/b",
        b"",
        b"/",
    ]
)
GRAMMAR: list[Callable[[bytes], bytes]] = [
    lambda text: b"payload=" + text,
    lambda text: b"a=" + text + b"&b",
    lambda text: part(NAMED, text) + END,
    lambda text: part(b"Content-Disposition: form-data; name=payload", text) + END,
    lambda text: part(text) + END,
    lambda text: b"<a>" + text + b"</a>",
    lambda text: b"<" + text + b"/>",
    lambda text: b'<?xml version="1.0" encoding="' + text + b'"?><a/>',
    lambda text: b"[" + text + b"]",
    lambda text: b'{"events":[' + text + b"]}",
    lambda text: text,
]
TEXTS = st.binary(max_size=30) | st.sampled_from(
    [
        b"{}",
        b"[1,{}]",
        b"%00",
        b"%FF",
        b"\0",
        b"1e400",
        b"9" * 400,
        b"&#0;",
        b"<b/>",
        b"\r\n--x",
        b'"\\ud800"',
        b"{" * 40,
    ]
)


@settings(max_examples=400)
@given(
    content_type=TYPES | st.tuples(TYPES, st.binary(max_size=20)).map(b";".join),
    body=st.tuples(st.sampled_from(GRAMMAR), TEXTS).map(lambda made: made[0](made[1])),
)
def test_nothing_but_a_rejection_is_raised(content_type: bytes, body: bytes) -> None:
    """And what is read becomes valid events."""
    try:
        content = read(body, content_type)
    except Rejection:
        return
    for data in [content.data] if content.items is None else [item.data for item in content.items]:
        event = Envelope("acme", "hmac").encode(
            Identity("1", "push"),
            "1",
            "/acme",
            "com.hmac.push",
            data,
            received_at="2025-01-15T12:00:00.000Z",
            secret_slot=0,
            is_claimed=True,
            schema_id=None,
            traceparent=None,
            media_type=content.media_type,
        )
        assert json.loads(event)["id"] == "1"
