"""Inputs 85 to 108: bodies that are signed as they must be, and are no JSON, or odd JSON."""

from __future__ import annotations

import json
from uuid import uuid4

from hostile.signed import acme, github
from hostile.target import Input
from hostile.wire import Wire
from support.gateway_process import Secrets
from support.senders import order

MAX_BODY = 8 * 1024**2

_NO_JSON = "400 malformed_json"
_ACCEPTED = "202 accepted"
_QUARANTINED = "202 quarantined"


def _with(value: bytes, name: bytes = b"x") -> bytes:
    """Return an event with one more member, whose value is inserted as it is."""
    return order()[:-1] + b', "%b": %b}' % (name, value)


def _nested(levels: int) -> bytes:
    """Return an event with this number of levels, itself the first."""
    return _with(b"[" * (levels - 1) + b"]" * (levels - 1))


def _keys(count: int, form: str = "k{}") -> bytes:
    """Return an event with an object of this number of keys."""
    return _with(json.dumps({form.format(number): 0 for number in range(count)}).encode())


def _identified(event_id: object) -> bytes:
    return order(id=event_id, note=uuid4().hex)  # a body of its own: an id that is none is a digest of it


def _padded_to(size: int) -> bytes:
    return order(note="x" * (size - len(order(note=""))))


def _typed(event_type: object) -> bytes:
    return order(event=event_type)


def _described(of: Secrets, value: str) -> Wire:
    """A delivery whose repository, owner and sender are called something very long."""
    repository = {"id": 1, "name": value, "html_url": value, "owner": {"login": value}, "full_name": value}
    repository = {"id": 1, "name": value, "html_url": value, "owner": {"login": value}, "full_name": value}
    body = {"action": "created", "repository": repository, "sender": {"login": value, "id": 1}}
    return github(of, json.dumps(body).encode())


_BROKEN: list[tuple[int, str, bytes]] = [
    (85, "nothing", b""),
    (85, "blanks", b" \r\n\t "),
    (87, "a second value", order() + b"{}"),
    (87, "a trailing word", order() + b"x"),
    (87, "a trailing NUL", order() + b"\0"),
    (87, "a leading NUL", b"\0" + order()),
    (87, "a trailing comma", order()[:-1] + b",}"),
    (87, "single quotes", b"{'id':'1'}"),
    (87, "a comment", order() + b"// x"),
    (87, "a comment inside", b'{/* */"id":"1"}'),
    (87, "half an event", order()[:-9]),
    (87, "a raw line feed in a string", _with(b'"a\nb"')),
    *((88, word.decode(), _with(word)) for word in (b"NaN", b"Infinity", b"-Infinity", b"nan", b"undefined")),
    *((90, number.decode(), _with(number)) for number in (b"01", b"+1", b"1.", b".5", b"0x1", b"1_0", b"-")),
    (93, "an invalid byte", _with(b'"\xff"')),
    (93, "an overlong slash", _with(b'"\xc0\xaf"')),
    (93, "a surrogate in UTF-8", _with(b'"\xed\xa0\x80"')),
    (93, "a character over the last", _with(b'"\xf4\x90\x80\x80"')),
    (93, "half a character", _with(b'"\xe2\x82"')),
    (94, "a byte order mark", b"\xef\xbb\xbf" + order()),
    *(
        (94, coding, order().decode().encode(coding))
        for coding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le")
    ),
    (95, "a lone high surrogate", _with(rb'"\ud800"')),
    (95, "a lone low surrogate", _with(rb'"\udc00"')),
    (95, "a lone surrogate in a name", _with(b"1", rb"\ud800")),
    (97, "101 levels", _nested(101)),
    (97, "101 levels of objects", _with(b'{"a":' * 100 + b"1" + b"}" * 100)),
    (97, "100 000 levels", _nested(100_000)),
    (97, "100 000 levels without an end", b"[" * 100_000),
    (98, "100 000 keys in an object", _keys(100_000)),
    (101, "a key of 1 MB", _with(b"1", b"k" * 1_000_000)),
]

_TIMES: tuple[object, ...] = (
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "99999-01-01T00:00:00Z", "yesterday", "", -1, 0, 10**18,
    10**300, 1e308, True, None, [], {}, "2025-01-15T12:00:00", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59", "\u0662\u0660\u0662\u0665-01-01",
)  # fmt: skip

