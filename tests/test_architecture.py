"""The page of the architecture is about this code: its layers, its tree, and the functions that it names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support.repository import ROOT

PAGE = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"\[((?!\w+\.py\])\w+(?:\.\w+)?)\]\(\.\./(gateway/[\w/]+\.py)\)", PAGE)))


def _block(name: str) -> str:
    return PAGE.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]


def test_the_page_has_the_layers_that_the_tests_hold_the_code_to() -> None:
    """From top to bottom, in `LAYERS` of the layout's test."""
    tree = ast.parse((ROOT / "tests/gateway/test_layout.py").read_text("utf-8"))
    (layers,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["LAYERS"]
    )
    lines = re.findall(r"^\d+\. (.+)$", _block("layers"), re.MULTILINE)

    assert [set(re.findall(r"`(\w+)`", line)) for line in lines] == list(layers)


def test_the_page_has_every_room_and_every_module_at_the_root() -> None:
    """And no other; what a module is called that starts with underscores explains itself."""
    named = set(re.findall(r"^\| `gateway/(\w+)(?:/|\.py)` \|", _block("tree"), re.MULTILINE))
    found = {path.parent.name for path in (ROOT / "gateway").glob("*/__init__.py")}
    found |= {path.stem for path in (ROOT / "gateway").glob("[!_]*.py")}

    assert named == found


@pytest.mark.parametrize(("name", "path"), NAMED, ids=[name for name, _ in NAMED])
def test_what_the_page_names_is_in_that_module(name: str, path: str) -> None:
    """A class or a function that it defines, or a method of such a class."""
    owner, _, method = name.partition(".")
    definitions = {
        node.name: node
        for node in ast.parse((ROOT / path).read_text("utf-8")).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert owner in definitions
    if method:
        assert method in {
            node.name
            for node in ast.walk(definitions[owner])
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }


def test_every_implementation_that_the_page_names_is_there() -> None:
    """Of the ports, in whose table paths begin inside of `gateway/`."""
    paths = re.findall(r"`([\w/]+\.py)`", PAGE.partition("## Ports")[2].partition("\n## ")[0])
    missing = [
        path for path in paths if not (ROOT / "gateway" / path).exists() and Path(path).name != "backends.py"
    ]

    assert paths
    assert missing == []
