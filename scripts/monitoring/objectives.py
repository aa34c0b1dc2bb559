"""Service level objectives, and alerts on how fast their error budgets burn.

Each objective has four alerts, in the windows of the Site Reliability Workbook
(https://sre.google/workbook/alerting-on-slos/): a long window says that it matters, a short one that it still goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gateway.errors import REJECTIONS, Outcome
from monitoring.model import Alert, Case, Series, Severity

UNPROVEN = 500
"""The status from which on a refusal is ours; those below it are the sender's."""

OURS = tuple(sorted({each.reason for each in REJECTIONS if each.status >= UNPROVEN}))
"""The outcomes of requests that failed because of us."""

PROVEN = tuple(sorted({str(each) for each in Outcome} | set(OURS)))
"""The outcomes of requests that passed verification, or failed because of us."""


@dataclass(frozen=True)
class Burn:
    """A pair of windows.

    Attributes:
        factor: How many times too fast the budget of 30 days burns.
        long: The long window.
        short: The short window.
        severity: How urgent it is.
        spent: What it means, as a phrase.
    """

    factor: float
    long: str
    short: str
    severity: Severity
    spent: str


BURNS = (
    Burn(14.4, "1h", "5m", "page", "2 % of the month's budget in an hour"),
    Burn(6, "6h", "30m", "page", "5 % of the month's budget in six hours"),
    Burn(3, "1d", "2h", "ticket", "10 % of the month's budget in a day"),
    Burn(1, "3d", "6h", "ticket", "10 % of the month's budget in three days"),
)

_LENGTHS = {"1h": (2, 2), "6h": (7, 5), "1d": (25, 10), "3d": (73, 10)}
"""How long the test of a long window lasts, in hours, and the minutes between two values."""

WINDOWS = tuple(sorted({window for burn in BURNS for window in (burn.long, burn.short)}))


@dataclass(frozen=True)
class Objective:
    """An objective.

    Attributes:
        name: Its key in the names of rules.
        title: The beginning of its alerts' names.
        target: The share that has to be good, in 30 days.
        good: What is good, as a phrase.
        errors: The ratio of errors in PromQL, with WINDOW in place of the window.
        series: Series in which a share of ERRORS of a TOTAL is bad, as functions of both.
        steps: What to do.
    """

    name: str
    title: str
    target: float
    good: str
    errors: str
    series: tuple[tuple[str, str], ...]
    steps: tuple[str, ...]

    @property
    def budget(self) -> float:
        """Return the share that may be bad."""
        return round(1 - self.target, 6)

    def record(self, window: str) -> str:
        """Return the name of the recorded ratio of errors in a window."""
        return f"webhook:{self.name}_errors:ratio_rate{window}"


def _one_of(outcomes: tuple[str, ...]) -> str:
    return "|".join(outcomes)


def _slower(metric: str, bound: str) -> str:
    return f'1 - sum(rate({metric}_bucket{{le="{bound}"}}[WINDOW])) / sum(rate({metric}_count[WINDOW]))'


_LOOK = (
    "Open the dashboard *Gateway* and find the time at which the errors began, and what else changed then."
)

