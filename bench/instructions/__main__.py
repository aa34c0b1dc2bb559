"""Count the instructions of the gateway for each request, and print them beside the floor's and the budgets."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.grid import NOTHING, TIMES, Grid
from bench.instructions import budgets
from bench.instructions.cases import CASES
from bench.instructions.counting import Count, count, unavailable_reason

_MAX_FUNCTIONS = 25


def main(arguments: Sequence[str]) -> int:
    """Count as the command line says."""
    options = _parse(arguments)
    console = Console()
    if reason := unavailable_reason():
        console.print(f"[red]{reason}[/red]")
        return 2
    with tempfile.TemporaryDirectory(prefix="instructions-") as folder:
        counts = count(Path(folder), _with_floors(options.only or list(CASES)))
    budget = budgets.current(budgets.read())
    console.print(table(counts, budget).on_screen())
    for name in options.functions:
        for each in counts:
            if each.case == name:
                console.print(functions(each).on_screen())
    if options.save:
        budgets.add(counts, options.save)
        console.print(f"Written to {budgets.PATH.name}")
        return 0
    verdict = budgets.compare(counts, budget) if budget else budgets.Verdict()
    for line in verdict.beyond:
        console.print(f"[red]beyond its budget: {line}[/red]")
    for line in verdict.generous:
        console.print(f"the budget can be lowered: {line}")
    return 1 if verdict.beyond else 0


def table(counts: Sequence[Count], budget: budgets.Budget | None) -> Grid:
    """Arrange the counts beside the floor and the budget."""
    counted = {(each.case, each.width): each.instructions for each in counts}
    rows = []
    for (name, width), instructions in counted.items():
        limit = budget.of(name, width) if budget else None
        rows.append(
            (
                name,
                str(width),
                f"{instructions / 1000:,.1f}",
                f"{instructions / counted[CASES[name].floor, width]:.2f}",
                f"{limit / 1000:,.1f}" if limit else NOTHING,
            )
        )
    columns = ("", "at a time", "instructions", f"{TIMES} floor", "budget")
    return Grid(
        f"Thousands of instructions for each request, Python {platform.python_version()}", columns, rows
    )


def functions(counted: Count) -> Grid:
    """Arrange the C functions in which most instructions are spent."""
    rows = [
        (name[:70], f"{instructions:,.0f}", f"{instructions / counted.instructions:.1%}")
        for name, instructions in counted.functions.most_common(_MAX_FUNCTIONS)
    ]
    return Grid(f"{counted.case}, {counted.width} at a time", ("function", "instructions", "share"), rows)


def _with_floors(names: Sequence[str]) -> list[str]:
    wanted = {*names, *(CASES[name].floor for name in names)}
    return [name for name in CASES if name in wanted]


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.instructions",
        description=(
            "Count the instructions that the installed gateway takes for each request, with valgrind: the same number "
            "whatever else the machine does. Ends with 1 if one is beyond its budget."
        ),
    )
    known = ", ".join(CASES)
    parser.add_argument(
        "--only",
        choices=list(CASES),
        metavar="CASE",
        action="append",
        help=f"count this case, again for more ({known})",
    )
    parser.add_argument(
        "--functions",
        choices=list(CASES),
        metavar="CASE",
        action="append",
        default=[],
        help="show in which C functions the instructions of this case are spent; again for more",
    )
    parser.add_argument(
        "--save",
        metavar="REASON",
        help="append what was counted to the budgets, with the reason for the change",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
