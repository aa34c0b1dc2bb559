"""Dashboards and alerts: they are up to date, name metrics that exist, and each alert fires when it should."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.alerts import alerts
from monitoring.dashboards import DASHBOARDS
from monitoring.files import generated_files
from monitoring.model import EVALUATIONS, Alert, Case
from monitoring.objectives import OBJECTIVES, OURS, PROVEN
from monitoring.prometheus import rules
from monitoring.prometheus import tests as promtool_tests
from support.repository import ROOT
from support.requirements import require

RULES = ROOT / "deploy/prometheus/rules.yaml"

OF_OTHERS = {
    "up",
    "redis_evicted_keys_total",
    "redis_memory_max_bytes",
    "redis_memory_used_bytes",
    "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_alarms_memory_used_watermark",
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
}
"""Metrics of Prometheus, redis_exporter and RabbitMQ's plugin rabbitmq_prometheus."""

FUNCTIONS = {
    "abs", "absent", "and", "avg_over_time", "by", "delta", "histogram_quantile", "increase", "max", "or", "predict_linear", "rate", "sum",
    "time", "unless",
}  # fmt: skip


def known_metrics() -> set[str]:
    """The metrics of the page, which is made from the program, and the series of its histograms."""
    rows = re.findall(
        r"^\| `((?:webhook|outbound)_\w+)` \| (\w+) \|",
        (ROOT / "docs/reference/metrics.md").read_text("utf-8"),
        re.MULTILINE,
    )
    names = {name for name, _ in rows}
    return names | {
        f"{name}_{end}" for name, kind in rows if kind == "histogram" for end in ("bucket", "count", "sum")
    }


def metrics_of(expr: str) -> set[str]:
    """The names of metrics in an expression."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)', " ", expr)
    return {name for name in re.findall(r"(?<![\w$:.])[a-z_][\w:]*", bare) if name not in FUNCTIONS}


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, with what it belongs to."""
    for alert in alerts():
        yield alert.name, alert.expr
    for objective in OBJECTIVES:
        yield objective.name, objective.errors.replace("WINDOW", "1h")
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            yield from ((f"{dashboard.name}: {panel.title}", expr) for expr, _ in panel.queries)


@pytest.mark.parametrize(("name", "text"), generated_files().items(), ids=lambda value: value[:60])
def test_what_is_made_from_the_lists_is_up_to_date(name: str, text: str) -> None:
    """`make pages` writes it."""
    assert (ROOT / name).read_text("utf-8") == text


def test_every_metric_exists() -> None:
    """In the program, in the rules, or in the programs of others that are listed here."""
    recorded = {
        rule["record"] for group in rules(alerts())["groups"] for rule in group["rules"] if "record" in rule
    }
    known = known_metrics() | recorded | OF_OTHERS
    unknown = {(name, metric) for name, expr in expressions() for metric in metrics_of(expr) - known}

    assert len(known_metrics()) > 30
    assert not unknown
    assert {metric for _, expr in expressions() for metric in metrics_of(expr)} >= OF_OTHERS


def test_names_of_metrics_are_found() -> None:
    """Otherwise the test above would prove nothing."""
    expr = (
        'sum by (queue, le) (rate(webhook_lag_seconds_bucket{le="30.0"}[5m])) > 5 * webhook:a:b and up == 1'
    )

    assert metrics_of(expr) == {"webhook_lag_seconds_bucket", "webhook:a:b", "up"}


def test_buckets_of_objectives_exist() -> None:
    """A bound between two buckets would find nothing."""
    from gateway.observability.counters import LATENCY_BUCKETS
    from gateway.worker.stats import LAG_BUCKETS

    bounds = {str(bound) for bound in (*LATENCY_BUCKETS, *LAG_BUCKETS)}

    assert {bound for _, expr in expressions() for bound in re.findall(r'le="([\d.]+)"', expr)} <= bounds


