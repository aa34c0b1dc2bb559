"""What a command loads before it does anything: loading is most of the time that a short command takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.gateway_process import GatewayProcess, Secrets, environment

HELP = {"pydantic", "yaml", "rich", "structlog", "jsonschema", "asyncio", "cryptography", "orjson", "sqlite3"}
"""Too heavy for help and version."""

BY_TYPER = {"pydantic"}
"""Loaded by Typer itself for the arguments of a subcommand."""

ANY = {
    "aio_pika",
    "aiormq",
    "httpx",
    "jsonschema",
    "opentelemetry",
    "prometheus_client",
    "pygments",
    "redis",
    "rich.console",
    "starlette",
    "uvicorn",
}
"""Too heavy for a command that reads a file and the embedded database."""


def loaded_by(*words: str, cwd: Path, extra: dict[str, str] | None = None) -> set[str]:
    """Return the modules that are loaded when a command has ended."""
    script = (
        "import atexit, json, os, sys\n"
        "atexit.register(lambda: os.write(3, json.dumps(list(sys.modules)).encode()))\n"
        f"sys.argv = {['gateway', *words]!r}\n"
        "from gateway.cli import main\n"
        "main()\n"
    )
    command = f'exec 3>modules.json; exec "{sys.executable}" -c "$SCRIPT"'
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=cwd,
        env=environment({"SCRIPT": script, **(extra or {})}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    return set(json.loads((cwd / "modules.json").read_text()))


@pytest.mark.parametrize(
    "words", [["--version"], ["version"], ["--help"], ["send", "--help"], ["dead", "--help"]], ids=" ".join
)
def test_help_and_version_load_next_to_nothing(words: list[str], tmp_path: Path) -> None:
    """Neither the configuration nor any store."""
    loaded = loaded_by(*words, cwd=tmp_path)

    assert not loaded & (
        HELP if words[-1] in {"--version", "--help"} and len(words) == 1 else HELP - BY_TYPER
    )
    assert not {
        name for name in loaded if name.startswith(("gateway.config", "gateway.backends", "gateway.worker"))
    }


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["dead", "list", "agent"],
        ["quarantine", "list"],
        ["replay", "--since", "1h", "--dry-run"],
        ["spool", "show"],
        ["forget", "stripe", "evt_1"],
        ["schemas", "show", "stripe", "invoice.paid"],
        ["providers", "stripe"],
        ["send", "stripe", "--curl"],
    ],
    ids=" ".join,
)
def test_a_command_loads_only_what_it_needs(words: list[str], tmp_path: Path) -> None:
    """No server, no client of one, nothing that draws on a terminal. httpx loads rich where its own command is installed."""
    gateway = GatewayProcess(tmp_path, Secrets())
    config = [] if words[0] in {"providers", "schemas"} else ["--config", str(gateway.config)]
    loaded = loaded_by(*words, *config, cwd=tmp_path, extra=gateway.variables)

    needed = {"send": {"httpx", "pygments", "rich.console"}, "check": {"jsonschema"}}
    assert not loaded & ANY - needed.get(words[0], set())


def test_structlog_is_loaded_without_rich(tmp_path: Path) -> None:
    """It would load rich for tracebacks that are never printed; a table can still load it later."""
    script = (
        "import sys; from gateway.observability.lean_structlog import load_structlog; load_structlog(); load_structlog();"
        "print('rich.console' in sys.modules, 'structlog' in sys.modules); import rich.console, rich.pretty, rich.traceback"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert done.stdout.split() == ["False", "True"]
