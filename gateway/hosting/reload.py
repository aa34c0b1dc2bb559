"""Run a command again whenever the source files of a module change, for development.

A look at 200 files takes 1.8 ms of CPU, twice a second (2026-11-30). watchfiles would save that, and is one more compiled
wheel in every installation, of 450 kB.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

_POLL_DELAY = 0.5
"""Seconds between two looks at the files."""

_SETTLING_DELAY = 0.1
"""Seconds in which no file may change before the command is started again: editors write in several steps."""

_IGNORED_FOLDERS = {"__pycache__", "node_modules", "site-packages"}

Snapshot = Mapping[Path, tuple[int, int]]


class Reloader:
    """Runs ``command`` until a signal, and again after each change of the files that belong to ``module``.

    Args:
        command: The program and its arguments.
        module: The name of the module, such as ``billing.agent``.
        others: Other files whose change starts the command again, such as the configuration.
        report: Called with each line for the person at the terminal.
    """

    def __init__(
        self, command: Sequence[str], module: str, others: Sequence[Path], report: Callable[[str], None]
    ) -> None:
        self._command = list(command)
        self._module = module
        self._others = list(others)
        self._report = report
        self._child: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()

    def run(self) -> int:
        """Run until SIGTERM or SIGINT, and return the exit code of the command."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        seen = self._look()
        child = self._start()
        is_reported = False
        while not self._ending.wait(_POLL_DELAY):
            found = self._look()
            if found != seen:
                found = self._wait_until_settled(found)
                changed, seen = _differences(seen, found), found
                names = ", ".join(sorted({path.name for path in changed}))
                if mistakes := [text for path in changed if (text := _syntax_error(path))]:
                    state = "still running as before" if child.poll() is None else "waiting for a change"
                    self._report("\n".join([*mistakes, f"{names} changed, but cannot be loaded; {state}"]))
                    continue
                self._report(f"{names} changed; restarting")
                self._stop(child)
                if not self._ending.is_set():
                    child, is_reported = self._start(), False
            elif child.poll() is not None and not is_reported:
                self._report(f"the worker ended with exit code {child.returncode}; waiting for a change")
                is_reported = True
        return child.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        # Without bytecode: Python compares times of whole seconds, and would run what was there before a quick change.
        variables = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        self._child = subprocess.Popen(self._command, env=variables)  # noqa: S603 -- our own command
        return self._child

    def _stop(self, child: subprocess.Popen[bytes]) -> None:
        """End the command gracefully, however long it takes to finish what is in flight."""
        child.send_signal(signal.SIGTERM)
        child.wait()

    def _on_signal(self, number: int, _: object) -> None:
        self._ending.set()
        # A terminal sends SIGINT to the child as well; a second signal would end it without its grace.
        if self._child and not (number == signal.SIGINT and sys.stdin.isatty()):
            self._child.send_signal(signal.SIGTERM)

    def _look(self) -> Snapshot:
        files: dict[Path, tuple[int, int]] = {}
        for path in (*_sources(self._module), *self._others):
            try:
                state = path.stat()
            except OSError:  # removed meanwhile, or a link to nowhere
                continue
            files[path] = state.st_mtime_ns, state.st_size
        return files

    def _wait_until_settled(self, found: Snapshot) -> Snapshot:
        while True:
            time.sleep(_SETTLING_DELAY)
            before, found = found, self._look()
            if found == before:
                return found


def _sources(module: str) -> Iterator[Path]:
    """Yield the source files of the package that ``module`` is in, or those beside it if it is in none."""
    top = module.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is not None and spec.submodule_search_locations:
        for folder in spec.submodule_search_locations:
            for root, folders, names in os.walk(folder):
                folders[:] = [
                    name for name in folders if not name.startswith(".") and name not in _IGNORED_FOLDERS
                ]
                yield from (Path(root, name) for name in names if name.endswith(".py"))
    else:
        folder_of_module = Path(spec.origin).parent if spec and spec.origin else Path.cwd()
        yield from folder_of_module.glob("*.py")


def _differences(before: Snapshot, after: Snapshot) -> list[Path]:
    return [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]


def _syntax_error(path: Path) -> str:
    """Return where the file is no Python, in one line; empty if it is, or is gone."""
    if path.suffix != ".py":
        return ""
    try:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"{path}:{error.lineno or 1}: {error.msg}"
    except (OSError, ValueError):  # ValueError: null bytes, while the file is being written
        return ""
    return ""
