"""Schemas that are widened: just so far that the samples pass, without any of their values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.schemas import Catalogue
from gateway.events.schemas.lint import DIALECT
from gateway.events.schemas.schema import Schema
from gateway.events.schemas.widen import standalone, widen

HEAD = {"$schema": DIALECT, "$id": "urn:test:order"}
ORDER: dict[str, Any] = {
    **HEAD,
    "type": "object",
    "required": ["id", "total"],
    "properties": {
        "id": {"type": "string", "maxLength": 5},
        "total": {"type": ["integer", "null"]},
        "state": {"enum": ["new", "paid"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "$defs": {"line": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string"}}}},
}


def changed(**changes: Any) -> dict[str, Any]:
    """The schema of an order with other rules for some of its properties."""
    return ORDER | {"properties": ORDER["properties"] | changes}


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        ({"id": "1", "total": 1}, ORDER),
        ({"id": "1"}, ORDER | {"required": ["id"]}),
        ({}, {name: rule for name, rule in ORDER.items() if name != "required"}),
        ({"id": "1", "total": "1.50"}, changed(total={"type": ["integer", "null", "string"]})),
        ({"id": "1", "total": 1.5}, changed(total={"type": ["number", "null"]})),
        ({"id": True, "total": 1}, changed(id={"type": ["string", "boolean"], "maxLength": 5})),
        ({"id": "secret", "total": 1}, changed(id={"type": "string"})),
        ({"id": "1", "total": 1, "state": "secret"}, changed(state={})),
        (
            {"id": "1", "total": 1, "lines": [{"sku": "a"}, {"sku": 7}]},
            ORDER
            | {
                "$defs": {
                    "line": ORDER["$defs"]["line"] | {"properties": {"sku": {"type": ["string", "integer"]}}}
                }
            },
        ),
        ([1], ORDER | {"type": ["object", "array"]}),
    ],
)
def test_only_the_rules_that_are_broken_are_loosened(sample: object, expected: dict[str, Any]) -> None:
    """A name is no longer required, a type is added, another rule is removed."""
    before = json.dumps(ORDER)
    wide = widen(ORDER, [sample])

    assert wide == expected
    assert json.dumps(ORDER) == before
    assert Schema(wide, {}).is_valid(sample)


def test_all_samples_pass_together() -> None:
    """Each breaks another rule."""
    samples = [{"id": "1"}, {"total": 2}, {"id": 3, "total": "3"}]
    wide = widen(ORDER, samples)

    assert wide is not None
    assert all(map(Schema(wide, {}).is_valid, samples))


def test_properties_that_are_called_like_keywords_are_no_keywords() -> None:
    """Such as `type`, which many events have."""
    document = {
        **HEAD,
        "properties": {"type": {"const": "order"}, "required": {"type": "boolean"}, "no": False},
    }
    sample = {"type": "invoice", "required": "yes", "no": 1}
    wide = widen(document, [sample])

    assert wide == {**HEAD, "properties": {"type": {}, "required": {"type": ["boolean", "string"]}}}


def test_a_name_too_long_for_a_path_loosens_its_rule_altogether() -> None:
    """The path of a violation has the beginning of the name only."""
    name = "x" * 100
    assert widen({**HEAD, "properties": {name: {"type": "string"}}}, [{name: 1}]) == {
        **HEAD,
        "properties": {name: {}},
    }


def test_alternatives_are_widened_or_given_up_but_never_wrong() -> None:
    """What is returned passes."""
    document = {**HEAD, "oneOf": [{"type": "string"}, {"type": "integer", "minimum": 3}]}
    wide = widen(document, [1, "a"])

    assert wide is not None
    assert all(map(Schema(wide, {}).is_valid, [1, "a"]))


def test_a_schema_that_stands_alone_refers_to_no_other() -> None:
    """The other documents are written out in it, so that it can be a file of its own."""
    by_id = {"urn:test:base": {**HEAD, "$id": "urn:test:base", "title": "Base", "required": ["id"]}}
    whole = standalone({**HEAD, "$ref": "urn:test:base", "type": "object"}, by_id)

    assert whole == {**HEAD, "type": "object", "allOf": [{"required": ["id"]}]}
    wide = widen(whole, [{}])
    assert wide == {**HEAD, "type": "object", "allOf": [{}]}


@pytest.mark.parametrize(
    "reference", ["urn:test:elsewhere", "urn:test:base#/$defs/x", "urn:test:loop", "urn:test:local"]
)
def test_what_cannot_stand_alone_is_not_attempted(reference: str) -> None:
    """It would be resolved elsewhere than in the file that it comes from."""
    by_id = {
        "urn:test:base": {"$defs": {"x": {}}},
        "urn:test:loop": {"properties": {"x": {"$ref": "urn:test:loop"}}},
        "urn:test:local": {"$ref": "#/$defs/x", "$defs": {"x": {}}},
    }
    assert standalone({**HEAD, "$ref": reference}, by_id) is None


def test_bundled_schemas_stand_alone_and_judge_as_before() -> None:
    """Of Stripe and GitHub, whose schemas refer to their envelope."""
    catalogue = Catalogue.bundled()
    count = 0
    for adapter in ("stripe", "github"):
        schemas = catalogue.of_adapter(adapter)
        for name in catalogue.event_types(adapter):
            whole = standalone(schemas.documents[name], schemas.by_id)
            assert whole is not None, name
            alone = Schema(whole, {})
            for example in schemas.documents[name]["examples"]:
                assert alone.is_valid(example)
                count += 1
            assert alone.is_valid({}) == Schema(schemas.documents[name], schemas.by_id).is_valid({})
    assert count > 20


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-10, 10)
    | st.floats(allow_nan=False, width=16)
    | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "total", "state", "lines", "sku", "x/y~z"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(st.lists(VALUES, min_size=1, max_size=3))
def test_whatever_is_returned_passes_all_samples_and_all_that_passed_before(samples: list[Any]) -> None:
    """Widening only ever adds."""
    wide = widen(ORDER, samples)

    assert wide is not None
    schema = Schema(wide, {})
    assert all(map(schema.is_valid, samples))
    assert schema.is_valid({"id": "1", "total": None, "state": "new", "lines": [{"sku": "a"}]})
