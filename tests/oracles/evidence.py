"""The evidence for each adapter, gathered from the test data; `make evidence` writes evidence.yaml."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from gateway.adapters import registry
from gateway.devtools.provider_reference import Evidence, EvidenceKind

TESTS = Path(__file__).resolve().parent.parent
EVIDENCE = TESTS / "gateway" / "adapters" / "evidence.yaml"

_HEAD = """\
# What proves each adapter: signatures that its sender published (vector), libraries that accept what is signed here
# or sign what is accepted here (oracle), real deliveries (corpus). `make evidence` writes it, and docs/providers/index.md is made from it.
"""
_CORPUS_NAMES = {"bitbucket": "bitbucket_cloud", "github-captures": "github", "whatsapp": "meta"}
"""Folders of real deliveries that are not called as their adapters are."""


def evidence(folders: Iterable[str] | None = None) -> Evidence:
    """By adapter; ``folders`` are those of the real deliveries, and what was known of them holds where they are not here."""
    known = yaml.safe_load(EVIDENCE.read_text("utf-8"))
    real = {name for name in known if "corpus" in known[name]} if folders is None else _adapters_of(folders)
    found: dict[EvidenceKind, Mapping[str, list[str]]] = {
        "vector": {name: [] for name in _vectors()},
        "oracle": _libraries(),
        "corpus": {name: [] for name in real},
    }
    return {
        name: {proof: by[name] for proof, by in found.items() if name in by}
        for name in registry.names()
        if any(name in by for by in found.values())
    }


def _libraries() -> dict[str, list[str]]:
    """Who accepted what we sign, or signed what we accept."""
    libraries: dict[str, set[str]] = {}
    for entry in json.loads((TESTS / "oracles/recorded.json").read_bytes()):
        libraries.setdefault(entry["adapter"], set()).update(
            {entry["signed_by"], *entry["accepted_by"]} - {"us"}
        )
    return {name: sorted(by, key=str.lower) for name, by in libraries.items()}


def _vectors() -> set[str]:
    """The adapters that a published signature is for: in the files of them, and in the tests of single ones."""
    data = [path.read_text("utf-8") for path in (TESTS / "gateway").glob("*/vectors*.yaml")]
    listed = {adapter for text in data for vector in yaml.safe_load(text) for adapter in vector["adapters"]}
    single = re.findall(
        r'registry\.load\("(\w+)"\)', (TESTS / "gateway/signatures/test_vectors.py").read_text("utf-8")
    )
    return listed | set(single)


def _adapters_of(folders: Iterable[str]) -> set[str]:
    names = {_CORPUS_NAMES.get(folder, folder.replace("-", "_")) for folder in folders}
    return names & set(registry.names())


if __name__ == "__main__":
    gathered = evidence([path.name for path in Path(sys.argv[1]).iterdir()] if sys.argv[1:] else None)
    text = yaml.safe_dump(gathered, sort_keys=False, default_flow_style=None, width=110)
    EVIDENCE.write_text(_HEAD + text, "utf-8")