_IDS: list[tuple[str, object]] = [
    ("with NUL", "a\0b"), ("empty", ""), ("null", None), ("true", True), ("a list", ["a"]), ("an object", {}),
    ("a fraction", 1.5), ("in unicode", "\u2603"), ("with a line feed", "a\n"), ("with a blank", "a b"),
    ("of 256", "x" * 256), ("of 1 MB", "x" * 1_000_000), ("a number of 300 digits", 10**299),
]  # fmt: skip

_TYPES: list[tuple[str, object]] = [
    ("of 300", "x" * 300), ("of NUL", "\0"), ("of a line feed", "\n"), ("of 256 bytes", "\u00e9" * 128),
    ("empty", ""), ("null", None), ("a list", []), ("a fraction", 1.5), ("of 1 MB", "x" * 1_000_000),
]  # fmt: skip

_FINE: list[tuple[int, str, bytes]] = [
    (90, "an integer of 300 digits", _with(b"9" * 300)),
    (91, "an integer that no double holds", _with(b"9007199254740993")),
    (92, "a name twice", _with(b"1") [:-1] + b', "x": 2}'),
    (92, "a name twice, once in escapes", _with(b"1", rb"\u0078")[:-1] + b', "x": 2}'),
    (95, "a pair of surrogates", _with(rb'"\ud83d\ude00"')),
    (96, "NUL in the data", _with(rb'"\u0000"')),
    (97, "100 levels", _nested(100)),
    (98, "1 000 keys in an object", _keys(1_000)),
    *((100, name.decode(), _with(b"{}", name)) for name in (b"__proto__", b"constructor", b"$ref", b"$where")),
    (100, "a format string", order(note="{0.__class__} %s %n ${jndi:ldap://x} {{7*7}}")),
    (102, "keys that differ little", _keys(1_000, "\0" * 60 + "{}")),
    *(
        (104, f"time {moment!r}", order(created_at=moment))
        for moment in _TIMES
    ),
    (107, "a string of 5 MB", _padded_to(5_000_000)),
    (99, "a string that fills the limit", _padded_to(MAX_BODY)),
]  # fmt: skip

INPUTS = [
    *(Input(number, name, lambda of, body=body: acme(of, body), _NO_JSON) for number, name, body in _BROKEN),
    *(Input(number, name, lambda of, body=body: acme(of, body), _ACCEPTED) for number, name, body in _FINE),
    *(
        Input(86, f"{body.decode()} at the top", lambda of, body=body: acme(of, body), _QUARANTINED)
        for body in (b"null", b"true", b"1", b'"x"', b"[]", b'"' + b"x" * 300 + b'"', b"-0.0")
    ),
    *(
        Input(86, f"{body.decode()} at the top of a delivery", lambda of, body=body: github(of, body), _QUARANTINED)
        for body in (b"null", b"true", b"1", b'"x"', b"[]", b"{}")
    ),
    *(
        Input(96, f"id {name}", lambda of, value=value: acme(of, _identified(value)), _ACCEPTED)
        for name, value in _IDS
    ),
    *(
        Input(89, number[:16].decode(), lambda of, number=number: acme(of, _with(number)), _QUARANTINED)
        for number in (b"1e400", b"-1e400", b"1E+999999999", b"9" * 400, b"9" * 5_000)
    ),
    *(
        Input(103, f"type {event_type!r}", lambda of, value=event_type: acme(of, _typed(value)), _ACCEPTED)
        for event_type in ("a\0b", "a\nb", "caf\u00e9", "\u8ba2\u5355", "a[b.c].d", "a.*.#", "..", "x" * 255)
    ),
    Input(96, "a number as id", lambda of: acme(of, order(id=9_007_199_254_740_993)), _ACCEPTED),
    *(
        Input(103, f"type {name}", lambda of, value=value: acme(of, _typed(value)), _QUARANTINED)
        for name, value in _TYPES
    ),
    *(
        Input(103, f"type {value!r}", lambda of, value=value: acme(of, _typed(value)), _ACCEPTED)
        for value in ("#", "*", "a.*.#", "...", "x" * 128, "a b/c:d", "amq.gen", "..%2f", 7)
    ),
    Input(105, "attributes of 200 KB", lambda of: _described(of, "x" * 200_000), _ACCEPTED),
    Input(105, "attributes of control characters", lambda of: _described(of, "\0\r\n\x7f\u2028" * 100), _ACCEPTED),
    Input(105, "attributes that UTF-8 doubles", lambda of: _described(of, "\u00e9" * 400), _ACCEPTED),
    Input(108, "a batch", lambda of: acme(of, b"[" + order() + b"," + order() + b"]"), _QUARANTINED),
]  # fmt: skip
