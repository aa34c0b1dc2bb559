"""Inputs 109 to 116: schemas that must not load, and bodies that strain schemas that do."""

from __future__ import annotations

import json
from typing import Any

from hostile.signed import acme
from hostile.target import Input
from hostile.wire import Wire
from support.gateway_process import Secrets
from support.senders import order

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ACCEPTED = "202 accepted"
_QUARANTINED = "202 quarantined"

REFUSED: list[tuple[int, str, bytes, str]] = [
    (number, name, json.dumps(schema).encode(), problem)
    for number, name, schema, problem in [
        (109, "unique-items", {"uniqueItems": True}, "/uniqueItems: compares all items with each other"),
        (109, "unique-many", {"items": {"uniqueItems": True, "maxItems": 257}}, "/items/uniqueItems: compares"),
        (110, "nested-repeat", {"pattern": "^(a+)+$"}, "/pattern: '^(a+)+$' repeats without bound"),
        (110, "nested-star", {"patternProperties": {"^(x*y*)*$": {}}}, "/patternProperties: '^(x*y*)*$' repeats"),
        (110, "back-reference", {"pattern": r"(a)\1"}, "/pattern:"),
        (110, "look-around", {"pattern": "(?=a)"}, "/pattern: '(?=a)' does not compile"),
        (113, "many-branches", {"anyOf": [{"const": number} for number in range(2_000)]}, "/anyOf: has more than"),
        (114, "remote", {"$ref": "http://127.0.0.1:9/schema.json"}, "/$ref: 'http://127.0.0.1:9/schema.json' leads out"),
        (114, "file", {"$ref": "file:///etc/passwd"}, "/$ref: 'file:///etc/passwd' leads out"),
        (114, "metadata", {"$ref": "http://169.254.169.254/latest/"}, "/$ref: 'http://169.254.169.254/latest/' leads out"),
        (114, "relative", {"$ref": "other.json"}, "/$ref: 'other.json' leads out"),
        (114, "nowhere", {"$ref": "#/$defs/none"}, "/$defs/none' does not exist"),
        (115, "misspelt", {"tpye": "object"}, "/tpye: is not a keyword"),
        (115, "bad-regex", {"pattern": "("}, "/pattern:"),
        (115, "other-draft", {"$schema": "http://json-schema.org/draft-07/schema#"}, "$schema must be"),
        (115, "bad-type", {"type": "strnig"}, "'strnig'"),
        (115, "format", {"format": "email"}, "/format:"),
    ]
] + [
    (115, "not-json", b"{", "is not JSON"),
    (115, "an-array", b"[]", "is not a JSON object"),
    (115, "deep", b'{"not":' * 100 + b"{}" + b"}" * 100, "is nested in more than"),
    (115, "deeper", b'{"not":' * 100_000 + b"{}" + b"}" * 100_000, "schema"),
]  # fmt: skip
"""Number, name, the file, and what its problem says."""

USABLE: dict[str, dict[str, Any]] = {
    "unique": {"properties": {"list": {"uniqueItems": True, "maxItems": 256}}},
    "recursive": {"$ref": "#/$defs/node", "$defs": {"node": {"additionalProperties": {"$ref": "#/$defs/leaf"}},
                  "leaf": {"anyOf": [{"type": ["string", "integer"]}, {"$ref": "#/$defs/node"}]}}},
    "multiple": {"properties": {"x": {"multipleOf": 0.01, "minimum": -100, "maximum": 100}}},
    "pattern": {"properties": {"x": {"pattern": "^a{1,30}$"}}},
    "digits": {"properties": {"x": {"pattern": r"^\d+$"}}},
    "strict": {"required": [f"r{number}" for number in range(1_000)], "additionalProperties": {"type": "null"}},
}  # fmt: skip
"""The schemas of providers of these names, which sign as acme does."""


def _to(of: Secrets, provider: str, x: bytes, name: bytes = b"x") -> Wire:
    """Return an event for such a provider with one more member, inserted as it is."""
    body = order()[:-1] + b', "%b": %b}' % (name, x)
    return acme(of, body).to(f"/webhooks/{provider}")


def _objects(count: int) -> bytes:
    return json.dumps([{"a": number} for number in range(count)]).encode()


INPUTS = [
    Input(109, "3 000 objects where 256 are allowed", lambda of: _to(of, "unique", _objects(3_000), b"list"), _QUARANTINED),
    Input(109, "256 objects", lambda of: _to(of, "unique", _objects(256), b"list"), _ACCEPTED),
    Input(109, "two equal objects", lambda of: _to(of, "unique", b'[{"a":1},{"a":1.0}]', b"list"), _QUARANTINED),
    Input(110, "what makes regular expressions backtrack", lambda of: _to(of, "pattern", b'"' + b"a" * 50_000 + b'!"'), _QUARANTINED),
    Input(111, "a recursive schema at 32 levels", lambda of: _to(of, "recursive", b'{"a":' * 30 + b"{}" + b"}" * 30), _ACCEPTED),
    *(
        Input(112, f"{number[:12].decode()} against multipleOf", lambda of, number=number: _to(of, "multiple", number), _QUARANTINED)
        for number in (b"1e308", b"-1e308", b"9" * 300, b"-" + b"9" * 300, b"5e-324", b"1.0000000000000001e20")
    ),
    Input(115, "other scripts' digits", lambda of: _to(of, "digits", '"\u0663"'.encode()), _QUARANTINED),
    Input(115, "digits before a line feed", lambda of: _to(of, "digits", rb'"1\n"'), _QUARANTINED),
    Input(116, "a thousand broken rules", lambda of: _to(of, "strict", b'"personal"'), "422 schema_mismatch"),
]  # fmt: skip
