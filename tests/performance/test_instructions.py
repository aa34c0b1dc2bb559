"""The gate: the gateway takes no more instructions for a request than its budget has."""

from __future__ import annotations

import platform
import warnings
from collections import Counter
from pathlib import Path

import pytest

from bench.instructions import budgets
from bench.instructions.budgets import Budget
from bench.instructions.cases import CASES, WIDTHS
from bench.instructions.counting import GROUPS, Count, count, unavailable_reason
from support.requirements import require


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("default::pytest.PytestWarning")
def test_no_request_takes_more_instructions_than_its_budget(tmp_path: Path) -> None:
    """Whatever else the machine does. A budget that has become too large is reported."""
    require("valgrind", "redis-server")
    if reason := unavailable_reason():
        pytest.skip(reason)
    budget = budgets.current(budgets.read())
    if budget is None:
        pytest.skip(
            f"Python {platform.python_version()} has no budget; make instructions ARGS='--save …' adds one"
        )

    verdict = budgets.compare(count(tmp_path), budget)

    assert not verdict.beyond
    if verdict.generous:
        warnings.warn(pytest.PytestWarning("lower the budgets: " + "; ".join(verdict.generous)), stacklevel=1)


def test_each_budget_says_why_it_is_what_it_is() -> None:
    """In a sentence of its own; and each has all cases."""
    entries = budgets.read()

    assert entries == sorted(entries, key=lambda entry: entry.date)
    assert len({(entry.python, entry.reason) for entry in entries}) == len(entries)
    for entry in entries:
        assert len(entry.reason.split()) >= 3
        assert set(entry.instructions) == set(CASES)
        assert all(len(numbers) == len(WIDTHS) for numbers in entry.instructions.values())


def test_every_case_is_counted() -> None:
    """In one of the groups, together with its floor or not."""
    assert sorted(name for group in GROUPS for name in group) == sorted(CASES)


def counts(floor: float, accepted: float) -> list[Count]:
    """Counts of two cases."""
    return [Count(name, 1, number, Counter()) for name, number in (("floor", floor), ("forged", accepted))]


@pytest.fixture
def budget(tmp_path: Path) -> Budget:
    """A budget of 300,000 instructions where the floor takes 100,000."""
    path = tmp_path / "budgets.toml"
    path.write_text("")
    budgets.add(counts(50_000, 100_000), "it was worse", path)
    budgets.add(counts(100_000, 300_000), "it is better now", path)
    found = budgets.current(budgets.read(path))
    assert found
    return found


@pytest.mark.parametrize(
    ("floor", "accepted", "beyond", "generous"),
    [
        (100_000, 300_000, 0, 0),
        (100_000, 305_000, 0, 0),
        (100_000, 307_000, 1, 0),
        (100_000, 286_000, 0, 0),
        (100_000, 284_000, 0, 1),
        (110_000, 335_000, 0, 0),
        (110_000, 337_000, 1, 0),
        (90_000, 300_000, 1, 0),
    ],
)
def test_a_count_is_compared_with_the_last_budget(
    budget: Budget, floor: float, accepted: float, beyond: int, generous: int
) -> None:
    """Scaled by the floor, which another build of the interpreter runs faster or slower as well."""
    verdict = budgets.compare(counts(floor, accepted), budget)

    assert (len(verdict.beyond), len(verdict.generous)) == (beyond, generous)


def test_a_version_without_a_budget_has_none(budget: Budget) -> None:
    """It is not compared with another version's."""
    assert budgets.current([budget], "3.99.1") is None


def test_another_build_of_a_version_is_compared_more_loosely(budget: Budget) -> None:
    """With the last budget of its minor version."""
    other = f"{budget.python}7"

    assert budgets.current([budget], other) is budget
    assert not budgets.compare(counts(100_000, 320_000), budget, other).beyond
    assert budgets.compare(counts(100_000, 330_000), budget, other).beyond
    assert not budgets.compare(counts(100_000, 250_000), budget, other).generous
