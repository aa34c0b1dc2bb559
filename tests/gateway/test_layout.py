"""The shape of the house: what may import what, and that every module says what it is for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from support.repository import ROOT

LAYERS = (
    {"__main__"},
    {"cli", "pytest_plugin"},
    {"server", "testing"},
    {"app", "hosting"},
    {"console"},
    {"operations"},
    {"backends", "http"},
    {"receive", "worker", "outbound"},
    {"claims", "queues", "journal"},
    {"config", "devtools", "observability", "publishers"},
    {"events", "supervisor"},
    {"errors"},
    {"adapters"},
    {"signatures", "transport"},
)
"""The rooms from top to bottom. A room imports those below its own layer; the rooms of one layer do not know each other."""

LAYER_OF = {room: depth for depth, layer in enumerate(LAYERS) for room in layer}
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "gateway").rglob("*.py"))
IMPLEMENTATIONS = {"memory", "sqlite", "redis", "redis_packed", "rabbitmq", "embedded", "tail", "postgresql"}
"""Names of modules that implement a port. They may use each other; :mod:`gateway.backends` opens them."""

PORTS = {"claims", "journal", "outbound", "publishers", "queues", "worker"}
"""The rooms that have such modules."""

MAX_ROOT_MODULES = 8
MAX_LINES = 400


def name_of(path: Path) -> str:
    """Return the dotted name of a module."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


NAMES = {name_of(path) for path in MODULES}


def tree_of(path: Path) -> ast.Module:
    """Parse a module."""
    return ast.parse((ROOT / path).read_text("utf-8"))


@cache
def imports_of(path: Path) -> frozenset[str]:
    """Return the modules of the gateway that a module imports, wherever in it, types included."""
    return frozenset(name for name in _names_imported(path) if name in NAMES)


def _names_imported(path: Path) -> Iterator[str]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room_of(name: str) -> str:
    """Return the room that a module lies in, or the module itself if it lies at the root."""
    return name.split(".")[1] if "." in name else name


def test_the_modules_are_found() -> None:
    """Otherwise the tests below would prove nothing."""
    assert len(MODULES) > 150
    assert "gateway.receive.pipeline" in imports_of(Path("gateway/receive/receiver.py"))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """Each has a docstring."""
    docstring = ast.get_docstring(tree_of(path))

    assert docstring
    assert docstring.splitlines()[0].strip()


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_go_down(path: Path) -> None:
    """A module imports its own room and the layers below; no room is missing from the list."""
    room = room_of(name_of(path))
    if room == "gateway":  # its __init__ is empty
        assert not imports_of(path)
        return
    upwards = sorted(
        name
        for name in imports_of(path)
        if name != "gateway" and room_of(name) != room and LAYER_OF[room_of(name)] <= LAYER_OF[room]
    )

    assert not upwards


def test_no_modules_import_each_other() -> None:
    """Also not inside of a room, and not even for types: there are no cycles."""
    waiting = {name_of(path): set(imports_of(path)) - {name_of(path)} for path in MODULES}
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]

    assert not waiting


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_implementations_are_chosen_in_one_place(path: Path) -> None:
    """Everything but ``backends`` and the test kit knows the port alone; an implementation may build on another."""
    name = name_of(path)
    if (
        name == "gateway.backends"
        or room_of(name) in {"testing", "transport"}
        or path.stem in IMPLEMENTATIONS
    ):
        return
    used = {each for each in imports_of(path) if room_of(each) in PORTS}

    assert not {each for each in used if each.rpartition(".")[2] in IMPLEMENTATIONS}


def test_the_root_holds_few_modules() -> None:
    """What is new goes into a room."""
    assert (
        len([path for path in MODULES if len(path.parts) == 2 and path.stem != "__init__"])
        <= MAX_ROOT_MODULES
    )


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_module_is_long(path: Path) -> None:
    """A module that needs more lines is two modules."""
    assert len((ROOT / path).read_text("utf-8").splitlines()) <= MAX_LINES


PURE = [path for path in MODULES if path.parts[1] in {"signatures", "adapters"}]
OUTSIDE = {
    "os",
    "sys",
    "socket",
    "ssl",
    "random",
    "secrets",
    "uuid",
    "asyncio",
    "threading",
    "subprocess",
    "logging",
}
OUTSIDE |= {"urllib.request", "http", "httpx", "requests", "redis", "aio_pika", "starlette", "structlog"}


@pytest.mark.parametrize("path", PURE, ids=str)
def test_what_proves_a_request_is_pure(path: Path) -> None:
    """No clock, environment or network. Chance is only where a secret is made to try a scheme with."""
    names = set(_names_imported(path))
    found = (names | {name.partition(".")[0] for name in names}) & OUTSIDE

    assert found <= ({"secrets"} if path.name == "base.py" else set())


@pytest.mark.parametrize("path", PURE, ids=str)
def test_what_proves_a_request_does_not_ask_for_the_time(path: Path) -> None:
    """Now is an argument: of the module `time`, only what formats a given moment may be used."""
    nodes = list(ast.walk(tree_of(path)))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    assert {node.attr for node in attributes} & {"now", "utcnow", "today", "environ", "getenv"} == set()
    of_time = {
        node.attr for node in attributes if isinstance(node.value, ast.Name) and node.value.id == "time"
    }
    assert of_time <= {"gmtime", "strftime"}
    assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "time"]
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    for call in calls:
        assert isinstance(call.func, ast.Attribute)
        if call.func.attr in {"gmtime", "strftime"}:  # without its last argument it means the present
            assert len(call.args) == {"gmtime": 1, "strftime": 2}[call.func.attr]


def test_the_names_of_files_can_stand_anywhere() -> None:
    """In a Makefile, which splits at blanks, and on file systems that know no colon."""
    names = [
        path.name for folder in ("gateway", "providers", "schemas") for path in (ROOT / folder).rglob("*")
    ]
    odd = [name for name in names if not re.fullmatch(r"[A-Za-z0-9._%-]+", name)]

    assert odd == []
