"""The bundled schemas keep to the rules of the project; that samples keep to them is tested with their adapters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from gateway.schemas import Catalogue

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Either not checked by every validator, or slow on a hostile body, or refused by what a provider adds tomorrow.
BANNED = {
    "format",
    "pattern",
    "patternProperties",
    "uniqueItems",
    "additionalProperties",
    "unevaluatedProperties",
}
SCHEMAS: dict[str, dict[str, Any]] = {
    f"{adapter.name}/{file.name.removesuffix('.json')}": json.loads(file.read_bytes())
    for adapter in sorted(files("schemas").iterdir(), key=lambda entry: entry.name)
    if adapter.is_dir()
    for file in sorted(adapter.iterdir(), key=lambda entry: entry.name)
    if file.name.endswith(".json")
}
KNOWN = {schema["$id"] for schema in SCHEMAS.values()}
TEXTS = [json.dumps(schema) for schema in SCHEMAS.values()]

each = pytest.mark.parametrize("adapter", Catalogue.bundled().adapters())


def schemas_of(adapter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The event types of an adapter and their schemas."""
    for name, schema in SCHEMAS.items():
        owner, _, event_type = name.partition("/")
        if owner == adapter:
            yield event_type, schema


def is_part(event_type: str) -> bool:
    """Whether a schema describes no event, but what several of them have in common."""
    return event_type.startswith("_") and event_type != "_envelope"


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Compile the bundled schemas once."""
    return Catalogue.bundled()


def keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """Give every member of a schema, except inside its examples; the names of properties are no keywords."""
    for key, value in schema.items():
        yield key, value
        if key in {"properties", "$defs"}:
            for inner in value.values():
                yield from keywords(inner)
        elif isinstance(value, dict):
            yield from keywords(value)
        elif key in {"allOf", "anyOf", "oneOf"}:
            for inner in value:
                yield from keywords(inner)


@each
def test_a_schema_is_named_after_its_place(catalogue: Catalogue, adapter: str) -> None:
    """The $id follows from the path, and looking the event type up leads to it, unless it is a part of others."""
    for event_type, schema in schemas_of(adapter):
        schema_id = f"urn:webhook-gateway:schema:{adapter}:{event_type}:1"
        assert schema_id == schema["$id"]
        found = catalogue.find(adapter, event_type)
        assert found is not None
        assert is_part(event_type) == (schema_id != found.id)


@each
def test_the_schemas_of_an_adapter_pass_the_lint_and_compile(catalogue: Catalogue, adapter: str) -> None:
    """The gateway itself reads and compiles only what it needs, so this is the place to find what is wrong."""
    catalogue.of_adapter(adapter).check()


@each
def test_a_schema_keeps_to_the_rules(adapter: str) -> None:
    """It names its dialect, says what it is for, refers only to bundled schemas and keeps off banned keywords."""
    for _, schema in schemas_of(adapter):
        assert [schema["$schema"], *list(schema)[1:4]] == [DIALECT, "$id", "title", "description"]
        assert schema["description"].endswith(".")
        used = list(keywords(schema))
        assert not BANNED & {key for key, _ in used}
        references = {value for key, value in used if key == "$ref"}
        assert not {reference for reference in references if not reference.startswith("#/$defs/")} - KNOWN


@each
def test_the_examples_of_a_schema_pass_it(catalogue: Catalogue, adapter: str) -> None:
    """A reader can trust the examples."""
    for event_type, document in schemas_of(adapter):
        schema = catalogue.of_adapter(adapter).get(event_type)
        assert schema is not None
        assert document["examples"]
        assert not [violation for body in document["examples"] for violation in schema.explain(body)]
        assert all(schema.is_valid(body) for body in document["examples"])


@each
def test_a_schema_of_an_event_builds_on_the_envelope(adapter: str) -> None:
    """What all events of an adapter have in common is written down once."""
    for event_type, schema in schemas_of(adapter):
        references = [value for key, value in keywords(schema) if key == "$ref"]
        assert event_type[0] == "_" or f"urn:webhook-gateway:schema:{adapter}:_envelope:1" in references


def test_what_is_kept_apart_is_used_more_than_once() -> None:
    """Else it would better stand where it is used."""
    parts = [schema["$id"] for name, schema in SCHEMAS.items() if is_part(name.partition("/")[2])]
    for schema_id in parts:
        assert sum(f'"{schema_id}"' in text for text in TEXTS) > 2  # it names itself, too


def test_an_example_says_what_the_name_of_its_schema_says() -> None:
    """Its type at Stripe; its action at GitHub is one that is known of the event."""
    for event_type, schema in schemas_of("stripe"):
        assert event_type[0] == "_" or {event_type} == {body["type"] for body in schema["examples"]}
    for event_type, schema in schemas_of("github"):
        known = schema.get("properties", {}).get("action", {}).get("examples", [None])
        assert event_type[0] == "_" or {body.get("action") for body in schema["examples"]} <= set(known)


@pytest.mark.parametrize(("adapter", "key"), [("github", "events"), ("stripe", "event_types")])
def test_every_known_event_has_a_schema(catalogue: Catalogue, facts: Path, adapter: str, key: str) -> None:
    """Of those that the facts list."""
    known = json.loads((facts / f"{adapter}-events.json").read_text("utf-8"))[key]
    assert not set(known) - set(catalogue.event_types(adapter))


def test_the_sample_of_the_benchmark_is_as_long_as_a_usual_event() -> None:
    """Throughput is measured with a body of about 2.2 kB."""
    sample = files("providers") / "samples" / "stripe" / "payment_intent.succeeded.json"
    assert 2100 < len(sample.read_bytes()) < 2400
