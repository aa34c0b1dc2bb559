"""The installed program in processes: its commands, its listeners, and how they end.

The environment of each is made from nothing, so that neither the repository nor the shell of whoever runs the
tests reaches into it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from gateway.config import Config, load_config
from support.ports import free_ports
from support.process import Child
from support.waiting import PATIENCE, wait_until

PROGRAM = Path(sys.executable).parent / "gateway"

_LOG_TAIL = 6_000
# The shell becomes the program; standard error goes into a file of its own.
_SPLIT = 'exec "$@" 2>>"$0"'
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

Section = Mapping[str, Any]


def _standard_secret() -> str:
    return "whsec_" + b64encode(secrets.token_bytes(24)).decode()


@dataclass(frozen=True)
class Secrets:
    """One secret of each sender, new for each object."""

    stripe: str = field(default_factory=lambda: "whsec_" + secrets.token_urlsafe(24))
    github: str = field(default_factory=lambda: secrets.token_hex(24))
    acme: str = field(default_factory=lambda: secrets.token_hex(24))
    openai: str = field(default_factory=_standard_secret)
    partner: str = field(default_factory=_standard_secret)
    svix: str = field(default_factory=_standard_secret)

    def environment(self) -> dict[str, str]:
        """The variables that the configuration asks for."""
        return {f"{name.upper()}_WEBHOOK_SECRET": value for name, value in vars(self).items()}

    def expect_absent(self, *texts: str) -> None:
        """Raise if one of the texts has one of the secrets, with or without its prefix."""
        for name, value in vars(self).items():
            for text in texts:
                if value in text or value.removeprefix("whsec_") in text:
                    raise AssertionError(f"the secret of {name} stands in the output")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process: what any program needs, and ``extra``."""
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "COLUMNS": "200",
        **measured,  # set by `make coverage` alone
        **(extra or {}),
    }


