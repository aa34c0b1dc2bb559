"""The catalogue of schemas: what is found for an event, what is refused at load, and what a failure tells."""

from __future__ import annotations

import json
import socket
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.schemas import (
    MAX_VIOLATIONS,
    AdapterSchemas,
    Catalogue,
    SchemaError,
    Violation,
    check_document,
    load_file,
    parse_document,
)
from gateway.events.schemas.lint import MAX_BRANCHES, MAX_SCHEMA_DEPTH, MAX_UNIQUE_ITEMS
from gateway.events.schemas.schema import Schema, all_parts
from support.work import cost

MOST_WORK = 20
"""Times as much as writing and reading JSON of 1.5 MB, which takes some 50 ms."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


NESTED_PAYLOAD: Any = 1
for _ in range(31):
    NESTED_PAYLOAD = {"a": NESTED_PAYLOAD}


def document(name: str, **rules: Any) -> dict[str, Any]:
    """A schema that is told from others by its id."""
    return {"$schema": DIALECT, "$id": f"urn:test:{name}", **rules}


def catalogue(**rules_by_type: dict[str, Any]) -> AdapterSchemas:
    """The schemas of one adapter; double underscores in the names of types stand for dots."""
    return AdapterSchemas(
        {
            name.replace("__", "."): document(name.replace("__", "."), **rules)
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
    found = schemas.find(event_type)

    assert found is not None
    assert expected == found.id


def test_without_an_envelope_other_types_have_no_schema() -> None:
    """Nor has a type that is called like a part of the schemas."""
    schemas = catalogue(order={}, _money={})

    assert schemas.find("invoice") is None
    assert schemas.find("_money") is None
    assert schemas.get("_money") is not None
    assert schemas.get("invoice") is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalogue of two adapters, one of them broken, and of what else may lie about in a package."""
    for name in ("_envelope", "_money", "order"):
        path = tmp_path / "acme" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(document(name)))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "order.json").write_text("{")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__init__.py").write_text("")
    return tmp_path


def test_the_catalogue_tells_what_it_has(folder: Path) -> None:
    """Sorted, for people."""
    schemas = Catalogue(folder)

    assert schemas.adapters() == ["acme", "broken"]
    assert schemas.event_types("acme") == ["_envelope", "order"]
    assert schemas.event_types("other") == []


def test_only_the_schemas_of_the_adapters_that_are_asked_for_are_read(folder: Path) -> None:
    """And they once: of very many adapters, a gateway uses some."""
    schemas = Catalogue(folder)
    order = schemas.find("acme", "order")
    (folder / "acme" / "order.json").unlink()

    assert order is not None
    assert schemas.find("acme", "order") is order
    assert schemas.find("other", "order") is None


def test_all_that_is_wrong_with_an_adapters_schemas_is_told_at_once() -> None:
    """By the check, before the first event of their types comes."""
    schemas = catalogue(good={}, odd={"typ": 1}, lost={"$ref": "urn:test:nowhere"})

    with pytest.raises(SchemaError) as caught:
        schemas.check()
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        "urn:test:odd",
        "urn:test:lost",
    ]


def test_references_within_the_catalogue_are_followed() -> None:
    """To another document by its id, and to a part of the same one; by both validators."""
    schemas = AdapterSchemas(
        {
            "_money": document("money", type="integer"),
            "order": document(
                "order",
                properties={"total": {"$ref": "urn:test:money"}, "note": {"$ref": "#/$defs/note"}},
                **{"$defs": {"note": {"type": "string"}}},
            ),
        }
    )
    order = schemas.find("order")
    assert order is not None

    assert order.is_valid({"total": 1, "note": "x"})
    assert not order.is_valid({"total": "1"})
    assert [each.path for each in order.explain({"note": 1, "total": "1"})][::-1] == ["/total", "/note"]


BRANCHING = ("allOf", "anyOf", "oneOf")
BROKEN_PATTERNS = ("(", "[a", "a(?=b)", "(?!a)b", "(?<=a)b", "(?<!a)b", r"(a)\1", "a{1000}{1000}{1000}")
NESTED_PATTERNS = ("^(a+)+$", "(a*)*", "((a+)b)*", "(a{2,})+", "(?:x[(]y*)+", r"(\)a+){3,}", "(a|b+)*c")


