"""A private Redis that a test may kill, suspend and start again."""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from support.ports import free_port
from support.process import Child
from support.programs import locate
from support.waiting import PATIENCE, wait_until

_MAX_STARTS = 5
"""How often a server is started whose ports were taken."""


@dataclass(frozen=True)
class ServerTls:
    """The PEM files of servers that ask their clients, and each other, for a certificate."""

    ca: str
    cert: str
    key: str

    def settings(self, port: int) -> dict[str, str]:
        """Return the settings of a server that also listens on this port."""
        return {
            "tls-port": str(port),
            "tls-ca-cert-file": self.ca,
            "tls-cert-file": self.cert,
            "tls-key-file": self.key,
            "tls-auth-clients": "yes",
            "tls-replication": "yes",
        }


class RedisServer:
    """One `redis-server` on a port of its own, without persistence.

    Nothing is written to disk, so a restart comes back empty. That is the harsher case, and the one the
    gateway promises to survive: losing a claim may cost a duplicate, never an event.
    """

    def __init__(self, *options: str, tls: ServerTls | None = None) -> None:
        self.port = free_port()
        self.tls_port = free_port() if tls else 0
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._program = locate("redis-server")
        self._options = options
        if tls:
            settings = tls.settings(self.tls_port)
            self._options += tuple(word for name, value in settings.items() for word in (f"--{name}", value))
        self._directory = Path(tempfile.mkdtemp(prefix="redis-"))
        self._child: Child | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._child is None:
            raise RuntimeError("this Redis was not started")
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Tell whether the process exists, suspended or not."""
        return self._child is not None and self._child.is_running

    def start(self) -> None:
        """Start on the same port as before, and return when it answers."""
        if self.is_running:
            return
        child = Child(
            [
                *(self._program, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", str(self._directory)),
                *("--daemonize", "no", "--enable-debug-command", "yes"),
                *self._options,
            ],
            log=self._directory / "redis.log",
        )
        self._child = child

        def is_ready() -> bool:
            child.expect_running()
            return self.answers()

        try:
            wait_until(is_ready, message="Redis answers PING", forgive=(OSError,))
        except BaseException:
            self.kill()
            raise

    def answers(self, timeout: float = 1.0) -> bool:
        """Tell whether PING is answered with PONG; "LOADING" is not an answer, a wish for a password is."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))

    def flush(self) -> None:
        """Forget everything."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(b"FLUSHALL SYNC\r\n")
            if connection.recv(64) != b"+OK\r\n":
                raise RuntimeError("Redis refused FLUSHALL")

    def stop(self) -> None:
        """Let it end in order."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._child is not None:
            self._child.kill()

    def suspend(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        if self._child is not None:
            self._child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `suspend`."""
        if self._child is not None:
            self._child.signal(signal.SIGCONT)

    def ensure_running(self) -> None:
        """Repair what an earlier test left behind."""
        self.resume()
        self.start()

    def close(self) -> None:
        """End it and remove its directory."""
        # Nothing is kept, so there is nothing that an orderly end would save.
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


def enter_on_free_ports(stack: ExitStack, make: Callable[[], RedisServer]) -> RedisServer:
    """Start a server that ``make`` returns; another one, on other ports, if somebody has taken one meanwhile."""
    for _ in range(_MAX_STARTS - 1):
        try:
            return stack.enter_context(make())
        except RuntimeError as error:
            if "Address already in use" not in str(error):
                raise
    return stack.enter_context(make())
