"""evidence.yaml agrees with the test data."""

from __future__ import annotations

from pathlib import Path

import yaml

from oracles.evidence import EVIDENCE, evidence


def test_the_evidence_is_up_to_date() -> None:
    """Made anew by `make evidence`."""
    assert yaml.safe_load(EVIDENCE.read_text("utf-8")) == evidence()


def test_there_are_real_deliveries_of_those_that_are_proven_by_them(corpus: Path) -> None:
    """And nobody is forgotten."""
    assert evidence() == evidence(path.name for path in corpus.iterdir())


def test_most_adapters_are_proven_by_others_than_us() -> None:
    """By a published signature or a library."""
    proven = [name for name, proofs in evidence().items() if proofs.keys() & {"vector", "oracle"}]
    assert len(proven) >= 80
