"""A patch: what a careless change could do, and the test that is there against it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class StalePatchError(Exception):
    """Raised when a patch does not fit the product or the tests any more."""


class _Span(NamedTuple):
    """A part of a text, as offsets of characters."""

    start: int
    end: int


@dataclass(frozen=True)
class Patch:
    """One act of sabotage.

    Attributes:
        title: what the product does wrong with it.
        where: the file from the root of the repository, and behind ``::`` the function, class or constant in it that
            is changed, such as ``Class.method``; the file alone where it is not Python.
        old: the code in there that is replaced. It stands there once; how lines are broken does not matter.
        new: what replaces it.
        test: the test that fails then, as ``file::name``.
    """

    title: str
    where: str
    old: str
    new: str
    test: str

    @property
    def file(self) -> str:
        """The file that is changed, from the root of the repository."""
        return self.where.partition("::")[0]

    def apply(self, root: Path) -> str:
        """Change the file below ``root`` and return its text from before.

        Raises:
            StalePatchError: the code to replace is not there once.
        """
        text, span = self._find(root)
        (root / self.file).write_text(self._changed(text, span), "utf-8")
        return text

    def check(self, root: Path) -> None:
        """Check that the patch still fits.

        Raises:
            StalePatchError: the code to replace is not there once, what comes of it is no Python, or the test is not there.
        """
        changed = self._changed(*self._find(root))
        if self.file.endswith(".py"):
            try:
                ast.parse(changed)
            except SyntaxError as error:
                raise StalePatchError(f"{self.title}: {error}") from error
        file, _, name = self.test.partition("::")
        if name.partition("[")[0] not in _tests_in(root / file):
            raise StalePatchError(f"{self.title}: there is no {self.test}")

    def _changed(self, text: str, span: _Span) -> str:
        return text[: span.start] + self.new.strip() + text[span.end :]

    def _find(self, root: Path) -> tuple[str, _Span]:
        """Return the text of the file, and the position of the code to replace."""
        file, _, name = self.where.partition("::")
        text = (root / file).read_text("utf-8") if (root / file).exists() else ""
        scope = _scope_of(text, name) if name else _Span(0, len(text))
        if scope is None:
            raise StalePatchError(f"{self.title}: there is no {self.where}")
        pattern = r"\s+".join(map(re.escape, self.old.split()))
        found = list(re.compile(pattern).finditer(text, *scope))
        if len(found) != 1:
            raise StalePatchError(f"{self.title}: {len(found)} times in {self.where}:\n{self.old}")
        return text, _Span(*found[0].span())


def _scope_of(text: str, name: str) -> _Span | None:
    """Return the span of the function, class or constant called ``name``."""
    nodes: list[ast.stmt] = ast.parse(text).body
    node: ast.stmt | None = None
    for part in name.split("."):
        node = next((each for each in nodes if part in _names(each)), None)
        nodes = getattr(node, "body", [])
    if node is None or node.end_lineno is None:
        return None
    lines = [0]
    for line in text.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    return _Span(lines[first - 1], lines[node.end_lineno])


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


@lru_cache
def _tests_in(file: Path) -> frozenset[str]:
    if not file.exists():
        return frozenset()
    nodes = ast.parse(file.read_text("utf-8")).body
    return frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
