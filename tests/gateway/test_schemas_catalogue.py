"""The catalogue of schemas: what is found for an event, what is refused at load, and what a failure tells."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.schemas import MAX_VIOLATIONS, Catalogue, SchemaError, Violation, check_document, load_file

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def document(name: str, **rules: Any) -> dict[str, Any]:
    """A schema that is told from others by its id."""
    return {"$schema": DIALECT, "$id": f"urn:test:{name}", **rules}


def catalogue(**rules_by_type: dict[str, Any]) -> Catalogue:
    """The schemas of one adapter; double underscores in the names of types stand for dots."""
    return Catalogue(
        {
            ("acme", name.replace("__", ".")): document(name.replace("__", "."), **rules)
            for name, rules in rules_by_type.items()
        }
    )


@pytest.mark.parametrize(
    ("event_type", "expected"),
    [
        ("order", "urn:test:order"),
        ("order.created", "urn:test:order.created"),
        ("order.created.twice", "urn:test:order.created"),
        ("order.shipped", "urn:test:order"),
        ("orders", "urn:test:_envelope"),
        ("invoice.paid", "urn:test:_envelope"),
        ("_envelope", "urn:test:_envelope"),
        (".", "urn:test:_envelope"),
        ("", "urn:test:_envelope"),
    ],
)
def test_the_most_specific_schema_is_found(event_type: str, expected: str) -> None:
    """Of the type, else of its longest dotted prefix, else of the adapter as a whole."""
    schemas = catalogue(_envelope={}, order={}, order__created={})
    found = schemas.find("acme", event_type)
    same = schemas.of_adapter("acme").find(event_type)

    assert found is not None
    assert same is not None
    assert (expected, expected) == (found.id, same.id)


def test_without_an_envelope_other_types_have_no_schema() -> None:
    """And neither have other adapters."""
    schemas = catalogue(order={})

    assert schemas.find("acme", "invoice") is None
    assert schemas.of_adapter("acme").find("invoice") is None
    assert schemas.find("other", "order") is None
    assert schemas.of_adapter("other").find("order") is None


def test_the_catalogue_tells_what_it_has() -> None:
    """Sorted, for people."""
    schemas = catalogue(order={}, _envelope={})

    assert schemas.adapters() == ["acme"]
    assert schemas.event_types("acme") == ["_envelope", "order"]


def test_references_within_the_catalogue_are_followed() -> None:
    """To another document by its id, and to a part of the same one; by both validators."""
    schemas = Catalogue(
        {
            ("acme", "money"): document("money", type="integer"),
            ("acme", "order"): document(
                "order",
                properties={"total": {"$ref": "urn:test:money"}, "note": {"$ref": "#/$defs/note"}},
                **{"$defs": {"note": {"type": "string"}}},
            ),
        }
    )
    order = schemas.find("acme", "order")
    assert order is not None

    assert order.is_valid({"total": 1, "note": "x"})
    assert not order.is_valid({"total": "1"})
    assert [each.path for each in order.explain({"note": 1, "total": "1"})][::-1] == ["/total", "/note"]


@pytest.mark.parametrize(
    ("schema", "cause"),
    [
        ([], "is not a JSON object"),
        (True, "is not a JSON object"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, r"\$schema must be"),
        ({"$schema": "https://example.com/dialect"}, r"\$schema must be"),
        ({"typ": "object"}, "'typ' is not a keyword"),
        ({"properties": {"a": {"requird": []}}}, "'requird' is not a keyword"),
        ({"allOf": [{"if": {"x-a": 1}}]}, "'x-a' is not a keyword"),
        ({"$defs": {"a": {"items": {"nullable": True}}}}, "'nullable' is not a keyword"),
        ({"definitions": {}}, "'definitions' is not a keyword"),
        ({"type": "text"}, "/type"),
        ({"minimum": "1"}, "/minimum"),
        ({"required": "a"}, "/required"),
        ({"$ref": "https://example.com/schema.json"}, "references are never fetched"),
        ({"$ref": "http://169.254.169.254/latest/meta-data"}, "references are never fetched"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "references are never fetched"),
        ({"items": {"$ref": "other.json"}}, "references are never fetched"),
        ({"not": {"anyOf": [{"$ref": "//example.com/x"}]}}, "references are never fetched"),
    ],
)
def test_what_is_no_usable_schema_is_refused_at_load(schema: object, cause: str) -> None:
    """With its place and the reason, before any event comes."""
    with pytest.raises(SchemaError, match=f"^here: .*{cause}"):
        check_document(schema, "here")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "urn:test:nowhere"},
        {"properties": {"a": {"$ref": "#/$defs/nowhere"}}},
        {"pattern": "("},
    ],
)
def test_what_does_not_compile_is_refused_before_the_first_event(schema: dict[str, Any]) -> None:
    """A reference to nothing, a pattern that is none."""
    with pytest.raises(SchemaError):
        Catalogue({("acme", "order"): document("order", **schema)}).of_adapter("acme")


@pytest.mark.parametrize("keyword", ["$dynamicRef", "$id"])
def test_no_keyword_makes_the_gateway_call_an_address(
    keyword: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is fetched, neither at load nor when an event comes."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an address was called")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    address = "http://127.0.0.1:9/schema.json"
    (tmp_path / "own.json").write_text(
        json.dumps({"properties": {"a": {keyword: address, "type": "object"}}})
    )
    try:
        schema = load_file(tmp_path / "own.json").find("any")
        assert schema is not None
        schema.explain({"a": {}})
    except SchemaError:
        pass


def test_a_file_holds_for_every_event_of_its_provider(tmp_path: Path) -> None:
    """It needs no id of its own."""
    (tmp_path / "own.json").write_text('{"type":"object","required":["id"]}')
    schemas = load_file(tmp_path / "own.json")
    schema = schemas.find("anything.at.all")

    assert schema is not None
    assert (tmp_path / "own.json").as_uri() == schema.id
    assert schema.is_valid({"id": 1})
    assert not schema.is_valid({})


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_file_that_is_no_schema_is_refused(tmp_path: Path, content: bytes) -> None:
    """With its path; so is one that is not there."""
    path = tmp_path / "own.json"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=r"own\.json"):
        load_file(path)
    with pytest.raises(SchemaError, match=r"nowhere\.json"):
        load_file(tmp_path / "nowhere.json")


def test_an_explanation_gives_paths_and_rules_but_never_values() -> None:
    """Values may be personal."""
    schemas = catalogue(
        order={
            "required": ["id"],
            "properties": {
                "a/b~c": {"type": "integer"},
                "email": {"pattern": "^[a-z]+@example[.]com$"},
                "list": {"items": {"enum": ["x", "y"]}},
                "either": {"anyOf": [{"type": "string"}, {"required": ["z"]}]},
            },
        }
    )
    order = schemas.find("acme", "order")
    assert order is not None
    payload = {
        "a/b~c": "Mallory",
        "email": "Mallory",
        "list": ["x", "Mallory"],
        "either": {"name": "Mallory"},
    }
    violations = order.explain(payload)

    assert not order.is_valid(payload)
    assert {
        Violation("/id", "/required"),
        Violation("/a~1b~0c", "/properties/a~1b~0c/type"),
        Violation("/email", "/properties/email/pattern"),
        Violation("/list/1", "/properties/list/items/enum"),
        Violation("/either", "/properties/either/anyOf/0/type"),
        Violation("/either/z", "/properties/either/anyOf/1/required"),
    } == set(violations)
    assert "Mallory" not in repr(violations)


def test_an_explanation_has_ten_rules_at_most() -> None:
    """Of a thousand that are broken; none of a body that is valid."""
    order = catalogue(order={"items": {"type": "string"}}).find("acme", "order")
    assert order is not None

    assert len(order.explain([1] * 1000)) == MAX_VIOLATIONS
    assert order.explain(["x"]) == []


@pytest.mark.parametrize("payload", [None, True, 0, 17, 10**25, "", [], {}, [[[]]], {"a": {"a": {"a": {}}}}])
@pytest.mark.parametrize(
    "rules",
    [
        {"type": "object"},
        {"multipleOf": 0.01},
        {"uniqueItems": True, "maxItems": 5},
        {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False},
    ],
)
def test_both_validators_agree(payload: object, rules: dict[str, Any]) -> None:
    """The one that decides and the one that explains: a body has violations exactly when it is not valid."""
    schema = catalogue(order=rules).find("acme", "order")
    assert schema is not None

    assert schema.is_valid(payload) is (schema.explain(payload) == [])
