"""The shape of the house: what imports what, and that every room says what it is for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gateway", "providers")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
IMPLEMENTATIONS = frozenset(
    f"gateway.{port}.{name}"
    for port in ("claims", "publishers", "worker.store")
    for name in ("memory", "sqlite", "redis", "resp", "rabbitmq", "amqp")
)


def imports_of(path: Path) -> Iterator[str]:
    """The modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_modules_are_found() -> None:
    """Else the other tests here prove nothing."""
    assert len(MODULES) > 40
    assert "gateway.claims.redis" in set(imports_of(Path("gateway/app.py")))


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    """In its first line."""
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8")))

    assert docstring
    assert docstring.splitlines()[0].strip()


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[0] == "providers"], ids=str)
def test_providers_are_pure(path: Path) -> None:
    """Nothing of the gateway, no sockets, no clock, no environment."""
    forbidden = {"gateway", "socket", "asyncio", "os", "httpx", "redis", "aio_pika", "random"}
    source = (ROOT / path).read_text("utf-8")

    assert not re.search(r"\btime\.(time|monotonic)\b|\.(utc)?now\(", source)
    assert set() == {name.partition(".")[0] for name in imports_of(path)} & forbidden


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_implementations_are_chosen_in_one_place(path: Path) -> None:
    """The composition roots know which store and which broker it is; everybody else knows the port alone.

    An implementation may use its own parts, and the parts of a sibling; the reader of the embedded queue makes queues as its writer does, a replay delivers to one
    queue as the publishers do, and a worker's store is one of claims with more to it.
    """
    permitted = {
        Path("gateway/app.py"): IMPLEMENTATIONS,
        Path("gateway/worker/app.py"): IMPLEMENTATIONS,
        Path("gateway/testing/gateway.py"): {"gateway.claims.memory", "gateway.publishers.memory"},
        Path("gateway/testing/steps.py"): {"gateway.worker.store.memory"},
        Path("gateway/testing/worker.py"): {"gateway.worker.store.memory"},
        Path("gateway/worker/store/memory.py"): {"gateway.claims.memory"},
        Path("gateway/worker/store/redis.py"): {"gateway.claims.redis"},
        Path("gateway/worker/store/sqlite.py"): {"gateway.claims.sqlite"},
        Path("gateway/claims/redis.py"): {"gateway.claims.resp"},
        Path("gateway/publishers/rabbitmq.py"): {"gateway.publishers.amqp"},
        Path("gateway/consumers/sqlite.py"): {"gateway.publishers.sqlite"},
        Path("gateway/replay/rabbitmq.py"): {"gateway.publishers.amqp"},
        Path("gateway/replay/sqlite.py"): {"gateway.publishers.sqlite"},
    }

    assert set() == (set(imports_of(path)) & IMPLEMENTATIONS) - set(permitted.get(path, ()))


@pytest.mark.parametrize(
    "path", [path for path in MODULES if "cli" not in path.parts and path.name != "cli.py"], ids=str
)
def test_the_program_does_not_know_its_command_line(path: Path) -> None:
    """Commands use the program, never the other way round."""
    if path == Path("gateway/__main__.py"):
        return
    assert not any(name.startswith("gateway.cli") for name in imports_of(path))


def test_the_names_of_files_can_stand_anywhere() -> None:
    """In a Makefile, which splits at blanks, and on file systems that know no colon."""
    names = [path.name for package in (*PACKAGES, "schemas") for path in (ROOT / package).rglob("*")]
    odd = [name for name in names if not re.fullmatch(r"[A-Za-z0-9._%-]+", name)]

    assert odd == []
