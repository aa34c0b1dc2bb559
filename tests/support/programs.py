"""Where the servers' programs are on this machine."""

from __future__ import annotations

import os
import shutil

# Debian's /usr/sbin/rabbitmq-* are wrappers that insist on the system's user and its system-wide node; the
# scripts behind them run as anybody. Hence this directory first, and PATH where another system has no such place.
_BEFORE_PATH = ("/usr/lib/rabbitmq/bin",)
_AFTER_PATH = ("/usr/sbin", "/usr/local/sbin", "/usr/lib/erlang/bin")


class ProgramMissingError(RuntimeError):
    """A server's program is not installed."""


def locate(program: str) -> str:
    """Return the absolute path of `program`."""
    directories = [*_BEFORE_PATH, *os.get_exec_path(), *_AFTER_PATH]
    found = shutil.which(program, path=os.pathsep.join(directories))
    if found is None:
        raise ProgramMissingError(f"{program} is not installed")
    return found
