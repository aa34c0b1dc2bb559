"""The facts about the machine without which the numbers mean nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from support.programs import ProgramMissingError, locate

_LIBRARIES = (
    *("uvicorn", "uvloop", "httptools", "starlette", "redis", "hiredis", "aio-pika", "aiormq"),
    *("orjson", "jsonschema", "jsonschema-rs", "pydantic", "fastapi", "faststream"),
)


def facts() -> dict[str, str]:
    """Return them by name, in the order in which they are printed."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{_memory_gib():.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {_build()}",
        "Redis": _first_version("redis-server", "--version"),
        "RabbitMQ": _rabbitmq_version(),
        "Node.js": _first_version("node", "--version"),
        "libraries": ", ".join(f"{name} {found}" for name in _LIBRARIES if (found := _library(name))),
    }


def _build() -> str:
    """Return how the interpreter was built, which makes a tenth of a difference or more."""
    arguments = sysconfig.get_config_var("CONFIG_ARGS") or ""
    profile = "with" if "--enable-optimizations" in arguments else "without"
    links = "with" if "--with-lto" in arguments else "without"
    return (
        f"{platform.python_compiler()}, {profile} profile-guided optimisation, {links} link-time optimisation"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _first_version(program: str, option: str) -> str:
    try:
        done = subprocess.run([locate(program), option], capture_output=True, text=True, check=False)
    except ProgramMissingError:
        return "not installed"
    found = re.search(r"\d+\.\d+\.\d+", done.stdout)
    return found.group() if found else "unknown"


def _rabbitmq_version() -> str:
    # Asking the program would boot an Erlang machine; its directory has the version in its name.
    try:
        home = Path(locate("rabbitmq-server")).resolve().parent.parent
    except ProgramMissingError:
        return "not installed"
    found = re.search(r"\d+\.\d+\.\d+", home.name)
    return found.group() if found else "unknown"


def _library(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
