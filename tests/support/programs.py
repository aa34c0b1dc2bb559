"""Where the servers' programs are on this machine.

The environment variable ``WEBHOOK_TEST_PROGRAMS`` names directories with other versions of them, separated as in ``PATH``:
``/opt/rabbitmq/sbin:/opt/valkey/bin``. There ``valkey-server`` stands for ``redis-server``, and ``valkey-cli`` for ``redis-cli``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Debian's /usr/sbin/rabbitmq-* are wrappers that insist on the system's user and its system-wide node; the
# scripts behind them run as anybody. Hence this directory first, and PATH where another system has no such place.
_BEFORE_PATH = ("/usr/lib/rabbitmq/bin",)
_AFTER_PATH = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/erlang/bin")

# Debian keeps each version of PostgreSQL in a directory of its own, which no PATH names.
_POSTGRESQL = Path("/usr/lib/postgresql")


class ProgramMissingError(RuntimeError):
    """A server's program is not installed."""


def locate(program: str) -> str:
    """Return the absolute path of `program`."""
    chosen = os.environ.get("WEBHOOK_TEST_PROGRAMS", "")
    directories = [*_BEFORE_PATH, *os.get_exec_path(), *_AFTER_PATH, *_postgresql_directories()]
    found = (
        shutil.which(program, path=chosen)
        or shutil.which(program.replace("redis-", "valkey-"), path=chosen)
        or shutil.which(program, path=os.pathsep.join(directories))
    )
    if found is None:
        raise ProgramMissingError(f"{program} is not installed")
    return found


def locate_one_of(*programs: str) -> str:
    """Return the absolute path of the first of `programs` that is installed: distributions differ in names."""
    for program in programs:
        try:
            return locate(program)
        except ProgramMissingError:
            continue
    raise ProgramMissingError(f"{programs[0]} is not installed")


def _postgresql_directories() -> list[str]:
    """Return the directories of the programs of PostgreSQL, the newest version first."""
    versions = (path for path in _POSTGRESQL.glob("*/bin") if path.parent.name.isdigit())
    return [str(path) for path in sorted(versions, key=lambda path: -int(path.parent.name))]
