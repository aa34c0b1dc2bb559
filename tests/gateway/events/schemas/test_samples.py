"""The bundled schemas keep to the rules of the project; that samples keep to them is tested with their adapters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters import registry
from gateway.adapters.bundled import bundled
from gateway.events.schemas import Catalogue
from gateway.signatures.extractors import places_of, pointer_steps

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
    for adapter in sorted(bundled("schemas").iterdir(), key=lambda entry: entry.name)
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
    sample = bundled("providers") / "samples" / "stripe" / "payment_intent.succeeded.json"
    assert 2100 < len(sample.read_bytes()) < 2400


# What is required

EXCEPTIONS: dict[str, frozenset[str]] = {
    "stripe": frozenset({"/id", "/object", "/data", "/data/object"}),
}
"""What an event must have beyond what its type is read from: at Stripe, what makes a body an event.

At GitHub it is the action, and the object that the event is about, since the type stands in a header; octokit's
schemas require both.
"""


def needed_for_the_type(adapter: str) -> set[str]:
    """The pointers without which no event of an adapter, or of its variants, has a type."""
    needed: list[set[str]] = []
    for name in registry.names():
        if name == registry.GENERIC or registry.load(name).family != adapter:
            continue
        spec = registry.load(name).spec
        alternatives = [spec.event_type] if isinstance(spec.event_type, str) else spec.event_type or []
        kinds = ("item:",) if spec.batch else ("item:", "body:")
        for alternative in alternatives:
            paths = [
                accumulate(pointer_steps(place), lambda above, step: f"{above}/{step}", initial="")
                for place in places_of(alternative)
                if place.startswith(kinds)
            ]
            needed.append({path for each in paths for path in each if path})
    return set.intersection(*needed) if needed else set()


def required(schema: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Each member that a schema requires, as a pointer into the event, with its own schema."""
    for name in schema.get("required", ()):
        yield f"{at}/{name}", schema.get("properties", {}).get(name, {})
    for name, inner in schema.get("properties", {}).items():
        yield from required(inner, f"{at}/{name}")
    for keyword in ("items", "then", "else"):
        if keyword in schema:
            yield from required(schema[keyword], f"{at}/*" if keyword == "items" else at)
    for keyword in ("allOf", "anyOf", "oneOf"):
        for inner in schema.get(keyword, ()):
            yield from required(inner, at)


@each
def test_a_schema_requires_only_what_its_event_is_known_by(adapter: str) -> None:
    """Whatever else is absent costs the summary a word, never the agent the event."""
    allowed = needed_for_the_type(adapter) | EXCEPTIONS.get(adapter, frozenset())
    for event_type, schema in schemas_of(adapter):
        base = "/data/object" if adapter == "stripe" and is_part(event_type) else ""
        surplus = [
            path
            for path, inner in required(schema, base)
            if path not in allowed
            and not (
                adapter == "github"
                and path.count("/") == 1
                and (path == "/action" or inner.get("type") == "object")
            )
        ]
        assert surplus == [], event_type


def without(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """A value without each of its members, one at a time, and with null in its place."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield (*at, name), {other: kept for other, kept in value.items() if other != name}
            yield (*at, name), {**value, name: None}
            for path, changed in without(member, (*at, name)):
                yield path, {**value, name: changed}


@each
def test_no_member_that_is_not_required_has_to_be_there(catalogue: Catalogue, adapter: str) -> None:
    """At any depth of an example; absent, null, or of no text."""
    needed = (
        needed_for_the_type(adapter) | EXCEPTIONS.get(adapter, frozenset()) | {"/type", "/action", "/object"}
    )
    for event_type, document in schemas_of(adapter):
        schema = catalogue.of_adapter(adapter).get(event_type)
        assert schema is not None
        own = {path for path, _ in required(document)}
        kept = {"/data/object/object"} if adapter == "stripe" else set()
        for body in document["examples"]:
            for path, changed in without(body):
                pointer = "/" + "/".join(path)
                if pointer not in needed | own | kept and not (is_part(event_type)):
                    assert schema.is_valid(changed), (event_type, pointer, changed)
