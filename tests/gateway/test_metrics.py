"""The metrics: what Prometheus reads is complete, closed and adds up."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.answers import CLIENT_DISCONNECTED, OUTCOMES
from gateway.app import Gateway
from gateway.claims.memory import MemoryClaims
from gateway.config import Config
from gateway.errors import REJECTIONS
from gateway.metrics import LATENCY_BUCKETS, UNKNOWN_PROVIDER, Metrics, ProviderMetrics
from gateway.publishers.memory import MemoryPublisher
from providers.rejections import SIGNATURE_FAULTS

SECRET = "a secret of the sender"


def families_of(text: str) -> dict[str, Metric]:
    """As Prometheus' own parser reads them."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def values_of(family: Metric, suffix: str = "_total") -> dict[tuple[str, ...], float]:
    """The numbers of a family by their labels."""
    return {
        tuple(sample.labels[name] for name in sorted(sample.labels, key=_is_not_provider)): sample.value
        for sample in family.samples
        if sample.name == family.name + suffix
    }


def _is_not_provider(label: str) -> bool:
    """A key to sort by: the provider comes first."""
    return label != "provider"


@pytest.fixture
def metrics(tmp_path: Path) -> Any:
    """A gateway of two providers, as a pair: a way to send to it and a way to read its metrics."""
    config = Config.model_validate(
        {
            "data_dir": str(tmp_path),
            "providers": {
                "github": {"adapter": "github", "secrets": [SECRET, SECRET + "!"]},
                "stripe": {"adapter": "stripe", "secrets": [SECRET]},
            },
        }
    )
    gateway = Gateway(config, tmp_path, claims=MemoryClaims(), publisher=MemoryPublisher())

    async def send(path: str = "/webhooks/github", **headers: str) -> int:
        signature = "sha256=" + hmac.new(SECRET.encode(), b"{}", "sha256").hexdigest()
        fields = {
            "X-GitHub-Delivery": "1",
            "X-GitHub-Event": "label",
            "X-Hub-Signature-256": signature,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        transport = httpx.ASGITransport(gateway.public)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
            return (await client.post(path, content=b"{}", headers=fields)).status_code

    async def read() -> dict[str, Metric]:
        transport = httpx.ASGITransport(gateway.admin)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
            answer = await client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return families_of(answer.text)

    return send, read


async def test_every_family_is_there_from_the_start(metrics: Any) -> None:
    """With every label that it can ever have, so that a rate can be taken of the first one."""
    _, read = metrics
    families = await read()
    providers = ["github", "stripe", UNKNOWN_PROVIDER]

    assert {(name, outcome) for name in providers for outcome in OUTCOMES} == set(
        values_of(families["webhook_requests"])
    )
    assert {(name, fault) for name in providers for fault in SIGNATURE_FAULTS} == set(
        values_of(families["webhook_signature_failures"])
    )
    assert {("github", "0"), ("github", "1"), ("stripe", "0")} == set(
        values_of(families["webhook_secret_slot_matches"])
    )
    assert {(name,) for name in providers} == set(values_of(families["webhook_dedupe_unchecked"]))
    assert {(name,) for name in providers} == set(values_of(families["webhook_claim_commit_failures"]))
    assert values_of(families["webhook_publishes_unconfirmed"], "") == {(): 0.0}


async def test_every_family_has_a_type_and_a_description(metrics: Any) -> None:
    """For whoever reads them first."""
    _, read = metrics
    families = await read()

    assert all(family.documentation.endswith(".") for family in families.values())
    assert {"counter", "gauge", "histogram"} == {family.type for family in families.values()}
    assert all(name.startswith("webhook_") for name in families)


async def test_every_request_is_counted_once(metrics: Any) -> None:
    """By outcome, and in the histogram as well: the totals add up."""
    send, read = metrics
    statuses = [
        await send(),
        await send(),
        await send(X_GitHub_Delivery="2"),
        await send(X_Hub_Signature_256="sha256=" + "0" * 64),
        await send("/webhooks/stripe"),
        await send("/webhooks/gitlab"),
        await send("/webhooks/"),
    ]
    families = await read()
    requests = {labels: value for labels, value in values_of(families["webhook_requests"]).items() if value}

    assert statuses == [202, 200, 202, 401, 401, 404, 404]
    assert sum(requests.values()) == len(statuses)
    expected = {
        ("github", "accepted"): 2,
        ("github", "duplicate"): 1,
        ("github", "invalid_signature"): 1,
        ("stripe", "invalid_signature"): 1,
        ("", "unknown_provider"): 2,
    }
    assert expected == requests
    durations = values_of(families["webhook_request_duration_seconds"], "_count")
    assert durations == {("github",): 4, ("stripe",): 1, ("",): 2}
    assert sum(values_of(families["webhook_signature_failures"]).values()) == 2
    assert values_of(families["webhook_secret_slot_matches"])["github", "0"] == 3


async def test_what_senders_make_up_does_not_become_a_label(metrics: Any) -> None:
    """A thousand unknown paths and event types are no new series."""
    send, read = metrics
    before = {name: len(family.samples) for name, family in (await read()).items()}
    for number in range(30):
        await send(f"/webhooks/made-up-{number}")
        await send(X_GitHub_Event=f"made.up.{number}", X_GitHub_Delivery=str(number))

    assert before == {name: len(family.samples) for name, family in (await read()).items()}


def test_the_histogram_is_as_prometheus_has_it() -> None:
    """Cumulative, each bound included, with the sum and everything in the last bucket."""
    numbers = ProviderMetrics(1)
    for seconds in (0.0005, 0.001, 0.0011, 0.3, 99.0):
        numbers.observe_latency(seconds)
    buckets, total = numbers.latency()
    counts = dict(buckets)

    assert [*map(str, LATENCY_BUCKETS), "+Inf"] == [bound for bound, _ in buckets]
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert (
        counts["0.001"],
        counts["0.0025"],
        counts["0.25"],
        counts["0.5"],
        counts["10.0"],
        counts["+Inf"],
    ) == ((2, 3, 3, 4, 4, 5))
    assert total == pytest.approx(99.3026)


def test_outcomes_are_a_closed_set() -> None:
    """Each rejection is among them by its reason, once."""
    assert len(OUTCOMES) == len(set(OUTCOMES))
    assert {rejection.reason for rejection in REJECTIONS} | {CLIENT_DISCONNECTED} < set(OUTCOMES)


def test_gauges_are_read_when_they_are_asked_for() -> None:
    """Not when something happens to change."""
    waiting = [3]
    metrics = Metrics(lambda: waiting[0], lambda: 7)
    assert values_of(families_of(metrics.render().decode())["webhook_publishes_unconfirmed"], "") == {(): 3}
    waiting[0] = 4

    families = families_of(metrics.render().decode())
    assert values_of(families["webhook_publishes_unconfirmed"], "") == {(): 4}
    assert values_of(families["webhook_spooled"], "") == {(): 7}