def test_failures_of_ours_are_told_from_those_of_senders() -> None:
    """A forgery is no error of ours."""
    assert {"internal", "broker_unavailable", "overloaded"} <= set(OURS)
    assert "accepted" in PROVEN
    assert not {"invalid_signature", "unknown_provider", "rate_limited"} & set(PROVEN)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name + alert.labels.get("window", ""))
def test_every_alert_says_what_to_do_and_is_tested(alert: Alert) -> None:
    """With a case in which it fires, and one in which it does not."""
    assert alert.steps
    assert alert.meaning.endswith(".")
    assert f"\n## {alert.name}\n" in (ROOT / "docs/reference/alerts.md").read_text("utf-8")
    assert alert.labels in [
        {name: value for name, value in labels.items() if name == "window"} for labels in alert.fires.labels
    ]
    assert alert.labels.get("window", "") not in [labels.get("window", "") for labels in alert.quiet.labels]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.name)
def test_every_panel_says_what_to_do(dashboard: Any) -> None:
    """In its description, as a sentence; and no two of them lie on each other."""
    made = json.loads((ROOT / f"deploy/grafana/{dashboard.name.lower()}.json").read_text("utf-8"))
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in made["panels"]]

    assert all(len(panel["description"].split()) > 8 for panel in made["panels"])
    assert len(set(places)) == len(places)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in made["panels"])
    assert len({panel["title"] for panel in made["panels"]}) == len(places)


def promtool(*words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run promtool."""
    require("promtool")
    return subprocess.run(["promtool", *words], capture_output=True, text=True, timeout=timeout, check=False)


def test_the_rules_are_valid() -> None:
    """For Prometheus itself, together with the configuration of Compose."""
    done = promtool("check", "config", str(ROOT / "deploy/prometheus/prometheus.yaml"))

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(len(EVALUATIONS)))
def test_every_alert_fires_when_it_should_and_only_then(part: int, tmp_path: Path) -> None:
    """Each against series that must fire it, and series that must not."""
    content = promtool_tests(alerts(), str(RULES))[part]
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")

    done = promtool("test", "rules", str(path), timeout=850)

    assert len(content["tests"]) > 8
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_does_not_fire_is_noticed(tmp_path: Path) -> None:
    """Otherwise the test above would prove nothing."""
    (alert,) = [each for each in alerts() if each.name == "BrokerAway"]
    never = Case(dict.fromkeys(alert.fires.series, "0x10"), alert.fires.at, labels=alert.fires.labels)
    broken = Alert(**{**vars(alert), "fires": never})
    path = tmp_path / "tests.yaml"
    path.write_text(yaml.safe_dump(promtool_tests([broken], str(RULES))[0], sort_keys=False), "utf-8")

    done = promtool("test", "rules", str(path))

    assert done.returncode != 0
    assert "BrokerAway fires" in done.stdout + done.stderr


def test_compose_gives_grafana_its_dashboards() -> None:
    """From the folders that it mounts."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["services"]
    mounts = {
        target: source
        for source, target, *_ in (mount.split(":") for mount in services["grafana"]["volumes"])
    }
    provisioning = ROOT / mounts["/etc/grafana/provisioning"]
    (provider,) = yaml.safe_load((provisioning / "dashboards/webhooks.yaml").read_text("utf-8"))["providers"]
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text("utf-8"))[
        "datasources"
    ]
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text("utf-8"))[
        "scrape_configs"
    ]
    hosts = {
        target.partition(":")[0]
        for job in scraped
        for each in job["static_configs"]
        for target in each["targets"]
    }

    assert (ROOT / mounts[provider["options"]["path"]] / "gateway.json").is_file()
    assert source["url"] == "http://prometheus:9090"
    assert hosts == {"gateway", "rabbitmq", "redis-exporter"}
    for host in hosts:
        assert set(services[host]["networks"]) & set(services["prometheus"]["networks"]), host
    assert set(services["grafana"]["networks"]) & set(services["prometheus"]["networks"])