def nested(levels: int) -> dict[str, Any]:
    """A schema of so many levels."""
    schema: dict[str, Any] = {}
    for _ in range(levels - 1):
        schema = {"not": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "cause"),
    [
        ([], "is not a JSON object"),
        (True, "is not a JSON object"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, r"\$schema must be"),
        ({"$schema": "https://example.com/dialect"}, r"\$schema must be"),
        ({"typ": "object"}, r"/typ: is not a keyword of JSON Schema 2020-12"),
        (
            {"properties": {"a": {"requird": []}}},
            r"/properties/a/requird: is not a keyword of JSON Schema 2020-12; did you mean required",
        ),
        ({"allOf": [{"if": {"x-a": 1}}]}, r"/allOf/0/if/x\-a: is not a keyword of JSON Schema 2020-12"),
        (
            {"$defs": {"a": {"items": {"nullable": True}}}},
            r"/\$defs/a/items/nullable: is not a keyword of JSON Schema 2020-12",
        ),
        ({"definitions": {}}, r"/definitions: is not a keyword of JSON Schema 2020-12"),
        ({"format": "email"}, "/format: is not checked by JSON Schema 2020-12; write a pattern"),
        ({"items": {"$dynamicRef": "#a"}}, r"/items/\$dynamicRef: can lead anywhere; write \$ref"),
        ({"$dynamicAnchor": "a"}, r"/\$dynamicAnchor: is only for \$dynamicRef"),
        ({"uniqueItems": True}, "/uniqueItems: compares all items .* maxItems of at most 256"),
        ({"uniqueItems": True, "maxItems": MAX_UNIQUE_ITEMS + 1}, "/uniqueItems: compares all items"),
        *(({keyword: [{}] * (MAX_BRANCHES + 1)}, f"/{keyword}: has more than 100") for keyword in BRANCHING),
        *(({"pattern": pattern}, "/pattern: .* does not compile") for pattern in BROKEN_PATTERNS),
        *(({"pattern": pattern}, "/pattern: .* repeats without bound") for pattern in NESTED_PATTERNS),
        (
            {"patternProperties": {"^(a+)+$": {}}},
            r"/patternProperties: '\^\(a\+\)\+\$' repeats without bound",
        ),
        ({"patternProperties": {"(": {}}}, r"/patternProperties: '\(' does not compile"),
        (nested(MAX_SCHEMA_DEPTH + 1), "is nested in more than 64 levels"),
        (nested(100_000), "is nested in more than 64 levels"),
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
        {"uniqueItems": True, "maxItems": MAX_UNIQUE_ITEMS},
        {"uniqueItems": False},
        {"properties": {"format": {"type": "string"}, "typ": {}, "$dynamicRef": {}}},
        *({keyword: [{}] * MAX_BRANCHES} for keyword in BRANCHING),
        *(
            {"pattern": text}
            for text in ("^(ab)+$", "(a{1,5})+", "a+b*", "(a+){2,5}", r"([+]|\+)*", "^[^(+)]+$", "")
        ),
        {"pattern": r"^\p{Lu}\w+$"},
        nested(MAX_SCHEMA_DEPTH),
    ],
)
def test_what_looks_like_it_but_is_harmless_is_accepted(schema: dict[str, Any]) -> None:
    """At the limits, and where a name or a character only looks like a rule."""
    check_document(schema, "here")


@given(st.text(alphabet="ab()[]{}*+?|^$\\.-,12", max_size=20))
def test_any_pattern_is_accepted_or_refused(pattern: str) -> None:
    """And raises nothing else."""
    with suppress(SchemaError):
        check_document({"pattern": pattern}, "here")


def test_all_that_is_wrong_is_told_at_once() -> None:
    """A line each."""
    with pytest.raises(SchemaError) as caught:
        check_document({"typ": 1, "properties": {"a": {"format": "date"}}}, "here")

    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "/typ",
        "/properties/a/format",
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "urn:test:nowhere"},
        {"properties": {"a": {"$ref": "#/$defs/nowhere"}}},
    ],
)
def test_what_does_not_compile_is_refused_before_the_first_event(schema: dict[str, Any]) -> None:
    """A reference to nothing."""
    with pytest.raises(SchemaError, match=r"^urn:test:order: [^\n]*nowhere[^\n]*$"):
        catalogue(order=schema).find("order")


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


def test_a_file_may_be_yaml(tmp_path: Path) -> None:
    """By its name; it says what the same file in JSON would."""
    (tmp_path / "own.yaml").write_text("type: object\nproperties:\n  day: {const: 2026-11-30}\n")
    schema = load_file(tmp_path / "own.yaml").find("any")

    assert schema is not None
    assert schema.is_valid({"day": "2026-11-30"})  # which YAML takes for a date
    assert not schema.is_valid({"day": "2026-12-01"})


@pytest.mark.parametrize("content", ["a: &a [1]\nb: *a", "{", "- 1", "1: 2", "on: {}", "[" * 5000, "\x00"])
def test_yaml_that_is_no_schema_is_refused(tmp_path: Path, content: str) -> None:
    """With its path: aliases, for they multiply, and what JSON could not say."""
    path = tmp_path / "own.yml"
    path.write_text(content)
    with pytest.raises(SchemaError, match=r"own\.yml"):
        load_file(path)


