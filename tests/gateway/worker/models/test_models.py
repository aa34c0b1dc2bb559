"""The typed events: made from the bundled schemas, and true of every sample and every recorded delivery."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any, assert_type

import pytest

from gateway.adapters import registry
from gateway.devtools.samples import sample_names
from gateway.testing import sample
from gateway.worker import Dead
from gateway.worker.models import github, stripe
from gateway.worker.models.github import IssuesEvent
from gateway.worker.models.stripe import Invoice, StripeEvent
from support.corpus import deliveries
from support.repository import ROOT

GENERATOR = ROOT / "scripts/generate-models"
class_name = runpy.run_path(str(GENERATOR))["class_name"]
KEPT = ROOT / "tests/corpus"


def model_of(adapter: str, event_type: str, data: Any) -> Any:
    """Return the class of an event."""
    if adapter == "github":
        return getattr(github, f"{class_name(event_type)}Event", None)
    path = ROOT / "schemas/stripe" / f"{event_type}.json"
    schema = json.loads(path.read_text("utf-8")) if path.exists() else {}
    reference = re.search(r'"urn:[^"]+:stripe:_(?!envelope)([^:"]+):1"', json.dumps(schema))
    kind = reference[1] if reference else data.get("data", {}).get("object", {}).get("object", "")
    model: Any = getattr(stripe, class_name(kind), None)
    return StripeEvent[model] if model else None


def examples() -> list[Any]:
    """Return the examples of all schemas of both providers, with their file."""
    return [
        pytest.param(adapter, path.stem, example, id=f"{adapter}-{path.stem}-{number}")
        for adapter in ("github", "stripe")
        for path in sorted((ROOT / "schemas" / adapter).glob("[!_]*.json"))
        for number, example in enumerate(json.loads(path.read_text("utf-8"))["examples"])
    ]


def test_the_modules_are_up_to_date() -> None:
    """Made anew by `make models`."""
    done = subprocess.run(
        [sys.executable, str(GENERATOR), "--check"], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.parametrize(("adapter", "name", "example"), examples())
def test_every_example_of_a_schema_is_of_its_class(adapter: str, name: str, example: Any) -> None:
    """Thin events of Stripe have no object, and no class."""
    model = model_of(adapter, name, example)
    assert model is not None or (adapter == "stripe" and "object" not in (example.get("data") or {})), name
    if model is not None:
        assert model.model_validate(example).model_dump(exclude_unset=True, by_alias=True) == example


@pytest.mark.parametrize("adapter", ["github", "stripe"])
def test_every_sample_is_of_its_class(adapter: str) -> None:
    """By the way that a handler takes."""
    for event_type in sample_names(registry.load(adapter)):
        event = sample(adapter, event_type)
        model = model_of(
            adapter, event.eventtype.partition(".")[0] if adapter == "github" else event_type, event.data
        )
        if event_type != "ping":
            assert event.data_as(model).model_dump(exclude_unset=True, by_alias=True) == event.data


@pytest.mark.parametrize("folder", ["kept", "all"])
def test_every_recorded_delivery_is_of_its_class(folder: str, request: pytest.FixtureRequest) -> None:
    """With all that it has, also what its class does not name."""
    root: Path = KEPT if folder == "kept" else request.getfixturevalue("corpus")
    seen = 0
    for delivery in deliveries(root):
        adapter = delivery.adapter.name
        if adapter not in {"github", "stripe"} or delivery.fields is not None:
            continue
        data = json.loads(delivery.body)
        event_type = delivery.event_type or ""
        model = model_of(adapter, event_type.partition(".")[0] if adapter == "github" else event_type, data)
        if model is not None:
            seen += 1
            kept = model.model_validate(data).model_dump(exclude_unset=True, by_alias=True)
            assert kept.keys() == data.keys(), delivery.name
    assert seen >= 2


def test_a_type_checker_knows_the_attributes() -> None:
    """And the data that does not match goes to the dead-letter queue."""
    invoice = sample("stripe", "invoice.payment_failed").data_as(StripeEvent[Invoice]).data.object
    issue = sample("github", "issues.opened").data_as(IssuesEvent)

    assert_type(invoice.amount_due, int | None)
    assert_type(issue.issue.number, int | None)
    assert_type(issue.action, str)
    assert invoice.amount_due
    assert issue.issue.number == 11
    with pytest.raises(Dead, match="issue: Field required"):
        sample("github", "push").data_as(IssuesEvent)
