"""The recorded verdicts of the senders' own libraries still hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from oracles.cases import Case
from support.deliveries import secrets_of

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "recorded.json").read_bytes())
each = pytest.mark.parametrize(
    "entry", RECORDED, ids=lambda entry: f"{entry['adapter']} signed by {entry['signed_by']}"
)


def case_of(entry: Mapping[str, Any]) -> Case:
    """The request of an entry."""
    return Case(**{name: value for name, value in entry.items() if name not in {"signed_by", "accepted_by"}})


@each
def test_what_both_sides_accepted_is_accepted(entry: dict[str, Any]) -> None:
    """Whichever of them signed it."""
    assert case_of(entry).refusal() is None


@each
def test_what_both_sides_refused_is_refused(entry: dict[str, Any]) -> None:
    """Another body, where the signature covers it, and another secret."""
    case = case_of(entry)
    assert case.refusal(secrets_of(case.adapter).receiver) is not None
    if spoiled := case.spoiled():
        assert spoiled.refusal() is not None


def test_libraries_of_many_senders_were_asked() -> None:
    """In both directions."""
    judged = {entry["adapter"] for entry in RECORDED if entry["signed_by"] == "us"}
    signed = {entry["adapter"] for entry in RECORDED if entry["signed_by"] != "us"}
    assert len(judged) >= 80
    assert len(signed) >= 20
