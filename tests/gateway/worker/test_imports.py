"""What importing the package loads: a module with handlers is imported by tests and by other programs."""

from __future__ import annotations

import json
import subprocess
import sys

LOADED = {
    "gateway",
    "gateway.transport",
    "gateway.transport.topic_patterns",
    "gateway.worker",
    "gateway.worker.errors",
    "gateway.worker.event",
    "gateway.worker.http_responses",
    "gateway.worker.rate_limit",
    "gateway.worker.runnable",
    "gateway.worker.steps",
    "gateway.worker.typed_data",
    "gateway.worker.worker",
}
"""Every module of the gateway that the public names need. One more costs each program that has handlers."""

HEAVY = {
    "aio_pika",
    "aiormq",
    "cryptography",
    "hiredis",
    "httptools",
    "httpx",
    "jsonschema",
    "opentelemetry",
    "prometheus_client",
    "redis",
    "starlette",
    "structlog",
    "typer",
    "uvicorn",
    "uvloop",
    "yaml",
}


def modules_loaded_by(name: str) -> set[str]:
    """Return the modules that are loaded in a new process after importing ``name``."""
    source = f"import json, sys, {name}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_worker_loads_nothing_of_the_server() -> None:
    """Neither servers, clients and configuration, nor the rest of the gateway: pydantic is the largest part."""
    loaded = modules_loaded_by("gateway.worker")

    assert {name for name in loaded if name.partition(".")[0] == "gateway"} == LOADED
    assert not HEAVY & loaded


def test_the_pytest_plugin_loads_nothing_of_the_gateway() -> None:
    """Every run of pytest in the environment loads it, and few use a fixture."""
    loaded = modules_loaded_by("gateway.pytest_plugin")

    assert {name for name in loaded if name.partition(".")[0] == "gateway"} == {
        "gateway",
        "gateway.pytest_plugin",
    }
