"""A private PostgreSQL that a test may kill, suspend and start again with its data."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from support.ports import free_port
from support.process import Child, as_user, descendants
from support.programs import locate
from support.waiting import wait_until

USER = "gateway"
PASSWORD = "password-of-the-tests"
"""A password that tests can look for where it must not be."""

# They refuse to run as root. The first is there wherever Debian's package is, the second everywhere.
_ACCOUNTS = ("postgres", "nobody")

# The data of a test need not survive a power cut; a killed server keeps them all the same.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "logging_collector": "off",
    "max_connections": "50",
    "shared_buffers": "32MB",
    "unix_socket_directories": "",
}


class PostgreSQLServer:
    """One `postgres` with a port, a password and a data directory of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._data = self._directory / "data"
        self._user = _unprivileged_user()
        self._numbers = itertools.count(1)
        self._child: Child | None = None

    def __enter__(self) -> Self:
        try:
            self._create_cluster()
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def database_url(self, name: str) -> str:
        """Return the address of a database."""
        return f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._child is None:
            raise RuntimeError("this PostgreSQL was not started")
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Tell whether the process exists, suspended or not."""
        return self._child is not None and self._child.is_running

    def _create_cluster(self) -> None:
        if self._user is not None:
            shutil.chown(self._directory, self._user)
        password = self._directory / "password"
        password.write_text(PASSWORD)
        # The user that reads it may not be the one that runs the tests.
        password.chmod(0o644)
        done = subprocess.run(
            [
                *(locate("initdb"), "--pgdata", str(self._data), "--username", USER, "--no-sync"),
                *("--auth", "scram-sha-256", "--pwfile", str(password)),
                *("--encoding", "UTF8", "--no-locale"),
            ],
            **as_user(self._user),
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"initdb: {done.stderr or done.stdout}")

    def start(self) -> None:
        """Start on the same port as before, with the old data, and return when it takes a query."""
        if self.is_running:
            return
        child = Child(
            [
                *(locate("postgres"), "-D", str(self._data), "-p", str(self.port)),
                *(word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")),
            ],
            log=self._directory / "postgresql.log",
            cwd=self._directory,
            user=self._user,
        )
        self._child = child

        def is_ready() -> bool:
            child.expect_running()
            return self.answers()

        try:
            wait_until(is_ready, message="PostgreSQL takes a query", forgive=(psycopg.OperationalError,))
        except BaseException:
            self.kill()
            raise

    def answers(self, timeout: int = 2) -> bool:
        """Tell whether a query is answered; raises psycopg.OperationalError when it cannot be reached."""
        with self._connect(timeout) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)

    def create_database(self) -> str:
        """Create an empty database and return its name."""
        name = f"test_{next(self._numbers)}"
        with self._connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database, and end the connections to it."""
        with self._connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _connect(self, timeout: int = 30) -> psycopg.Connection:
        url = self.database_url("postgres")
        return psycopg.connect(url, autocommit=True, connect_timeout=timeout)

    def stop(self) -> None:
        """Let it end in order; the data stay."""
        if self._child is not None:
            # On SIGTERM alone it would wait for its clients to leave.
            self._child.signal(signal.SIGINT)
            self._child.stop()

    def kill(self) -> None:
        """End it as a power cut would; the data stay as they are."""
        if self._child is not None:
            self.resume()
            self._child.kill()

    def suspend(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `suspend`."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        """Send a signal to the server and to the processes that serve its connections."""
        if self.is_running:
            for pid in (self.pid, *descendants(self.pid)):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)

    def ensure_running(self) -> None:
        """Repair what an earlier test left behind."""
        self.resume()
        self.start()

    def close(self) -> None:
        """End it and remove its directory."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


def _unprivileged_user() -> str | None:
    """Return the account to run the server as; None if that is our own."""
    if os.geteuid() != 0:
        return None
    names = {account.pw_name for account in pwd.getpwall()}
    return next(name for name in _ACCOUNTS if name in names)
