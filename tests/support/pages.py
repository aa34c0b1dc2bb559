"""The blocks of the documentation, and a terminal that runs those of one page as they are printed."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from support.ports import free_ports
from support.process import Child

_FENCE = re.compile(
    r'^(?P<indent> *)```(?P<kind>\w+)(?: title="(?P<title>[^"]+)")?[^\n]*\n(?P<text>.*?)^(?P=indent)```$',
    re.MULTILINE | re.DOTALL,
)
_SECRET = "0123456789abcdef0123456789abcdef"
"""Stands for what a reader copies from a dashboard: a page writes …"""

_TIMEOUT = 60.0
"""Seconds that a program may take to start, or to print what the page says that it prints."""

_REDIRECTION = re.compile(r" > (\S+)$")

_EXIT_CODE = re.compile(r"# exit code (\d+)$")
"""What a page writes behind a command that is meant to fail."""

_SERVERS = ("gateway dev", "gateway serve")
_STAYS = (*_SERVERS, "gateway worker", "gateway tail", "gateway events tail", "python ")
"""The beginnings of commands that run until they are stopped."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        kind: Its language.
        title: The name of the file that it is, or empty.
        text: Its text without the indentation of the fence.
    """

    kind: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block, and the lines that the page prints below it."""

    line: str
    printed: tuple[str, ...] = ()

    @property
    def stays(self) -> bool:
        """Whether it runs until it is stopped."""
        return self.line.startswith(_STAYS) and "--check" not in self.line


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page, those in tabs and lists included."""
    return [
        Block(found["kind"], found["title"] or "", textwrap.dedent(found["text"]))
        for found in _FENCE.finditer(page)
    ]


def commands_of(block: Block) -> list[Command]:
    """Return the commands of a block; a block of ``sh`` is one."""
    if block.kind == "sh":
        return [Command(block.text.strip())]
    commands: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:]))
        elif commands and line.strip():
            last = commands.pop()
            commands.append(Command(last.line, (*last.printed, line)))
    return commands


def is_printed(lines: Sequence[str], output: str) -> bool:
    """Return whether ``output`` has these lines, in this order; … stands for any text."""
    pattern = r"(?:.*\n)*?".join(
        r"[ \t]*" + ".*".join(map(re.escape, line.strip().split("…"))) + r"[ \t]*(?:\n|\Z)" for line in lines
    )
    return re.search(f"^{pattern}", output, re.MULTILINE) is not None


class Terminal:
    """Runs the commands of one page in one folder, with servers at private ports in the places of the usual ones.

    Args:
        folder: The folder, which is empty at first.
        addresses: What to write for addresses in commands and files, by what the page has.
    """

    def __init__(self, folder: Path, addresses: Mapping[str, str]) -> None:
        self.folder = folder
        public, admin, metrics = free_ports(3)
        self._addresses = {
            **addresses,
            ":8080": f":{public}",
            ":8081": f":{admin}",
            ":9464": f":{metrics}",
        }
        self._admin = admin
        self._running: list[tuple[Command, Child]] = []
        self._environment = folder / ".environment"
        self._bin = folder / ".bin"
        self._bin.mkdir()
        self._write_gateway(public, admin)
        self._variables = {
            "HOME": str(folder),
            "PATH": f"{self._bin}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, program in reversed(self._running):
            program.stop()

    def _write_gateway(self, public: int, admin: int) -> None:
        """Write a ``gateway`` that listens at private ports, and sends to them."""
        program = shlex.quote(str(Path(sys.executable).parent / "gateway"))
        script = self._bin / "gateway"
        script.write_text(
            f"""#!/bin/sh
case "$1 $*" in
  dev*|serve*) exec {program} "$@" --bind 127.0.0.1:{public} --admin-bind 127.0.0.1:{admin};;
  *--url*) ;;
  send*) exec {program} "$@" --url "http://127.0.0.1:{public}/webhooks/$2";;
esac
exec {program} "$@"
"""
        )
        script.chmod(0o755)

    def write(self, name: str, text: str) -> None:
        """Write a file of the page."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._translated(text))

    def run(self, command: Command) -> str:
        """Run a command; start it if it stays. Return why it did not do what the page says, or an empty text."""
        if command.stays:
            return self._start(command)
        found = _EXIT_CODE.search(command.line)
        expected = int(found[1]) if found else 0
        end = time.monotonic() + _TIMEOUT
        while True:
            done = self._shell(command.line)
            output = done.stdout + done.stderr
            if done.returncode == expected and is_printed(self._lines(command), output):
                return ""
            if not _can_be_repeated(command.line) or time.monotonic() > end:
                said = (
                    f"exit code {done.returncode}"
                    if is_printed(self._lines(command), output)
                    else "other output"
                )
                return f"{command.line}\n{said}:\n{output}\n{self.report()}"
            time.sleep(0.5)

    def await_output(self) -> str:
        """Wait until the programs that stay have printed what the page says. Return what is missing."""
        end = time.monotonic() + _TIMEOUT
        for command, program in self._running:
            while not is_printed(self._lines(command), program.log.read_text()):
                if time.monotonic() > end:
                    return f"{command.line} did not print {command.printed}:\n{self.report()}"
                time.sleep(0.2)
        return ""

    def report(self) -> str:
        """Return what the programs that stay have printed."""
        return "\n".join(
            f"--- {command.line}\n{program.log.read_text()[-3000:]}" for command, program in self._running
        )

    def _lines(self, command: Command) -> list[str]:
        return [self._translated(line) for line in command.printed]

    def _translated(self, text: str) -> str:
        for usual, private in self._addresses.items():
            text = text.replace(usual, private)
        return text

    def _shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line in a shell that goes on where the last one ended."""
        if line.startswith("export "):
            line = line.replace("…", _SECRET)
        script = f". {self._environment} 2>/dev/null; {self._translated(line)}\ncode=$?; export -p >{self._environment}; exit $code"
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self._variables,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )

    def _start(self, command: Command) -> str:
        if command.line.startswith(_SERVERS):
            self._stop(_SERVERS)
        redirected = _REDIRECTION.search(command.line)
        log = self.folder / (redirected[1] if redirected else f".log-{len(self._running)}")
        line = self._translated(_REDIRECTION.sub("", command.line))
        script = f". {self._environment} 2>/dev/null; exec {line}"
        program = Child(["bash", "-c", script], log=log, env=self._variables, cwd=self.folder)
        self._running.append((command, program))
        end = time.monotonic() + _TIMEOUT
        while not self._has_started(command, log):
            if not program.is_running or time.monotonic() > end:
                return f"{command.line} did not start:\n{log.read_text()}"
            time.sleep(0.1)
        return ""

    def _has_started(self, command: Command, log: Path) -> bool:
        if command.line.startswith(_SERVERS):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._admin}/readyz", timeout=5):
                    return True
            except OSError:
                return False
        return "worker started" in log.read_text() or not command.line.startswith("gateway worker")

    def _stop(self, beginnings: tuple[str, ...]) -> None:
        for command, program in self._running:
            if command.line.startswith(beginnings) and program.is_running:
                program.stop()


def _can_be_repeated(line: str) -> bool:
    """Return whether a command only looks, so that it may be asked again until the events have arrived."""
    looks = ("curl ", "grep ", "gateway events ", "gateway status", "gateway secrets")
    return line.startswith(looks) or " list" in line or line.endswith("--dry-run")
