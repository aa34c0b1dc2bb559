"""Rewritten JSON equals the sender's own output byte by byte, and its cost is bounded."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes import canonical_json
from gateway.signatures.schemes.canonical_json import Style, rewrite

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


def fault(body: bytes, style: Style) -> str | None:
    """Why a body is not written anew; None when it is."""
    try:
        rewrite(body, style)
    except SignatureRejected as rejection:
        return rejection.fault
    return None


@given(VALUES)
def test_python_senders_are_matched_to_the_byte(value: object) -> None:
    """However their HTTP library writes the body that goes with it."""
    for body in (
        json.dumps(value),
        json.dumps(value, ensure_ascii=False, indent=2),
        json.dumps(value, separators=(",", ":")),
    ):
        assert rewrite(body.encode(), "sorted").decode() == json.dumps(value, sort_keys=True)
        compact = json.dumps(value, sort_keys=True, separators=(",", ":"))
        assert rewrite(body.encode(), "sorted_compact").decode() == compact


@given(VALUES)
def test_what_rfc_8785_makes_means_what_it_is_made_from(value: object) -> None:
    """Integers that no double holds are refused; all else has the same value before and after."""
    body = json.dumps(value).encode()
    if fault(body, "canonical"):
        return
    canonical = rewrite(body, "canonical")
    assert json.loads(canonical, parse_int=float) == json.loads(body, parse_int=float)
    assert rewrite(canonical, "canonical") == canonical


def test_the_examples_of_rfc_8785_come_out_as_they_stand_there() -> None:
    """Sections 3.2.2 and 3.2.3: numbers, escapes, and names sorted by UTF-16."""
    example = rb"""{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"""
    assert rewrite(example, "canonical").decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    names = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    ordered = json.loads(rewrite(json.dumps(names).encode(), "canonical"), object_pairs_hook=list)
    assert [value for _, value in ordered] == [2, 4, 6, 7, 1, 5, 3]


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_numbers_are_written_as_ecmascript_does(bits: str, text: str) -> None:
    """Appendix B of RFC 8785."""
    (number,) = struct.unpack(">d", bytes.fromhex(bits))

    assert rewrite(repr(number).encode(), "canonical").decode() == text


@pytest.mark.parametrize("style", ["sorted", "sorted_compact", "canonical"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":1,"a":2}', "signature_ambiguous"),
        (b'{"a":1,"a":1}', "signature_ambiguous"),
        (b'{"amount":1,"\\u0061mount":2}', "signature_ambiguous"),
        (b'[{"b":{"\\u00e9":1,"\xc3\xa9":2}}]', "signature_ambiguous"),
        (b"1.0000000000000000001", "signature_ambiguous"),
        (b"9007199254740993.0", "signature_ambiguous"),
        (b"-0", "signature_ambiguous"),
        (b"[1e400]", "signature_ambiguous"),
        (b"[1e-400]", "signature_ambiguous"),
        (b"NaN", "signature_malformed"),
        (b"[-Infinity]", "signature_malformed"),
        (b"1e99999999999999999999", "signature_ambiguous"),
        (b"1" * 5000, "signature_malformed"),
        (b"{} {}", "signature_malformed"),
        (b"", "signature_malformed"),
        (b"\xef\xbb\xbf{}", "signature_malformed"),
        (b'"\xff"', "signature_malformed"),
        (b"[" * 100_000 + b"]" * 100_000, "signature_malformed"),
        (b"[" * 9_000 + b"]" * 9_000, "signature_malformed"),
        (b"[" + b"0," * 50_000 + b"0]", "signature_malformed"),
        (b"[" + b",".join([b"9" * 4000] * 21) + b"]", "signature_malformed"),
        (b" " * canonical_json.MAX_BODY + b"1", "signature_malformed"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_of_two_readings_or_none_is_refused(body: bytes, expected: str, style: Style) -> None:
    """So is one that is dear to read: nobody has proven who sent it."""
    if style == "canonical" and len(body) > 4000 and body.strip(b"[]").startswith((b"1", b"9")):
        expected = "signature_ambiguous"  # no double is as large
    assert fault(body, style) == expected


def test_rfc_8785_has_no_number_that_a_double_does_not_hold() -> None:
    """Python's integers have no end; its floats are kept with their sign."""
    for body in (b"9007199254740993", b"12345678901234567890123", b"-0.0"):
        assert fault(body, "canonical") == "signature_ambiguous"
        assert rewrite(body, "sorted") == body
    assert fault(b'"\\ud800"', "canonical") == "signature_malformed"
    for body, canonical in (
        (b"1.0", b"1"),
        (b"1e2", b"100"),
        (b"59209189579975180", b"59209189579975180"),
        (b"0.10000000000000001", b"0.1"),
    ):
        assert rewrite(body, "canonical") == canonical


def test_what_is_too_large_or_has_too_many_members_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are counted first; that costs no more than the digest that every forgery costs."""
    monkeypatch.setattr(json.JSONDecoder, "decode", lambda *_: pytest.fail("it was parsed"))
    for body in (
        b"[" + b"[]," * 100_000 + b"0]",
        b'{"a":' * 20_001,
        b'"' + b"x" * canonical_json.MAX_BODY + b'"',
    ):
        for style in ("sorted", "sorted_compact", "canonical"):
            assert fault(body, style) == "signature_malformed"
