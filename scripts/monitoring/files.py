"""The files that are made from the lists."""

from __future__ import annotations

import json

import yaml

from monitoring.alerts import alerts
from monitoring.dashboards import DASHBOARDS
from monitoring.grafana import dashboard_json
from monitoring.pages import alerts_page
from monitoring.prometheus import rules

_NOTE = "# Made by `make pages` from scripts/monitoring; each alert is tested there.\n"


class _Dumper(yaml.SafeDumper):
    """Indents lists, as people do."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def generated_files() -> dict[str, str]:
    """Return the texts of the files by their paths in the repository."""
    found = alerts()
    files = {
        f"deploy/grafana/{dashboard.name.lower()}.json": json.dumps(dashboard_json(dashboard), indent=2)
        + "\n"
        for dashboard in DASHBOARDS
    }
    files["deploy/prometheus/rules.yaml"] = _NOTE + yaml.dump(
        rules(found), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True
    )
    files["docs/reference/alerts.md"] = alerts_page(found)
    return files
