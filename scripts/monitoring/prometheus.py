"""Alerts as Prometheus' rules, and their tests for promtool."""

from __future__ import annotations

from typing import Any

from monitoring.model import EVALUATIONS, Alert, Case
from monitoring.objectives import OBJECTIVES, WINDOWS

RUNBOOK = "https://webhook-gateway.github.io/webhook-gateway/reference/alerts/"
"""The page with what to do, on the site of the documentation."""


def rules(alerts: list[Alert]) -> dict[str, Any]:
    """Return the file of rules."""
    return {
        "groups": [
            {
                # The rules of a group are evaluated in their order: each alert sees the ratios of the same moment.
                "name": "webhook-gateway-objectives",
                "rules": [
                    *(
                        {
                            "record": objective.record(window),
                            "expr": objective.errors.replace("WINDOW", window),
                        }
                        for objective in OBJECTIVES
                        for window in WINDOWS
                    ),
                    *(_rule(alert) for alert in alerts if alert.is_burn),
                ],
            },
            {
                "name": "webhook-gateway-alerts",
                "rules": [_rule(alert) for alert in alerts if not alert.is_burn],
            },
        ]
    }


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **({"for": alert.hold} if alert.hold else {}),
        "labels": {"severity": alert.severity, **alert.labels},
        "annotations": {
            "summary": alert.summary,
            "description": alert.meaning,
            "runbook_url": f"{RUNBOOK}#{alert.name.lower()}",
        },
    }


def tests(alerts: list[Alert], rules_file: str) -> list[dict[str, Any]]:
    """Return two tests for each alert: series that fire it, and series that do not.

    They are several files, because the rules of a file are evaluated at one interval.
    """
    cases = [(alert, case) for alert in alerts for case in (alert.fires, alert.quiet)]
    return [
        {
            "rule_files": [rules_file],
            "evaluation_interval": interval,
            "tests": [
                _test(alert, case, alerts) for alert, case in cases if case.evaluated_every == interval
            ],
        }
        for _, interval in EVALUATIONS
    ]


def _test(alert: Alert, case: Case, alerts: list[Alert]) -> dict[str, Any]:
    severities = {(each.name, each.labels.get("window")): each for each in alerts}
    expected = []
    for labels in case.labels:
        found = severities[alert.name, labels.get("window")]
        expected.append(
            {
                "exp_labels": {**labels, "severity": found.severity},
                "exp_annotations": _rendered(found, labels, case),
            }
        )
    return {
        "name": f"{alert.name} {'fires' if case is alert.fires else 'is quiet'}",
        "interval": case.interval,
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": alert.name, "exp_alerts": expected}],
    }


def _rendered(alert: Alert, labels: dict[str, str], case: Case) -> dict[str, str]:
    """Return the annotations as Prometheus renders them."""
    annotations: dict[str, str] = _rule(alert)["annotations"]
    for name, value in labels.items():
        annotations = {
            key: text.replace(f"{{{{ $labels.{name} }}}}", value) for key, text in annotations.items()
        }
    return {key: text.replace("{{ $value }}", case.value) for key, text in annotations.items()}
