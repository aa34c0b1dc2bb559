"""The alerts as a page of the documentation: a table, and a runbook for each."""

from __future__ import annotations

from itertools import groupby

from monitoring.model import Alert

_HEAD = """\
# Alerts

`deploy/prometheus/rules.yaml` has these alerts; [monitor the gateway](../how-to/operate/monitor.md) says how to load it. Below is a runbook for each.
The severity says how urgent it is: `page` (wake somebody), `ticket` (on the next working day) or `notice` (good to know).

| alert | severity | fires when | for |
| --- | --- | --- | --- |
"""


def alerts_page(alerts: list[Alert]) -> str:
    """Return docs/reference/alerts.md: a table, and a section with what to do for each name."""
    rows = [
        f"| [{alert.name}](#{alert.name.lower()}) | {alert.severity} | "
        f"`{alert.expr.replace('|', chr(92) + '|')}` | {alert.hold or 'at once'} |\n"
        for alert in alerts
    ]
    sections = [_section(list(group)) for _, group in groupby(alerts, lambda alert: alert.name)]
    return "\n".join([_HEAD + "".join(rows), *sections])


def _section(alerts: list[Alert]) -> str:
    first = alerts[0]
    summary = first.summary
    for label in ("provider", "queue", "slot", "stage", "tenant"):
        summary = summary.replace(f"{{{{ $labels.{label} }}}}", f"`{label}`")
    summary = summary.replace("{{ $value }}", "N")
    if len(alerts) > 1:
        summary = first.meaning.rstrip(".")
        meaning = "It fires when the errors of the last hours would use up the budget of the month too soon:"
        meaning += "".join(
            f"\n\n- `{each.severity}`: {each.summary.rpartition('this burns ')[2]}" for each in alerts
        )
    else:
        meaning = first.meaning
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(first.steps, 1))
    return f"## {first.name}\n\n**{summary}.**\n\n{meaning}\n\n{steps}\n"
