"""The body: which ones are read at all, and which are JSON to the letter."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.spec import DeliverySpec
from gateway.errors import MalformedJson, UnsupportedMediaType
from gateway.events.body import Reader
from gateway.events.json_bounds import MAX_DEPTH
from gateway.events.strict_json import parse_json, traceparent_of
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


READER = Reader(DeliverySpec())


def headers(*fields: tuple[bytes, bytes]) -> Headers:
    """The header of a request."""
    return Headers(fields)


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json",
        b"application/json; charset=utf-8",
        b"application/json;charset=UTF-8",
        b"Application/JSON ; Charset=UTF-8",
        b'application/json; charset="utf-8"',
        b"application/json; charset=utf8",
        b"application/json;",
        b"application/json; charset=utf-8; x=1",
        b"application/json; profile=x",
        b"application/json; charset=iso-8859-1",
        b"application/json; charset=us-ascii",
        b"application/json; charset=utf-16",
        b"application/json; charset=utf-7",
        b"application/json; charset=",
        b'application/json; charset=""',
        b"application/json; x=1; charset=latin-1",
        b"application/json, application/json",
        b"application/json,Application/JSON ; charset=utf-8",
        b"application/cloudevents+json",
        b"application/cloudevents+json; charset=utf-8",
    ],
)
def test_json_in_utf_8_is_read(content_type: bytes) -> None:
    """In every way in which senders say so, and in each charset that they say: what JSON is in is in its bytes."""
    content = READER.read(headers((b"content-type", content_type)), '{"a":"é"}'.encode())
    assert content == ({"a": "é"}, '{"a":"é"}'.encode(), None, None, True)


@pytest.mark.parametrize("charset", ["iso-8859-1", "utf-16", "windows-1252"])
def test_json_in_another_charset_is_not_read(charset: str) -> None:
    """415 where its sender says so; what says nothing of it is broken JSON."""
    body = '{"a":"é"}'.encode(charset)
    with pytest.raises(UnsupportedMediaType):
        READER.read(headers((b"content-type", b"application/json; charset=" + charset.encode())), body)
    with pytest.raises(MalformedJson):
        READER.read(headers((b"content-type", b"application/json")), body)


def test_a_sender_that_says_nothing_is_left_to_the_parser() -> None:
    """As is one that says that its body is as it is."""
    assert READER.read(headers(), b"[1]").payload == [1]
    for coding in (b"identity", b"Identity", b"IDENTITY", b"", b" ", b"identity, ", b"identity,identity"):
        assert READER.read(headers((b"content-encoding", coding)), b"2").payload == 2
    assert READER.read(headers(*[(b"content-encoding", b"identity")] * 2), b"2").payload == 2


@pytest.mark.parametrize(
    "field",
    [
        (b"content-type", b""),
        (b"content-type", b"text/plain"),
        (b"content-type", b"text/json"),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-type", b"multipart/form-data; boundary=application/json"),
        (b"content-type", b"application/jsonx"),
        (b"content-type", b"application/xml, application/json"),
        (b"content-type", b"application/cloudevents-batch+json"),
        (b"content-encoding", b"gzip"),
        (b"content-encoding", b"br"),
        (b"content-encoding", b"GZIP"),
        (b"content-encoding", b"identity, gzip"),
        (b"content-encoding", b"utf-8"),
    ],
)
def test_anything_else_is_not_read(field: tuple[bytes, bytes]) -> None:
    """Other types, other charsets, and what would have to be inflated."""
    with pytest.raises(UnsupportedMediaType):
        READER.read(headers(field), b"{}")


def test_two_content_types_are_one_if_they_are_equal() -> None:
    """Of different ones a proxy and we could believe different ones."""
    name, plain = b"content-type", b"application/json"
    for values in (
        [plain, plain],
        [plain, b"Application/JSON; charset=utf-8"],
        [plain + b"," + plain, plain],
    ):
        assert READER.read(headers(*[(name, value) for value in values]), b"{}").payload == {}
    for values in ([plain, b"text/plain"], [plain, b""], [plain, plain + b", text/plain"]):
        with pytest.raises(MalformedRequest):
            READER.read(headers(*[(name, value) for value in values]), b"{}")


def test_one_of_several_codings_is_enough_to_be_compressed() -> None:
    """In whichever field it stands."""
    with pytest.raises(UnsupportedMediaType):
        READER.read(headers((b"content-encoding", b"identity"), (b"content-encoding", b"gzip")), b"{}")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", {}),
        (b" \t\r\n[] \n", []),
        (b"null", None),
        (b'"x"', "x"),
        (b"-0.0", -0.0),
        (b"9007199254740993", 9007199254740993),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b'{"id":"first","id":"last"}', {"id": "last"}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\u0000"', "\0"),
        (
            b'{"__proto__":1,"$ref":"x","constructor":null}',
            {"__proto__": 1, "$ref": "x", "constructor": None},
        ),
        ('"\u2028\ufeff"'.encode(), "\u2028\ufeff"),
        (b"[" * 100 + b"]" * 100, json.loads("[" * 100 + "]" * 100)),
    ],
)
def test_json_is_read(body: bytes, expected: object) -> None:
    """Repeated names included, since real senders have them: the last one counts."""
    assert expected == parse_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"{",
        b"{}{}",
        b"{} x",
        b"{}\x00",
        b"[1,]",
        b"{'a':1}",
        b"{a:1}",
        b"// x\n{}",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"-1e400",
        b"1e0000000000400",
        b"01",
        b"+1",
        b"1" * 5000,
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\n"',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        "{}".encode("utf-32"),
        b"true false",
        b"nul",
        b"[" * 101 + b"]" * 101,
        b'{"a":' * 101 + b"1" + b"}" * 101,
        b'{"a":' * 100 + b"{}" + b"}" * 100,
        b"[" * 255 + b"]" * 255,
        b"[" * 1024 + b"]" * 1024,
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:16]),
)
def test_what_is_not_json_to_the_letter_is_refused(body: bytes) -> None:
    """With a rejection and no other exception, whatever it is."""
    with pytest.raises(MalformedJson):
        parse_json(body)


SIBLINGS = ",[],{}" * 40
MANY_NAMES = ',{"name":1,"other":[]}' * 6_000
"""Beside them a body is large, and has more names than an object may have."""


@pytest.mark.parametrize("siblings", [SIBLINGS, MANY_NAMES], ids=["small", "large"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"b":', "}]")])
@pytest.mark.parametrize("levels", [1, 33, 98, 99, 100, 101, 102, 160, 300])
def test_nesting_is_bounded(opening: str, closing: str, levels: int, siblings: str) -> None:
    """A hundred levels and no more; siblings do not count."""
    times = levels // (2 if "[{" in opening else 1)
    depth = times * (2 if "[{" in opening else 1)
    text = "[0" + siblings + "," + opening * (times - 1) + "[1]" + closing * (times - 1) + "]"
    depth = 1 + (times - 1) * (2 if "[{" in opening else 1) + 1
    if depth <= MAX_DEPTH:
        assert json.loads(text) == parse_json(text.encode())
    else:
        with pytest.raises(MalformedJson, match="nested"):
            parse_json(text.encode())


def test_a_wide_body_is_not_a_deep_one() -> None:
    """Thousands of containers side by side, and brackets within texts."""
    for text in (
        "[" + ",".join(["{}"] * 5000) + "]",
        "[" + ",".join(["[" * 99 + "]" * 99] * 50) + "]",
        json.dumps({"a": "[{" * 5000}),
        json.dumps(["["] * 5000),
    ):
        assert json.loads(text) == parse_json(text.encode())


def test_the_json_test_suite_agrees(corpus: Path) -> None:
    """What must be refused is refused, what must be accepted is read; the rest never fails in another way."""
    folder = corpus / "json-parsing"
    verdicts: dict[str, str] = {}
    for path in sorted(folder.glob("[niy]_*.json")):
        try:
            parse_json(path.read_bytes())
        except MalformedJson:
            verdicts[path.name] = "refused"
        else:
            verdicts[path.name] = "accepted"

    assert len(verdicts) > 100
    assert [
        name for name, verdict in verdicts.items() if name.startswith("n_") and verdict != "refused"
    ] == []
    assert [
        name for name, verdict in verdicts.items() if name.startswith("y_") and verdict != "accepted"
    ] == []


@given(st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_raise_anything_but_a_rejection(body: bytes) -> None:
    """What is accepted, the standard library reads as the same value."""
    try:
        value = parse_json(body)
    except MalformedJson:
        return
    # Integers beyond 64 bits are read as the nearest double; the bytes go out as they came.
    expected = json.loads(
        body, parse_int=lambda digits: int(digits) if abs(int(digits)) < 10**18 else float(digits)
    )
    assert orjson.loads(orjson.dumps(expected)) == _without_large_integers(value)


def _without_large_integers(value: object) -> object:
    if type(value) is int and abs(value) >= 10**18:
        return float(value)
    if isinstance(value, dict):
        return {name: _without_large_integers(inner) for name, inner in value.items()}
    return [_without_large_integers(inner) for inner in value] if isinstance(value, list) else value


def test_a_trace_context_is_passed_on() -> None:
    """As it is."""
    assert TRACEPARENT.decode() == traceparent_of(headers((b"traceparent", TRACEPARENT)))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        TRACEPARENT[:-1],
        TRACEPARENT + b"0",
        TRACEPARENT.upper(),
        TRACEPARENT.replace(b"-", b"0"),
        b"\xff" * 55,
    ],
)
def test_an_odd_trace_context_is_left_out(value: bytes) -> None:
    """It is no reason to refuse an event; neither is a repeated one."""
    assert traceparent_of(headers((b"traceparent", value))) is None
    assert traceparent_of(headers((b"traceparent", TRACEPARENT), (b"traceparent", TRACEPARENT))) is None
    assert traceparent_of(headers()) is None
