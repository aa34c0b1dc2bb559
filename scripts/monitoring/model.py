"""What a panel and an alert are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["page", "ticket", "notice"]
"""Wake somebody; somebody looks on the next working day; good to know."""

EVALUATIONS = ((100, "1m"), (720, "10m"), (1_000_000, "30m"))
"""Minutes that a test lasts at most, and the time between two evaluations of the rules."""

Series = dict[str, str]
"""Series of a promtool test by their names with labels: their values at intervals, in promtool's notation."""


@dataclass(frozen=True)
class Case:
    """A test of an alert.

    Attributes:
        series: The series.
        at: When the alert is looked at.
        interval: The time between two values.
        labels: The labels of each alert that fires, without the severity; for a case that fires nothing, none.
        value: The value of the condition, if the summary has it.
    """

    series: Series
    at: str
    interval: str = "1m"
    labels: tuple[dict[str, str], ...] = ()
    value: str = ""

    @property
    def evaluated_every(self) -> str:
        """Return the time between two evaluations: often if the test is short, or else it would take minutes."""
        minutes = int(self.at[:-1]) * (60 if self.at.endswith("h") else 1)
        return next(interval for limit, interval in EVALUATIONS if minutes <= limit)


@dataclass(frozen=True)
class Alert:
    """An alert.

    Attributes:
        name: Its name, which is also the heading of its runbook.
        expr: The condition in PromQL.
        hold: How long the condition holds before the alert fires; empty for at once.
        severity: How urgent it is.
        summary: What is wrong, with labels in Prometheus' templates.
        meaning: What it means for events.
        steps: What to do, one step each.
        fires: A test in which it fires.
        quiet: A test in which it does not, although something like it happens.
        labels: Further labels.
    """

    name: str
    expr: str
    hold: str
    severity: Severity
    summary: str
    meaning: str
    steps: tuple[str, ...]
    fires: Case
    quiet: Case
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def is_burn(self) -> bool:
        """Whether it is about the budget of an objective."""
        return "window" in self.labels


@dataclass(frozen=True)
class Panel:
    """A panel of a dashboard.

    Attributes:
        title: Its title.
        queries: Expressions in PromQL, each with the legend of its series.
        doing: What it shows and what to do, for the panel's description.
        unit: Grafana's name of the unit.
        kind: The kind of panel.
        width: Its width; a dashboard is 24 wide.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    doing: str
    unit: str = "short"
    kind: Literal["timeseries", "stat"] = "timeseries"
    width: int = 8


@dataclass(frozen=True)
class Dashboard:
    """A dashboard.

    Attributes:
        name: Its title, and the name of its file in small letters.
        about: What it is for.
        panels: The panels, from left to right.
        variable: The label that its reader chooses a value of, and a metric that has it; empty for none.
    """

    name: str
    about: str
    panels: tuple[Panel, ...]
    variable: tuple[str, str] = ("", "")
