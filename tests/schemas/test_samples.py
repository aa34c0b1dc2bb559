"""The bundled schemas keep to the rules of the project, and the bundled samples to the schemas."""

import json
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
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


def documents(folder: Traversable) -> dict[str, str]:
    """Read the JSON files of all adapters in a folder, by adapter and event type."""
    return {
        f"{adapter.name}/{file.name.removesuffix('.json')}": file.read_text("utf-8")
        for adapter in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if adapter.is_dir()
        for file in sorted(adapter.iterdir(), key=lambda entry: entry.name)
        if file.name.endswith(".json")
    }


SCHEMAS = documents(files("schemas"))
SAMPLES = documents(files("providers").joinpath("samples"))


def is_part(name: str) -> bool:
    """Whether a schema describes no event, but what several of them have in common."""
    return "/_" in name and not name.endswith("/_envelope")


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


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_named_after_its_place(catalogue: Catalogue, name: str) -> None:
    """The $id follows from the path, and looking the event type up leads to it, unless it is a part of others."""
    adapter, event_type = name.split("/")
    schema_id = f"urn:webhook-gateway:schema:{adapter}:{event_type}:1"
    assert schema_id == json.loads(SCHEMAS[name])["$id"]
    found = catalogue.find(adapter, event_type)
    assert found is not None
    assert is_part(name) == (schema_id != found.id)


@pytest.mark.parametrize("adapter", Catalogue.bundled().adapters())
def test_the_schemas_of_an_adapter_pass_the_lint_and_compile(catalogue: Catalogue, adapter: str) -> None:
    """The gateway itself reads and compiles only what it needs, so this is the place to find what is wrong."""
    catalogue.of_adapter(adapter).check()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_keeps_to_the_rules(name: str) -> None:
    """It names its dialect, says what it is for, refers only to bundled schemas and keeps off banned keywords."""
    schema = json.loads(SCHEMAS[name])
    known = {json.loads(text)["$id"] for text in SCHEMAS.values()}
    expected = [DIALECT, "$id", "title", "description"]
    assert expected == [schema["$schema"], *list(schema)[1:4]]
    assert schema["description"].endswith(".")
    used = list(keywords(schema))
    assert not BANNED & {key for key, _ in used}
    references = {value for key, value in used if key == "$ref"}
    assert not {reference for reference in references if not reference.startswith("#/$defs/")} - known


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_examples_of_a_schema_pass_it(catalogue: Catalogue, name: str) -> None:
    """A reader can trust the examples."""
    adapter, event_type = name.split("/")
    schema = catalogue.of_adapter(adapter).get(event_type)
    assert schema is not None
    examples = json.loads(SCHEMAS[name])["examples"]
    assert examples
    assert not [violation for body in examples for violation in schema.explain(body)]
    assert all(schema.is_valid(body) for body in examples)


@pytest.mark.parametrize("name", [name for name in SCHEMAS if "/_" not in name])
def test_a_schema_of_an_event_builds_on_the_envelope(name: str) -> None:
    """What all events of an adapter have in common is written down once."""
    adapter = name.partition("/")[0]
    references = [value for key, value in keywords(json.loads(SCHEMAS[name])) if key == "$ref"]
    assert f"urn:webhook-gateway:schema:{adapter}:_envelope:1" in references


@pytest.mark.parametrize("name", [name for name in SCHEMAS if is_part(name)])
def test_what_is_kept_apart_is_used_more_than_once(name: str) -> None:
    """Else it would better stand where it is used."""
    schema_id = json.loads(SCHEMAS[name])["$id"]
    assert sum(f'"{schema_id}"' in text for text in SCHEMAS.values()) > 2  # it names itself, too


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name.startswith(("github/", "stripe/"))])
def test_an_example_says_what_the_name_of_its_schema_says(name: str) -> None:
    """Its type at Stripe; its action at GitHub is one that is known of the event."""
    _, event_type = name.split("/")
    schema = json.loads(SCHEMAS[name])
    if "/_" not in name and name.startswith("stripe/"):
        assert {event_type} == {body["type"] for body in schema["examples"]}
    if "/_" not in name and name.startswith("github/"):
        known = schema.get("properties", {}).get("action", {}).get("examples", [None])
        assert {body.get("action") for body in schema["examples"]} <= set(known)


@pytest.mark.parametrize(("adapter", "key"), [("github", "events"), ("stripe", "event_types")])
def test_every_known_event_has_a_schema(catalogue: Catalogue, facts: Path, adapter: str, key: str) -> None:
    """Of those that the facts list."""
    known = json.loads((facts / f"{adapter}-events.json").read_text("utf-8"))[key]
    assert not set(known) - set(catalogue.event_types(adapter))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_passes_its_schema(catalogue: Catalogue, name: str) -> None:
    """What the simulator sends is accepted; only the generic HMAC sender has no schema."""
    adapter, event_type = name.split("/")
    schema = catalogue.find(adapter, event_type)
    body = json.loads(SAMPLES[name])
    assert (adapter == "hmac") == (schema is None)
    if schema is not None:
        assert not schema.explain(body)
        assert schema.is_valid(body)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_says_what_its_name_says(name: str) -> None:
    """The event type in the body, or for GitHub the action, is the one in the file name."""
    adapter, event_type = name.split("/")
    body = json.loads(SAMPLES[name])
    if adapter == "github":
        assert event_type.partition(".")[2] == body.get("action", "")
    else:
        assert event_type == body["event" if adapter == "hmac" else "type"]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_has_an_id_of_its_own(name: str) -> None:
    """Two samples sent one after the other are two events, not a repetition."""
    mine = json.loads(SAMPLES[name]).get("id")
    others = {json.loads(text).get("id") for other, text in SAMPLES.items() if other != name}
    assert mine is None or mine not in others


def test_the_sample_of_the_benchmark_is_as_long_as_a_usual_event() -> None:
    """Throughput is measured with a body of about 2.2 kB."""
    assert 2100 < len(SAMPLES["stripe/payment_intent.succeeded"].encode()) < 2400
