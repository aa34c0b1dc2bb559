"""The budgets: how many instructions a request may take, with the reason for each change.

``budgets.toml`` has one entry for each change and version of Python, and the last one of a version is valid. A version
without one is compared with another of the same minor version, within a wider tolerance: most of what builds differ by
is scaled away by the floor, which was counted with the budget, but not all.
"""

from __future__ import annotations

import datetime as dt
import platform
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.instructions.cases import CASES, WIDTHS
from bench.instructions.counting import Count

PATH = Path(__file__).with_name("budgets.toml")

TOLERANCE = 0.02
"""By how much a count may be above its budget: what builds of one version and of libraries still differ by."""

OTHER_VERSION_TOLERANCE = 0.08
"""The same for a budget of another version of Python: a build that is optimised by a profile gains unevenly."""

SLACK = 0.05
"""By how much a count may be below its budget before the budget should be lowered: more would hide a regression."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One entry.

    Attributes:
        date: The day on which it was made.
        python: The version of Python.
        reason: Why the budget is what it is.
        instructions: Thousands of instructions of each request, by case, one number for each of :data:`WIDTHS`.
    """

    date: dt.date
    python: str
    reason: str
    instructions: dict[str, list[float]]

    def of(self, case: str, width: int) -> float | None:
        """Return the instructions of a case; None if it has no budget."""
        numbers = self.instructions.get(case)
        return numbers[WIDTHS.index(width)] * 1000 if numbers else None


@dataclass(slots=True)
class Verdict:
    """What a comparison with a budget has found, one line each.

    Attributes:
        beyond: The cases that take more than they may.
        generous: The cases whose budget should be lowered.
    """

    beyond: list[str] = field(default_factory=list)
    generous: list[str] = field(default_factory=list)


def read(path: Path = PATH) -> list[Budget]:
    """Read all entries, the oldest first."""
    return [_parse(entry) for entry in tomllib.loads(path.read_text("utf-8")).get("budget", [])]


def current(budgets: Sequence[Budget], python: str | None = None) -> Budget | None:
    """Return the valid budget for a version of Python, by default the running one; None if there is none."""
    wanted = python or platform.python_version()
    of_minor = [budget for budget in reversed(budgets) if _minor(budget.python) == _minor(wanted)]
    return next((budget for budget in of_minor if budget.python == wanted), next(iter(of_minor), None))


def compare(counts: Sequence[Count], budget: Budget, python: str | None = None) -> Verdict:
    """Compare what was counted under a version of Python, by default the running one, with a budget."""
    verdict = Verdict()
    is_same = budget.python == (python or platform.python_version())
    tolerance = TOLERANCE if is_same else OTHER_VERSION_TOLERANCE
    counted = {(count.case, count.width): count.instructions for count in counts}
    scale = _scale(counted, budget)
    for (name, width), instructions in counted.items():
        limit = budget.of(name, width)
        if name == CASES[name].floor or limit is None or scale is None:
            continue
        limit *= scale
        line = f"{name}, {width} at a time: {instructions:,.0f} instructions, budget {limit:,.0f} ({instructions / limit - 1:+.1%})"
        if instructions > limit * (1 + tolerance):
            verdict.beyond.append(line)
        elif is_same and instructions < limit * (1 - SLACK):
            verdict.generous.append(line)
    return verdict


def _scale(counted: dict[tuple[str, int], float], budget: Budget) -> float | None:
    """Return how many instructions the floors take now for one that they took then; None without a floor.

    It is the median: a floor is counted 7 % lower once in many runs, which must not make all the rest too expensive.
    """
    ratios = [
        instructions / then
        for (name, width), instructions in counted.items()
        if name == CASES[name].floor and (then := budget.of(name, width))
    ]
    return median(ratios) if ratios else None


def add(counts: Sequence[Count], reason: str, path: Path = PATH) -> None:
    """Append what was counted as the new budget of the running Python."""
    lines = [
        "",
        "[[budget]]",
        f"date = {dt.datetime.now(dt.UTC):%Y-%m-%d}",
        f'python = "{platform.python_version()}"',
    ]
    lines.append(f'reason = "{reason}"')
    for name in dict.fromkeys(count.case for count in counts):
        numbers = ", ".join(f"{count.instructions / 1000:.1f}" for count in counts if count.case == name)
        lines.append(f'"{name}" = [{numbers}]')
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def _minor(version: str) -> str:
    return version.rpartition(".")[0]


def _parse(entry: dict[str, Any]) -> Budget:
    rest = dict(entry)
    return Budget(rest.pop("date"), rest.pop("python"), rest.pop("reason"), rest)
