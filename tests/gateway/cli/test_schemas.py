"""`gateway schemas`: listing and showing the bundled schemas, and inferring one from samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from gateway.errors import OperatorError
from gateway.events.schemas import Catalogue, Schema, check_document
from gateway.events.schemas.formatting import format_schema
from gateway.events.schemas.infer import infer
from support.repository import ROOT

ORDERS = [
    {"id": 1, "note": None, "lines": [{"sku": "a", "price": 1}], "buyer": {"name": "x"}},
    {"id": "b", "lines": [{"sku": "b", "price": 1.5, "gift": True}, 3], "buyer": None, "note": None},
]


def run(*words: str | Path) -> Result:
    """What `gateway schemas` does with these words; a mistake of the operator is raised."""
    return CliRunner().invoke(app, ["schemas", *map(str, words)], catch_exceptions=False)


def written(folder: Path, *values: Any) -> list[Path]:
    """A file for each value."""
    paths = [folder / f"{number}.json" for number in range(len(values))]
    for path, value in zip(paths, values, strict=True):
        path.write_text(json.dumps(value))
    return paths


def test_all_schemas_are_listed_with_title_and_id() -> None:
    """Or those of one adapter; and which of them is the envelope."""
    everything, one = run("list"), run("list", "stripe")
    schemas = Catalogue.bundled()

    assert len(everything.stdout.splitlines()) == sum(
        len(schemas.event_types(each)) for each in schemas.adapters()
    )
    assert len(one.stdout.splitlines()) == len(schemas.event_types("stripe"))
    assert one.stdout.splitlines()[0].split() == [
        "stripe/_envelope", "Stripe", "event", "urn:webhook-gateway:schema:stripe:_envelope:1",
    ]  # fmt: skip
    assert "_envelope applies to all event types" in one.stderr


@pytest.mark.parametrize(
    ("event_type", "name"), [("push", "push"), ("issues.opened", "issues"), ("never.heard", "_envelope")]
)
def test_the_schema_is_shown_that_an_event_is_held_to(event_type: str, name: str) -> None:
    """As it is written, with its file."""
    done = run("show", "github", event_type)

    assert json.loads(done.stdout) == json.loads((ROOT / f"schemas/github/{name}.json").read_text("utf-8"))
    assert f"schemas/github/{name}.json" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "nobody"], "there are no bundled schemas for adapter 'nobody'; there are schemas for"),
        (["show", "nobody", "x"], "there are no bundled schemas for adapter 'nobody'"),
        (["infer", "gone.json"], "gone.json: No such file or directory"),
        (["infer", __file__], "is not JSON that the gateway accepts"),
    ],
)
def test_what_cannot_be_done_is_told(words: list[str], said: str) -> None:
    """With the name that is wrong."""
    with pytest.raises(OperatorError, match=said):
        run(*words)


def test_a_proposal_is_lean() -> None:
    """Required is what all samples have, null alone is no type, and other names may come along."""
    assert infer(ORDERS, "urn:test:order", "Acme: order") == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:test:order",
        "title": "Acme: order",
        "description": "What has happened, in one sentence.",
        "type": "object",
        "required": ["id", "note", "lines", "buyer"],
        "properties": {
            "id": {"type": ["integer", "string"]},
            "note": {},
            "lines": {
                "type": "array",
                "items": {
                    "type": ["integer", "object"],
                    "required": ["sku", "price"],
                    "properties": {
                        "sku": {"type": "string"},
                        "price": {"type": "number"},
                        "gift": {"type": "boolean"},
                    },
                },
            },
            "buyer": {
                "type": ["object", "null"],
                "required": ["name"],
                "properties": {"name": {"type": "string"}},
            },
        },
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON, min_size=1, max_size=3), st.integers(1, 5), st.booleans())
def test_a_proposal_is_a_schema_that_its_samples_fit(
    samples: list[Any], depth: int, with_example: bool
) -> None:
    """Whatever they are; and it passes the lint, and is written without loss."""
    proposal = infer(samples, "urn:test:any", "any", depth=depth, with_example=with_example)
    check_document(proposal, "here")
    schema = Schema(proposal, {})

    assert all(schema.is_valid(sample) for sample in samples)
    assert json.loads(format_schema(proposal)) == proposal
    assert ("examples" in proposal) is with_example


def test_a_proposal_goes_no_deeper_than_it_is_told(tmp_path: Path) -> None:
    """What is nested as deep as an event may be is described as far as a schema may be."""
    deep: Any = 1
    for _ in range(31):
        deep = {"a": deep}
    path, *_ = written(tmp_path, deep)
    for depth in (1, 16):
        assert run("infer", path, "--depth", str(depth)).stdout.count('"properties"') == depth


def test_the_proposal_of_the_command_is_named_as_told(tmp_path: Path) -> None:
    """With the first sample as its example."""
    done = run("infer", *written(tmp_path, *ORDERS), "--id", "urn:x", "--title", "X", "--with-example")
    proposal = json.loads(done.stdout)

    assert (proposal["$id"], proposal["title"], proposal["examples"]) == ("urn:x", "X", ORDERS[:1])