def run_gateway(
    *arguments: str, cwd: Path, extra: Mapping[str, str] | None = None, timeout: float = PATIENCE
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end; its output comes without terminal escapes."""
    done = subprocess.run(
        [str(PROGRAM), *arguments],
        cwd=cwd,
        env=environment(extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    done.stdout, done.stderr = _ESCAPES.sub("", done.stdout), _ESCAPES.sub("", done.stderr)
    return done


class Program:
    """One long-running command, such as ``gateway tail``.

    Args:
        directory: its working directory, which also takes its output.
        arguments: of the command line.
        extra: the environment variables that it needs.

    Attributes:
        program: what is run with the arguments.
    """

    open_ones: list[Program] = []  # noqa: RUF012 -- what a failing test shows the output of

    def __init__(self, directory: Path, *arguments: str, extra: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.program: tuple[str, ...] = (str(PROGRAM),)
        self._arguments = arguments
        self.environment = environment(extra)
        name = f"{arguments[0]}-{secrets.token_hex(3)}"
        self.stdout_path = directory / f"{name}.stdout"
        self._stderr = directory / f"{name}.stderr"
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.open_ones.append(self)
        try:
            self.start()
        except BaseException as error:
            self._close(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        self.kill()
        self.open_ones.remove(self)
        if error:
            error.add_note(self.report())

    def start(self) -> None:
        """Start it, without waiting for anything."""
        argv = ["/bin/sh", "-c", _SPLIT, str(self._stderr), *self.program, *self._arguments]
        self._child = Child(argv, env=self.environment, cwd=self.directory, log=self.stdout_path)

    @property
    def child(self) -> Child:
        """The process."""
        if self._child is None:
            raise RuntimeError("not started")
        return self._child

    @property
    def log(self) -> Path:
        """The file of its standard output, where it may be too long to be read at once."""
        return self.stdout_path

    @property
    def stdout(self) -> str:
        """What it wrote so far, over all its starts."""
        return _ESCAPES.sub("", self.stdout_path.read_text("utf-8", "replace"))

    @property
    def stderr(self) -> str:
        """What it complained of so far."""
        return _ESCAPES.sub("", self._stderr.read_text("utf-8", "replace")) if self._stderr.exists() else ""

    def report(self) -> str:
        """Return the end of the output, to find out what went wrong."""
        command = " ".join(("gateway", *self._arguments))
        return f"--- {command}: stdout\n{self.stdout[-_LOG_TAIL:]}\n--- stderr\n{self.stderr[-_LOG_TAIL:]}"

    def wait_for(self, text: str, timeout: float = PATIENCE) -> None:
        """Wait until it has written ``text``, to either of its outputs."""

        def has_written() -> bool:
            if text in self.stdout + self.stderr:
                return True
            self._expect_running()
            return False

        wait_until(has_written, timeout, f"gateway {self._arguments[0]} wrote {text!r}")

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = PATIENCE) -> int:
        """Send a signal and return the exit code, which is negative where it had to be killed."""
        self.child.signal(number)
        return self.wait_for_end(timeout)

    def wait_for_end(self, timeout: float = PATIENCE) -> int:
        """Wait until it has ended by itself; the exit code, negative for a signal."""
        try:
            wait_until(lambda: not self.child.is_running, timeout, "it ended")
        except TimeoutError as error:
            error.add_note(self.report())
            raise
        self.child.kill()  # only its guard is left
        code = self.child.exit_code
        return -1 if code is None else code

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._child is not None:
            self._child.kill()

    def _expect_running(self) -> None:
        if not self.child.is_running:
            raise RuntimeError(f"it ended with {self.child.exit_code}\n{self.report()}")


class GatewayProcess(Program):
    """``gateway serve`` or ``gateway dev`` with a configuration of its own, on ports of its own.

    Args:
        directory: its working directory; config.yaml and the data go there.
        secrets: what its senders sign with.
        redis_url: embedded when left out.
        rabbitmq_url: embedded when left out.
        command: ``serve`` or ``dev``, with its options.
        overrides: settings by section that differ from the usual ones.
        wait_ready: whether to wait for /readyz, or only until it listens.
    """

    def __init__(
        self,
        directory: Path,
        secrets: Secrets,
        *,
        redis_url: str = "",
        rabbitmq_url: str = "",
        command: tuple[str, ...] = ("serve",),
        overrides: Mapping[str, Section] | None = None,
        wait_ready: bool = True,
    ) -> None:
        public, admin = free_ports(2)
        self.url = f"http://127.0.0.1:{public}"
        self.admin_url = f"http://127.0.0.1:{admin}"
        self.secrets = secrets
        self.config = directory / "config.yaml"
        self.config.write_text(json.dumps(configuration(public, admin, overrides or {}), indent=2), "utf-8")
        self.variables = secrets.environment() | {"REDIS_URL": redis_url, "RABBITMQ_URL": rabbitmq_url}
        self._wait_ready = wait_ready
        super().__init__(directory, *command, "--config", str(self.config), extra=self.variables)

    def start(self) -> None:
        """Start it, and return when it is ready, or at least listens."""
        super().start()
        if self._wait_ready:
            self.wait_ready()
        else:
            self.wait_live()

    def restart(self) -> None:
        """Kill it if need be, and start it again on the same ports with the same data."""
        self.kill()
        self.start()

    def wait_live(self, timeout: float = PATIENCE) -> None:
        """Wait until it answers at all."""
        self._wait_200("/livez", timeout)

    def wait_ready(self, timeout: float = PATIENCE) -> None:
        """Wait until it accepts events."""
        self._wait_200("/readyz", timeout)

    def get(self, path: str, *, admin: bool = False) -> httpx.Response:
        """What a GET of ``path`` is answered."""
        return httpx.get((self.admin_url if admin else self.url) + path, timeout=PATIENCE, trust_env=False)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens to senders."""
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)

    def wait_for_refusal(self, timeout: float = PATIENCE) -> None:
        """Wait until it takes no more connections."""

        def refuses() -> bool:
            try:
                socket.create_connection(self.address, timeout=PATIENCE).close()
            except OSError:
                return True
            return False

        wait_until(refuses, timeout, "it takes no more connections")

    def run(self, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run another command with the same configuration and environment."""
        return run_gateway(
            *arguments,
            "--config",
            str(self.config),
            cwd=self.directory,
            extra=self.variables,
            timeout=timeout,
        )

    def load(self) -> Config:
        """Return its configuration, with its secrets."""
        config = load_config(self.config, self.variables)
        return config.model_copy(update={"data_dir": self.directory / config.data_dir})

    def log_lines(self) -> list[dict[str, Any]]:
        """Its log; a line that is no JSON object raises."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def request_lines(self) -> list[dict[str, Any]]:
        """The lines about requests in its log."""
        return [line for line in self.log_lines() if line["event"] == "request"]

    def _wait_200(self, path: str, timeout: float) -> None:
        def answers() -> bool:
            self._expect_running()
            return self.get(path).status_code == 200

        wait_until(answers, timeout, f"{path} answered 200", forgive=(httpx.TransportError,))


def configuration(public: int, admin: int, overrides: Mapping[str, Section]) -> dict[str, Any]:
    """Return a configuration with one provider of every kind, and secrets from the environment."""
    content: dict[str, Any] = {
        "server": {"bind": f"127.0.0.1:{public}", "admin_bind": f"127.0.0.1:{admin}"},
        "redis": {"url": "${REDIS_URL:-embedded}"},
        "rabbitmq": {"url": "${RABBITMQ_URL:-embedded}"},
        "data_dir": "./var",
        "dedupe": {},
        "providers": {
            "stripe": {"adapter": "stripe", "secrets": ["${STRIPE_WEBHOOK_SECRET}"]},
            "github": {"adapter": "github", "secrets": ["${GITHUB_WEBHOOK_SECRET}"]},
            "openai": {"adapter": "openai", "secrets": ["${OPENAI_WEBHOOK_SECRET}"]},
            "partner": {"adapter": "standard_webhooks", "secrets": ["${PARTNER_WEBHOOK_SECRET}"]},
            "svix": {"adapter": "svix", "secrets": ["${SVIX_WEBHOOK_SECRET}"]},
            "acme": {
                "adapter": "hmac",
                "secrets": ["${ACME_WEBHOOK_SECRET}"],
                "signature": {
                    "header": "X-Acme-Signature",
                    "algorithm": "sha256",
                    "encoding": "hex",
                    "prefix": "sha256=",
                    "signed": "{timestamp}.{body}",
                    "timestamp": {"header": "X-Acme-Timestamp", "tolerance": "300s"},
                },
                "event_id": "body:/id",
                "event_type": "body:/event",
                "time": "body:/created_at",
            },
        },
    }
    for section, settings in overrides.items():
        content[section] = {**content.get(section, {}), **settings}
    return content