OBJECTIVES = (
    Objective(
        "acceptance",
        "AcceptanceBudgetBurns",
        0.9995,
        "of genuine requests are not answered with 500 or 503",
        f'sum(rate(webhook_requests_total{{outcome=~"{_one_of(OURS)}"}}[WINDOW])) / '
        f'sum(rate(webhook_requests_total{{outcome=~"{_one_of(PROVEN)}"}}[WINDOW]))',
        (
            ('webhook_requests_total{provider="stripe",outcome="accepted"}', "good"),
            ('webhook_requests_total{provider="stripe",outcome="broker_unavailable"}', "bad"),
        ),
        (
            _LOOK,
            "The outcome names the cause: `broker_unavailable`, `dedupe_unavailable`, `overloaded`, `internal`.",
            "Providers repeat what was answered with 503. After an outage, compare with the provider's own list of deliveries.",
        ),
    ),
    Objective(
        "answer",
        "AnswerBudgetBurns",
        0.99,
        "of requests are answered within 100 ms",
        _slower("webhook_request_duration_seconds", "0.1"),
        (
            ('webhook_request_duration_seconds_bucket{provider="stripe",le="0.1"}', "good"),
            ('webhook_request_duration_seconds_count{provider="stripe"}', "all"),
        ),
        (
            _LOOK,
            "An answer waits for the broker's confirm: compare with the unconfirmed publishes and with RabbitMQ's disk.",
            "If the processor is busy, raise `server.processes`, or add a gateway.",
        ),
    ),
    Objective(
        "deadline",
        "DeadlineBudgetBurns",
        0.999,
        "of requests are answered within 2.5 s",
        _slower("webhook_request_duration_seconds", "2.5"),
        (
            ('webhook_request_duration_seconds_bucket{provider="stripe",le="2.5"}', "good"),
            ('webhook_request_duration_seconds_count{provider="stripe"}', "all"),
        ),
        (
            _LOOK,
            (
                "Providers give up after 3 to 30 s, and repeat. An answer that takes seconds waits for a broker or a store "
                "that hangs without failing: look at `/readyz` on the admin listener."
            ),
        ),
    ),
    Objective(
        "freshness",
        "FreshnessBudgetBurns",
        0.99,
        "of events are begun within 30 s of their arrival",
        _slower("webhook_lag_seconds", "30.0"),
        (
            ('webhook_lag_seconds_bucket{queue="agent",le="30.0"}', "good"),
            ('webhook_lag_seconds_count{queue="agent"}', "all"),
        ),
        (
            "Open the dashboard *Workers*: which queue has the lag, and is its worker paused or absent?",
            "If it works all the time, raise `concurrency` or start another process.",
            "Events that waited in the spool count as late: see whether the broker was away.",
        ),
    ),
    Objective(
        "handling",
        "HandlingBudgetBurns",
        0.999,
        "of events are handled, and not dead-lettered",
        'sum(rate(webhook_deliveries_total{outcome="dead"}[WINDOW])) / '
        'sum(rate(webhook_deliveries_total{outcome=~"handled|unhandled|dead"}[WINDOW]))',
        (
            ('webhook_deliveries_total{queue="agent",outcome="handled"}', "good"),
            ('webhook_deliveries_total{queue="agent",outcome="dead"}', "bad"),
        ),
        (
            "List what failed by its cause: `gateway dead list QUEUE`, or the page *Dead letters* of the console.",
            "Fix the handler, then return the events: `gateway dead redrive QUEUE`.",
        ),
    ),
)


def burn_alerts() -> list[Alert]:
    """Return the alerts of all objectives."""
    return [_alert(objective, burn) for objective in OBJECTIVES for burn in BURNS]


def _alert(objective: Objective, burn: Burn) -> Alert:
    bound = f"{burn.factor:g} * {objective.budget:g}"
    return Alert(
        name=objective.title,
        expr=f"{objective.record(burn.long)} > {bound} and {objective.record(burn.short)} > {bound}",
        hold="2m",
        severity=burn.severity,
        summary=f"Fewer than {100 * objective.target:g} % {objective.good}: this burns {burn.spent}",
        meaning=f"The objective is that {100 * objective.target:g} % {objective.good}, in 30 days.",
        steps=objective.steps,
        fires=_case(objective, 1.2 * burn.factor * objective.budget, burn),
        quiet=_case(objective, 0.8 * burn.factor * objective.budget, burn),
        labels={"window": burn.long},
    )


def _case(objective: Objective, ratio: float, burn: Burn) -> Case:
    """Return a test in which a share of ``ratio`` has been bad for a little longer than the long window."""
    total = 1_000_000.0  # so large that a ratio of one in a hundred thousand is a whole number
    steps = {"good": total * (1 - ratio), "bad": total * ratio, "all": total}
    hours, minutes = _LENGTHS[burn.long]
    count = int(timedelta(hours=hours) / timedelta(minutes=minutes)) + 10
    series: Series = {name: f"0+{minutes * steps[kind]:.0f}x{count}" for name, kind in objective.series}
    # Every pair of windows that is as tolerant or less fires as well.
    firing = tuple({"window": each.long} for each in BURNS if ratio > each.factor * objective.budget)
    return Case(series, f"{hours}h", f"{minutes}m", firing)
