"""The programs that call the libraries of one language, and the environments of these libraries."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from oracles.cases import THEIRS, Case

HERE = Path(__file__).resolve().parent


class Asked(NamedTuple):
    """A request, and what a library is told besides what we are.

    Attributes:
        case: the request.
        extras: by their names.
    """

    case: Case
    extras: Mapping[str, str]

    def job(self) -> dict[str, Any]:
        """What a program reads."""
        case = self.case
        theirs = THEIRS.get(case.adapter, str)
        return {
            "adapter": case.adapter,
            "method": "POST",
            "url": case.url,
            "headers": case.headers,
            "body": base64.b64encode(case.body.encode()).decode(),
            "secret": theirs(case.secret),
            "parameters": {**case.parameters, **self.extras},
        }


class Program:
    """What asks the libraries of one language.

    Args:
        folder: where they are installed.
        command: is run there, reads requests and writes verdicts.

    Attributes:
        verifies: the adapters that a library can verify for.
        signs: the adapters that a library can sign for.
    """

    def __init__(self, folder: Path, *command: str) -> None:
        self._folder = folder
        self._command = command
        known = self._ask("")
        self.verifies: list[str] = known["verify"]
        self.signs: list[str] = known["sign"]

    def verify(self, asked: Sequence[Asked]) -> list[Any]:
        """Who judges these requests of one adapter, and then why each is refused, None where it is not."""
        verdicts = self._ask(json.dumps({"verify": [each.job() for each in asked], "sign": []}))["verify"]
        return [verdicts[0]["by"], *(verdict["refused"] for verdict in verdicts)]

    def sign(self, asked: Asked) -> tuple[str, Case]:
        """Who signs a request, and how it looks then."""
        (made,) = self._ask(json.dumps({"verify": [], "sign": [asked.job()]}))["sign"]
        body = base64.b64decode(made["body"]).decode()
        return made["by"], replace(asked.case, headers=asked.case.headers | made["headers"], body=body)

    def _ask(self, text: str) -> Any:
        done = subprocess.run(
            self._command, cwd=self._folder, input=text, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{self._command[-1]} failed:\n{done.stderr}")
        return json.loads(done.stdout)


def install_pypi(folder: Path) -> Program:
    """The Python libraries; their requirements contradict each other, and are overruled."""
    python = folder / "bin" / "python"
    if not python.exists():
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", "uv")
        what = ["--requirement", str(HERE / "pypi.txt"), "--override", str(HERE / "pypi-overrides.txt")]
        _run(str(folder / "bin" / "uv"), "pip", "install", "--quiet", "--python", str(python), *what)
    return Program(folder, str(python), "-W", "ignore", str(HERE / "pypi.py"))


def install_npm(folder: Path) -> Program:
    """The JavaScript libraries."""
    if not (folder / "node_modules").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        packages = (HERE / "npm.txt").read_text("utf-8").split()
        (folder / "package.json").write_text('{"private": true}')
        _run("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *packages)
    return Program(folder, "node", str(shutil.copy(HERE / "npm.mjs", folder / "ask.mjs")))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"})
