"""The bundled schemas accept what the providers really send."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.events.schemas import Catalogue

FOLDERS = [("stripe", "stripe"), ("github", "github"), ("github", "github-captures")]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    """Compile the bundled schemas once."""
    return Catalogue.bundled()


def deliveries(corpus: Path, folder: str) -> Iterator[tuple[str, str, Any]]:
    """Give file name, event type and parsed body of every delivery in a folder."""
    index = json.loads((corpus / folder / "index.json").read_text("utf-8"))
    for entry in index["files"]:
        body = json.loads((corpus / folder / entry["file"]).read_text("utf-8"))
        action = body.get("action") if folder.startswith("github") else None
        yield entry["file"], f"{entry['event_type']}.{action}" if action else entry["event_type"], body


@pytest.mark.parametrize(("adapter", "folder"), FOLDERS)
def test_every_real_delivery_passes_its_schema(
    catalogue: Catalogue, corpus: Path, adapter: str, folder: str
) -> None:
    """No delivery is refused by the schema that its event type leads to, and each event type leads to one."""
    refused, seen = [], 0
    for name, event_type, body in deliveries(corpus, folder):
        seen += 1
        schema = catalogue.find(adapter, event_type)
        if schema is None or not schema.is_valid(body):
            refused.append((name, schema and schema.id, schema and schema.explain(body)))
    assert not refused
    assert seen > 0


@pytest.mark.parametrize(("adapter", "folder"), FOLDERS)
def test_a_delivery_that_passes_has_nothing_to_explain(
    catalogue: Catalogue, corpus: Path, adapter: str, folder: str
) -> None:
    """The explanation finds no fault where the verdict finds none."""
    faulted = []
    for name, event_type, body in deliveries(corpus, folder):
        schema = catalogue.find(adapter, event_type)
        if schema is not None and schema.explain(body):
            faulted.append((name, schema.explain(body)))
    assert not faulted


@pytest.mark.parametrize("folder", ["github", "github-captures"])
def test_an_action_does_not_lead_away_from_the_schema_of_its_event(
    catalogue: Catalogue, corpus: Path, folder: str
) -> None:
    """Whatever the action, a GitHub delivery gets the schema of its event."""
    astray = []
    for name, event_type, _ in deliveries(corpus, folder):
        with_action = catalogue.find("github", event_type)
        without = catalogue.find("github", event_type.partition(".")[0])
        if with_action is None or without is None or with_action.id != without.id:
            astray.append(name)
    assert not astray
