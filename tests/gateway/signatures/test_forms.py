"""Forms are read like the standard library reads them, but in pieces and without a loop over bytes."""

from __future__ import annotations

import binascii
from base64 import b64encode
from urllib.parse import parse_qsl, unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.signatures import forms, multipart
from gateway.signatures.forms import Fields, parse_form, read_pairs, read_query, unquote, write_form
from gateway.signatures.rejections import MalformedRequest

PIECES = [
    *(b"%41", b"%3d", b"%25", b"%0a", b"%C3%BC", b"%7F"),
    *(b"%", b"%4", b"%zz", b"%\n", b"%\r\n", b"\n", b"\r", b"\t\n"),
    *(b"+", b"=", b"a", b"_", b" ", b".", b"\xff", b"4", b"1"),
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=120).map(b"".join)
PROPER = st.binary(max_size=200).map(
    lambda raw: b"".join(b"%%%02X" % byte if byte % 3 else b"a" for byte in raw)
)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forms are taken apart as if they were large."""
    monkeypatch.setattr(forms, "_PIECE", 64)
    monkeypatch.setattr(multipart, "SEARCH_BYTES", 64)
    monkeypatch.setattr(forms, "_FEW_ESCAPES", -100)


@pytest.mark.usefixtures("small_pieces")
def test_escapes_are_undone_as_the_standard_library_undoes_them() -> None:
    """Wherever a piece ends, and whatever begins no escape."""

    @settings(max_examples=1000)
    @given(TEXTS | PROPER)
    def holds(text: bytes) -> None:
        assert unquote(text) == unquote_to_bytes(text.replace(b"+", b" "))

    holds()


@settings(max_examples=300)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=20))
def test_fields_are_split_as_the_standard_library_splits_them(pairs: list[tuple[bytes, bytes]]) -> None:
    """Empty values count, fields without anything do not."""
    text = b"&".join(name + b"=" + value for name, value in pairs)
    expected = parse_qsl(text.decode("latin-1"), keep_blank_values=True, encoding="latin-1")
    assert read_pairs(text) == [(name.encode("latin-1"), value.encode("latin-1")) for name, value in expected]


def test_only_the_fields_that_are_asked_for_are_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others may be of any size."""
    undone = []
    original = forms.unquote

    def recorded(text: bytes) -> bytes:
        undone.append(len(text))
        return original(text)

    monkeypatch.setattr(forms, "unquote", recorded)
    text = b"a=" + b"%41" * 100_000 + b"&b=%42&a=" + b"%43" * 100_000
    assert read_pairs(text, names={b"b"}) == [(b"b", b"B")]
    assert parse_form(text, b"", names={"b"}) == {"b": "B"}
    assert max(undone) <= 3


def test_a_large_form_is_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no other thread waits for all of it."""
    sizes = []
    original = binascii.a2b_qp

    def recorded(text: bytes) -> bytes:
        sizes.append(len(text))
        return original(text)

    monkeypatch.setattr(binascii, "a2b_qp", recorded)
    assert unquote(b"%41a" * 1_000_000) == b"Aa" * 1_000_000
    assert len(sizes) > 10
    assert max(sizes) <= 300_000


@pytest.mark.parametrize(
    "text",
    [
        b"&".join([b"a=1"] * 1001),
        b"&" * 1_000_000,
        b"a=" + b"%zz" + b"%41" * 100_000,
        b"a=" + b"%41" * 10_000 + b"=" * 100_000,
    ],
    ids=["fields", "separators", "odd escapes", "equals signs"],
)
def test_what_is_beyond_the_bounds_of_forms_is_refused(text: bytes) -> None:
    """By counting."""
    with pytest.raises(MalformedRequest):
        read_pairs(text)


def test_the_query_of_a_request_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many places in it are read."""
    parsed = []
    original = forms.read_pairs

    def recorded(text: bytes, most: int) -> list[forms.Pair]:
        parsed.append(text)
        return original(text, most)

    monkeypatch.setattr(forms, "read_pairs", recorded)
    for _ in range(5):
        assert read_query(b"once=1&more=%32") == ((b"once", b"1"), (b"more", b"2"))
    assert parsed == [b"once=1&more=%32"]


def test_a_query_has_a_hundred_parameters_at_most() -> None:
    """No address has more."""
    assert len(read_query(b"&".join([b"a=1"] * 100))) == 100
    with pytest.raises(MalformedRequest):
        read_query(b"&".join([b"a=1"] * 101))


MULTIPART = b'multipart/form-data; charset=utf-8; boundary="a b"'

NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n\0'), min_size=1, max_size=20)
CONTENTS = st.text(st.characters(codec="utf-8"), max_size=60).map(lambda text: text.replace("\r\n--a b", ""))
FILES = st.tuples(NAMES, st.binary(max_size=60)).map(
    lambda file: {"filename": file[0], "data_base64": b64encode(file[1]).decode()}
)


@settings(max_examples=300)
@given(st.dictionaries(NAMES, CONTENTS | FILES, min_size=1, max_size=8))
def test_a_form_of_several_parts_is_read_as_it_was_written(fields: Fields) -> None:
    """Texts and files, with lines in them that look like a boundary."""
    assert parse_form(write_form(fields, MULTIPART), MULTIPART) == fields


def read(head: str, content: str = "text") -> Fields:
    """The fields of a form of one part."""
    body = f"--x\r\n{head}\r\n\r\n{content}\r\n--x--\r\n"
    return parse_form(body.encode(), b"multipart/form-data; boundary=x")


@pytest.mark.parametrize(
    ("head", "name", "file_name"),
    [
        ('Content-Disposition: form-data; name="a"', "a", None),
        ("content-disposition:form-data;name=a", "a", None),
        ('CONTENT-DISPOSITION: Form-Data; filename="f"; name="a"', "a", "f"),
        ('Content-Type: text/plain\r\nContent-Disposition: form-data; name="a"', "a", None),
        ('Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain', "a", None),
        (r'Content-Disposition: form-data; name="a\"b\\c\d"', r'a"b\c\d', None),
        ('Content-Disposition: form-data; name="a;b=c"; filename="x; y"', "a;b=c", "x; y"),
        ("Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''%C3%BC.txt", "a", "ü.txt"),
        ('Content-Disposition: form-data; name="a"; filename=""', "a", ""),
    ],
)
def test_the_head_of_a_part_tells_its_name(head: str, name: str, file_name: str | None) -> None:
    """In the ways in which senders write it."""
    file: Fields = {name: {"filename": file_name or "", "data_base64": b64encode(b"text").decode()}}
    assert read(head) == ({name: "text"} if file_name is None else file)


@pytest.mark.parametrize(
    "head",
    [
        'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"',
        'Content-Disposition: form-data; name="a"; name="b"',
        'Content-Disposition: form-data; name="a',
        "Content-Disposition: form-data",
        'Content-Disposition: attachment; name="a"',
        "\r\n".join([*["X: y"] * 20, 'Content-Disposition: form-data; name="a"']),
    ],
)
def test_a_part_whose_name_is_not_clear_is_refused(head: str) -> None:
    """Two readers could take it for different fields."""
    with pytest.raises(MalformedRequest):
        read(head)


def test_a_line_that_only_begins_like_the_boundary_is_content() -> None:
    """But not thousands of them."""
    assert read('Content-Disposition: form-data; name="a"', "1\r\n--xy\r\n2") == {"a": "1\r\n--xy\r\n2"}
    with pytest.raises(MalformedRequest):
        read('Content-Disposition: form-data; name="a"', "\r\n--xy" * 2000)
