"""What a change of a schema means: told apart one by one, and never called safe when it is not."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from gateway.events.schemas.diff import diff

MONEY = {"$id": "urn:test:money", "type": "integer"}
LOOSE_MONEY = {"$id": "urn:test:loose", "type": "number"}
BY_ID = {schema["$id"]: schema for schema in (MONEY, LOOSE_MONEY)}


def told(old: Any, new: Any) -> list[str]:
    """The changes, a line each."""
    return [f"{change.verdict} {change.path}: {change.text}" for change in diff(old, new, BY_ID)]


@pytest.mark.parametrize(
    ("old", "new", "tighter", "looser"),
    [
        ({}, {"required": ["a"]}, '/required: asks for "a" now', '/required: asks for "a" no more'),
        ({"type": ["string", "null"]}, {"type": "string"}, "/type: takes null no more", "/type: takes null too"),
        ({"type": "number"}, {"type": "integer"}, "/type: takes number no more", "/type: takes number too"),
        ({}, {"type": "object"}, "/type: takes only object now", "/type: takes any type now"),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, '/enum: takes "b" no more', '/enum: takes "b" too'),
        ({}, {"const": 1}, "/const: takes only 1 now", "/const: takes other values too"),
        ({"minimum": 1}, {"minimum": 2}, "/minimum: 1 before, 2 now", "/minimum: 2 before, 1 now"),
        ({"minimum": 1}, {"exclusiveMinimum": 1}, "/exclusiveMinimum: 1 now", "/minimum: 1 now"),
        ({"maximum": 2}, {"maximum": 1}, "/maximum: 2 before, 1 now", "/maximum: 1 before, 2 now"),
        ({}, {"maxLength": 9}, "/maxLength: 9 now", "/maxLength: is gone"),
        ({}, {"minItems": 1}, "/minItems: 1 now", "/minItems: is gone"),
        ({}, {"pattern": "^a"}, '/pattern: "^a" now', "/pattern: is gone"),
        ({"multipleOf": 2}, {"multipleOf": 4}, None, "/multipleOf: 4 before, 2 now"),
        ({}, {"uniqueItems": True}, "/uniqueItems: true now", "/uniqueItems: is gone"),
        ({}, {"dependentRequired": {"a": ["b"]}}, '/dependentRequired/a: asks for "b" now',
         '/dependentRequired/a: asks for "b" no more'),
        ({}, {"additionalProperties": False}, "/additionalProperties: nothing passes any more",
         "/additionalProperties: nothing passed before"),
        ({}, {"properties": {"a/b": {"type": "null"}}}, "/properties/a~1b/type: takes only null now",
         "/properties/a~1b: anything passes now"),
        ({}, {"items": {"minimum": 0}}, "/items/minimum: 0 now", "/items: anything passes now"),
        ({}, {"propertyNames": {"maxLength": 3}}, "/propertyNames/maxLength: 3 now",
         "/propertyNames: anything passes now"),
        ({}, {"contains": {"const": 1}}, "/contains: is a new rule", "/contains: is gone"),
        ({}, {"anyOf": [{"type": "null"}]}, "/anyOf: is a new rule", "/anyOf: is gone"),
        ({}, {"oneOf": [{"type": "null"}]}, "/oneOf: is a new rule", "/oneOf: is gone"),
        ({}, {"allOf": [{"minimum": 1}]}, "/allOf/0/minimum: 1 now", "/allOf/0: anything passes now"),
        ({}, {"not": {"type": "null"}}, "/not: forbids more now", "/not: forbids less now"),
        ({"not": {"minimum": 1}}, {"not": {"minimum": 0}}, "/not: forbids more now", "/not: forbids less now"),
        ({}, {"if": {"required": ["a"]}, "then": False}, "/if: is a new rule", "/if: is gone"),
        ({"$ref": "urn:test:loose"}, {"$ref": "urn:test:money"}, "/$ref/type: takes number no more",
         "/$ref/type: takes number too"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, {"anyOf": [{"type": "null"}]},
         "/anyOf/1/type: takes string no more", "/anyOf: has more alternatives"),
    ],
)  # fmt: skip
def test_a_rule_that_is_tighter_breaks_and_one_that_is_looser_does_not(
    old: Any, new: Any, tighter: str | None, looser: str
) -> None:
    """The same change in both directions."""
    old, new = ({**side, "maxProperties": 99} for side in (old, new))
    if tighter:
        assert told(old, new)[0].startswith(f"breaking {tighter}")
    assert f"safe {looser}" in told(new, old)
    assert not [line for line in told(new, old) if not line.startswith("safe")]


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ({"pattern": "^a"}, {"pattern": "^ab?"}, "/pattern"),
        ({"multipleOf": 2}, {"multipleOf": 3}, "/multipleOf"),
        ({"oneOf": [{"type": "null"}, {"const": 1}]}, {"oneOf": [{}, {"const": 1}]}, "/oneOf"),
        ({"if": {"required": ["a"]}}, {"if": {"required": ["b"]}}, "/if"),
        ({"$ref": "urn:test:money"}, {"$ref": "urn:test:nowhere"}, "/$ref"),
        ({"properties": {"a": {"x-note": 1}}}, {"properties": {"a": {"x-note": 2}}}, "/properties/a/x-note"),
        ({"unevaluatedProperties": False, "properties": {"a": {}}}, {"unevaluatedProperties": False},
         "/unevaluatedProperties"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_to_be_looked_at(old: Any, new: Any, place: str) -> None:
    """Rather than called one or the other."""
    assert [line.partition(": ")[0] for line in told(old, new)] == [f"to be looked at {place}"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"title": "a", "examples": [1]}, {"title": "b", "description": "c", "$comment": "d"}),
        ({"type": "string"}, {"type": ["string"]}),
        ({"enum": [1, True]}, {"enum": [True, 1.0]}),
        ({"properties": {"a": {"title": "x"}}}, {"properties": {"a": True}}),
        ({"anyOf": [{"type": "null"}, {"const": 1}]}, {"anyOf": [{"const": 1}, {"type": "null"}]}),
        ({"properties": {"a": {"$ref": "#"}}}, {"properties": {"a": {"$ref": "#"}}, "$defs": {"b": {}}}),
        ({"minLength": 0, "maxLength": 2}, {"maxLength": 2}),
    ],
)
def test_what_means_the_same_is_no_change(old: Any, new: Any) -> None:
    """However it is written."""
    assert told(old, new) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "null"}, {"type": ["null", "string"], "minLength": 3}),
        ({"type": "null"}, {"type": ["null", "object"], "required": ["a"]}),
        ({"enum": ["a", "b"]}, {"enum": ["a", "b"], "type": "string"}),
        ({"exclusiveMinimum": 0}, {"minimum": 0}),
        ({"required": ["b"]}, {"required": ["b"], "dependentRequired": {"a": ["b"]}}),
        (
            {"prefixItems": [{"type": "null"}], "items": {"const": 1}},
            {"items": {"type": ["null", "integer"]}},
        ),
        ({"additionalProperties": {"const": 1}}, {"properties": {"a": {"type": "integer"}}}),
    ],
)
def test_a_rule_that_follows_from_another_does_not_break(old: Any, new: Any) -> None:
    """As when it only speaks of what did not pass before."""
    assert not [line for line in told(old, new) if not line.startswith("safe")]


def test_a_schema_that_refers_to_itself_comes_to_an_end() -> None:
    """And what has changed in it is found, behind a "not" too."""
    old = {"properties": {"a": {"$ref": "#"}, "b": {"not": {"$ref": "#"}}}, "type": "object"}
    new = copy.deepcopy(old) | {"type": ["object", "null"]}

    assert [line.partition(": ")[0] for line in told(old, new)] == [
        "breaking /properties/b/not",
        "safe /type",
    ]


def test_those_that_break_come_first() -> None:
    """Then what is to be looked at, and each is told once."""
    old = {"minLength": 2, "pattern": "a", "maxLength": 9}
    assert [line.split(":")[0] for line in told(old, {"minLength": 1, "pattern": "b", "maxLength": 8})] == [
        "breaking /maxLength",
        "to be looked at /pattern",
        "safe /minLength",
    ]


VALUES: list[Any] = [None, True, False, -1, 0, 1, 2, 3, 1.5, "", "a", "ab", "b", [], {}]
VALUES += [[value] for value in VALUES] + [[one, other] for one in VALUES[:12] for other in VALUES[:12]]
VALUES += [{"a": value} for value in VALUES[:30]] + [{"b": value} for value in VALUES[:20]]
VALUES += [{"a": one, "b": other} for one in VALUES[:15] for other in VALUES[:15]] + [
    {"ab": 1},
    {"a": {"a": 1}},
]

TYPES = ["null", "boolean", "object", "array", "string", "integer", "number"]
NAMES = ["a", "b", "ab"]
SIZES = [
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
]
RANGES = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
SINGLE = ["additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else",
          "unevaluatedItems", "unevaluatedProperties"]  # fmt: skip
LISTS = ["allOf", "anyOf", "oneOf", "prefixItems"]
KEYWORDS = [*SIZES, *RANGES, *SINGLE, *LISTS, "type", "enum", "const", "required", "dependentRequired", "pattern",
            "multipleOf", "uniqueItems", "properties", "patternProperties", "dependentSchemas", "$ref"]  # fmt: skip


class Draw:
    """Small schemas at random. Hypothesis gives the seed: strategies for schemas take a hundred times as long."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pair(self) -> tuple[Any, Any]:
        """A schema and the same after a few changes: those that have nothing in common always break."""
        old = {**self._rules(3), "$defs": {"a": self._schema(1)}}
        new = copy.deepcopy(old)
        for _ in range(self._random.randint(1, 3)):
            place = new
            while (deeper := _inner(place)) and self._random.random() < 0.6:
                place = self._random.choice(deeper)
            keyword = self._random.choice([*KEYWORDS, *(name for name in place if name != "$defs")])
            if keyword in place and self._random.random() < 0.4:
                del place[keyword]
            else:
                place[keyword] = self._value(keyword, 2)
        return old, {"$defs": {"a": {}}} | new

    def _schema(self, depth: int) -> Any:
        return self._random.random() < 0.5 if self._random.random() < 0.15 else self._rules(depth)

    def _rules(self, depth: int) -> dict[str, Any]:
        keywords = self._random.sample(KEYWORDS, self._random.randint(1, 3))
        rules = {keyword: self._value(keyword, depth) for keyword in keywords}
        return rules | (
            {"contains": self._schema(0)} if {"minContains", "maxContains"} & rules.keys() else {}
        )

    def _value(self, keyword: str, depth: int) -> Any:
        draw = self._random
        if keyword in SINGLE:
            return self._schema(depth - 1) if depth else True
        if keyword in LISTS:
            return [self._schema(depth - 1) if depth else {} for _ in range(draw.randint(1, 2))]
        if keyword in {"properties", "patternProperties", "dependentSchemas"}:
            names = ["a", "^b"] if keyword == "patternProperties" else NAMES
            return {name: self._schema(depth - 1) if depth else {} for name in draw.sample(names, 1)}
        values: dict[str, Any] = {
            "type": draw.sample(TYPES, draw.randint(1, 5)),
            "enum": draw.sample(VALUES[:20], draw.randint(1, 5)),
            "const": draw.choice(VALUES[:15]),
            "required": draw.sample(NAMES, draw.randint(0, 2)),
            "dependentRequired": {draw.choice(NAMES): [draw.choice(NAMES)]},
            "pattern": draw.choice(["a", "^b"]),
            "multipleOf": draw.choice([1, 2, 0.5]),
            "uniqueItems": draw.random() < 0.7,
            "$ref": draw.choice(["#/$defs/a", "urn:test:money", "urn:test:loose"]),
        }
        return values.get(keyword, draw.randint(0, 3))


def _inner(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas right in a schema."""
    values = [schema.get(name) for name in SINGLE] + [each for name in LISTS for each in schema.get(name, ())]
    for name in ("properties", "patternProperties", "dependentSchemas", "$defs"):
        values += schema.get(name, {}).values()
    return [value for value in values if isinstance(value, dict)]


def _compile(schema: Any) -> Draft202012Validator:
    return Draft202012Validator(schema, retriever=BY_ID.__getitem__)


@given(st.integers(0, 2**32))
@settings(max_examples=1000, deadline=None)
def test_what_passed_before_passes_after_changes_that_are_called_safe(seed: int) -> None:
    """Whatever the schemas: never safe in words and breaking in fact."""
    old, new = Draw(seed).pair()
    assume(all(line.startswith("safe") for line in told(old, new)))
    before, after = _compile(old), _compile(new)

    assert [value for value in VALUES if before.is_valid(value) and not after.is_valid(value)] == [], (
        old,
        new,
    )
