"""Dashboards as Grafana's JSON."""

from __future__ import annotations

from typing import Any

from monitoring.model import Dashboard, Panel

_HEIGHT = 8
_WIDTH = 24

_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard_json(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard for `deploy/grafana/`."""
    key = dashboard.name.lower()
    return {
        "uid": f"webhook-{key}",
        "title": f"Webhooks: {dashboard.name}",
        "description": dashboard.about,
        "tags": ["webhook-gateway"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables(dashboard)},
        "links": [
            {
                "type": "dashboards",
                "tags": ["webhook-gateway"],
                "title": "Webhooks",
                "asDropdown": False,
                "keepTime": True,
            }
        ],
        "panels": _panels(dashboard.panels),
    }


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"}
    ]
    label, metric = dashboard.variable
    if label:
        query = f"label_values({metric}, {label})"
        found.append(
            {
                "name": label,
                "label": label.capitalize(),
                "type": "query",
                "datasource": _DATASOURCE,
                "definition": query,
                "query": {"query": query, "refId": label},
                "regex": "/.+/",
                "refresh": 2,
                "sort": 1,
            }
        )
    return found


def _panels(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    made, x, y = [], 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _WIDTH:
            x, y = 0, y + _HEIGHT
        made.append(_panel(panel, number, x, y))
        x += panel.width
    return made


def _panel(panel: Panel, number: int, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.doing,
        "datasource": _DATASOURCE,
        "gridPos": {"h": _HEIGHT, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0 if panel.unit != "s" or "Clock" not in panel.title else None,
                "custom": {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": True},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expr, "legendFormat": legend, "datasource": _DATASOURCE}
            for index, (expr, legend) in enumerate(panel.queries)
        ],
    }
