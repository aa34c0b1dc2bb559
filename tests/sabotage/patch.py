"""A patch: what a careless change could do, and the test that is there against it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class StalePatchError(Exception):
    """A patch does not fit the product or the tests any more."""


@dataclass(frozen=True)
class Patch:
    """One act of sabotage.

    Attributes:
        title: what the product does wrong with it.
        file: the file that is changed, from the root of the repository.
        old: the text that is replaced; it stands in the file exactly once.
        new: what it is replaced by.
        test: the test that fails then, as ``file::name``.
    """

    title: str
    file: str
    old: str
    new: str
    test: str

    def apply(self, root: Path) -> str:
        """Change the file below ``root``, and return its text from before.

        Raises:
            StalePatchError: the text to replace is not there once.
        """
        text = self._read(root)
        (root / self.file).write_text(text.replace(self.old, self.new), "utf-8")
        return text

    def check(self, root: Path) -> None:
        """See whether it still fits.

        Raises:
            StalePatchError: the text to replace is not there once, or the test is not there.
        """
        self._read(root)
        file, _, name = self.test.partition("::")
        if name.partition("[")[0] not in _tests_in(root / file):
            raise StalePatchError(f"{self.title}: there is no {self.test}")

    def _read(self, root: Path) -> str:
        path = root / self.file
        text = path.read_text("utf-8") if path.exists() else ""
        if text.count(self.old) != 1:
            raise StalePatchError(f"{self.title}: {text.count(self.old)} times in {self.file}:\n{self.old}")
        return text


@lru_cache
def _tests_in(file: Path) -> frozenset[str]:
    if not file.exists():
        return frozenset()
    nodes = ast.parse(file.read_text("utf-8")).body
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