@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "? "])
def test_deep_yaml_is_refused_soon(piece: str) -> None:
    """PyYAML takes the square of the depth: without a bound this would take a day."""
    with pytest.raises(SchemaError, match="is nested in more than 100 levels"):
        parse_document(piece.encode() * 200_000, is_yaml=True)


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
    order = schemas.find("order")
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
    order = catalogue(order={"items": {"type": "string"}}).find("order")
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
    schema = catalogue(order=rules).find("order")
    assert schema is not None

    assert schema.is_valid(payload) is (schema.explain(payload) == [])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a\r\nb\x00", "/a\\r\\nb\\x00"),
        ("\x1b[2J", "/\\x1b[2J"),
        ("\u2028\u202e", "/\\u2028\\u202e"),
        ("größe ☃", "/größe ☃"),
        ("k" * 4096, "/" + "k" * 64),
    ],
)
def test_a_hostile_name_in_a_path_is_harmless(name: str, expected: str) -> None:
    """It comes from the sender and goes into a header and a log line."""
    schema = catalogue(order={"additionalProperties": {"type": "string"}}).find("order")
    assert schema is not None

    assert schema.explain({name: 1}) == [Violation(expected, "/additionalProperties/type")]


@pytest.mark.parametrize(
    ("rules", "payload", "expected"),
    [
        ({"items": {"type": "string"}}, [1] * 500_000, [Violation("/0", "/items/type")]),
        ({"items": {"type": "string"}}, [*["x"] * 9999, 1], [Violation("/9999", "/items/type")]),
        ({"anyOf": [{"items": {"type": "string"}}, {"type": "null"}]}, [1] * 500_000, [Violation("", "")]),
        ({"oneOf": [{"items": {}}, {"items": True}]}, [1] * 500_000, [Violation("", "")]),
        ({"items": {"type": "integer"}}, [1] * 500_000, []),
        ({"anyOf": [{"items": {"type": "integer"}}, {"type": "null"}]}, [1] * 500_000, []),
        ({"items": {"required": [f"k{i}" for i in range(30)]}}, [{}] * 4999, None),
        ({"items": {"anyOf": [{"required": [f"k{i}"]} for i in range(100)]}}, [{}] * 40, None),
        ({"items": {"anyOf": [{"required": [f"k{i}"]} for i in range(100)]}}, [{}] * 200_000, None),
        ({"uniqueItems": True, "maxItems": 256}, [{"a": i} for i in range(30_000)], None),
        ({"uniqueItems": True, "maxItems": 256}, [*({"a": i} for i in range(255)), {"a": 0}], None),
        ({"pattern": "^a*a*a*a*b$"}, "a" * 1_000_000, None),
        ({"required": [f"k{i}" for i in range(100)]}, {"a": "x" * 1_000_000}, None),
        ({"multipleOf": 0.01}, 1.5e308, []),
        ({"multipleOf": 7}, 1.5e300, None),
        ({"maximum": 5}, 10**18, [Violation("", "/maximum")]),
        ({"$ref": "#"}, {"a": 1}, []),
        ({"properties": {"a": {"$ref": "#"}}, "type": "object"}, NESTED_PAYLOAD, [Violation("/a" * 31, "")]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_no_body_takes_long(rules: dict[str, Any], payload: Any, expected: list[Violation] | None) -> None:
    """Whatever schema the lint accepts: deciding and explaining are bounded, and agree."""
    schema = catalogue(order=rules).find("order")
    assert schema is not None
    is_valid, violations = schema.is_valid(payload), schema.explain(payload)

    assert cost(partial(_decide, schema, payload), MOST_WORK) < MOST_WORK
    assert is_valid is (violations == [])
    if expected is not None:
        assert [violation.path for violation in expected] == [violation.path for violation in violations]


def _decide(schema: Schema, payload: Any) -> None:
    schema.is_valid(payload)
    schema.explain(payload)


@pytest.mark.parametrize("adapter", Catalogue.bundled().adapters())
def test_no_body_takes_long_against_the_schemas_that_come_with_the_gateway(adapter: str) -> None:
    """A megabyte that is wide, long or deep, and wrong in each place that a schema speaks of."""
    schemas = Catalogue.bundled().of_adapter(adapter)
    by_names: dict[frozenset[str], Schema] = {}  # many schemas of a sender speak of the same
    for name in schemas.documents:
        schema = schemas.get(name)
        assert schema is not None
        parts = all_parts(schemas.documents[name], schemas.by_id)
        by_names[frozenset(key for part in parts for key in part.get("properties", ()))] = schema
    for names, schema in by_names.items():
        places = max(1, len(names) ** 2)
        wide: list[Any] = [{}] * (300_000 // places)
        for value in (wide, "x" * (1_000_000 // places), NESTED_PAYLOAD, 1.5e308):
            payload = {name: dict.fromkeys(names, value) for name in names}
            assert cost(partial(_decide, schema, payload), MOST_WORK) < MOST_WORK
