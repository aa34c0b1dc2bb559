"""The servers that are compared, and how each is started."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench import recipe, samples
from support.ports import free_port, free_ports
from support.process import Child
from support.waiting import wait_until

NAMES = ("floor", "gateway", "recipe", "fastify")
TITLES = {
    "floor": "a bare ASGI app that reads the body and answers 202",
    "gateway": "this program at its shipped defaults",
    "recipe": "FastAPI, redis-py, aio-pika and jsonschema, one await each",
    "fastify": "Fastify, ioredis, amqplib with confirms and ajv on Node.js, as a small service would have them",
}
_EXCHANGES = {"gateway": "webhooks", "recipe": recipe.EXCHANGE, "fastify": "fastify"}
ROOT = Path(__file__).resolve().parent.parent
_FASTIFY = Path(__file__).with_name("peers") / "fastify"


class NotInstalledError(RuntimeError):
    """The gateway's command is not next to the running interpreter."""


class PeerMissingError(RuntimeError):
    """A contender of others cannot run on this machine; the rest is measured without it."""


@dataclass(slots=True)
class Contender:
    """A started server."""

    name: str
    port: int
    child: Child
    exchange: str | None
    admin_port: int = 0

    @property
    def pid(self) -> int:
        """The process id."""
        return self.child.pid

    @property
    def admin_url(self) -> str:
        """The address of the gateway's health checks and metrics."""
        return f"http://127.0.0.1:{self.admin_port}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a server is given: where the others are, a secret, and a directory."""

    directory: Path
    secret: str
    redis_url: str = ""
    rabbitmq_url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every process of the benchmark."""
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return inherited | {
            "REDIS_URL": self.redis_url,
            "RABBITMQ_URL": self.rabbitmq_url,
            samples.SECRET_VARIABLE: self.secret,
        }


def start(name: str, surroundings: Surroundings) -> Contender:
    """Start a contender and return when it is ready."""
    directory = surroundings.directory / name
    directory.mkdir()
    environment = surroundings.environment
    admin_port = 0
    if name == "gateway":
        # Without PYTHONPATH: the installed wheel is what users get, the source tree is not.
        port, admin_port = free_ports(2)
        argv = [gateway_command(), "serve", "--config", str(_configure(directory, port, admin_port))]
    elif name == "fastify":
        port = free_port()
        argv = ["node", str(install_fastify() / "app.js")]
        environment |= {
            "PORT": str(port),
            "BENCH_SCHEMA": json.dumps(recipe.SCHEMA),
            "NODE_ENV": "production",
        }
    else:
        port = free_port()
        argv = [sys.executable, "-m", f"bench.{name}"]
        environment |= {"PYTHONPATH": str(ROOT), "PORT": str(port)}
    child = Child(argv, env=environment, cwd=directory, log=directory / "output.log")

    def is_ready() -> bool:
        child.expect_running()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status in (200, 202)

    try:
        wait_until(is_ready, 60.0, f"{name} is ready", forgive=(OSError,))
    except BaseException:
        child.kill()
        raise
    return Contender(name=name, port=port, child=child, exchange=_EXCHANGES.get(name), admin_port=admin_port)


def install_fastify(folder: Path | None = None) -> Path:
    """Install the stack on Node.js beside the virtual environment, and return its folder.

    Raises:
        PeerMissingError: Node.js, npm or the packages are missing.
    """
    folder = folder or Path(sys.prefix) / "bench/fastify"
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise PeerMissingError(f"{program} is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    for path in _FASTIFY.iterdir():
        shutil.copy(path, folder)
    command = [
        "npm",
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--ignore-scripts",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerMissingError(
            f"npm cannot install its packages: {(done.stderr or done.stdout).strip()[-300:]}"
        )
    return folder


def gateway_command() -> str:
    """Return the path of the installed command."""
    # Not resolved: the interpreter of a virtual environment is a link out of it.
    command = Path(sys.executable).parent / "gateway"
    if not command.exists():
        raise NotInstalledError(f"{command} does not exist; install the gateway, or use --only floor,recipe")
    return str(command)


def _configure(directory: Path, port: int, admin_port: int) -> Path:
    """Write a configuration that sets what it must and leaves the rest at the shipped defaults."""
    path = directory / "config.yaml"
    configuration = {
        "server": {"bind": f"127.0.0.1:{port}", "admin_bind": f"127.0.0.1:{admin_port}"},
        "redis": {"url": "${REDIS_URL}"},
        "rabbitmq": {"url": "${RABBITMQ_URL}", "exchange": _EXCHANGES["gateway"]},
        "data_dir": str(directory / "data"),
        "providers": {"stripe": {"adapter": "stripe", "secrets": [f"${{{samples.SECRET_VARIABLE}}}"]}},
    }
    path.write_text(yaml.safe_dump(configuration, sort_keys=False))
    return path
