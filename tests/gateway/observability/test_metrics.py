"""The metrics: what Prometheus reads is complete, closed and adds up."""

from __future__ import annotations

import hmac
import os
import signal
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import Gateway
from gateway.claims.memory import MemoryClaims
from gateway.config import Config
from gateway.errors import CLIENT_DISCONNECTED, OUTCOMES, REJECTIONS, OperatorError
from gateway.observability.counters import COUNTER_INDEX, LATENCY, LATENCY_BUCKETS, shared_counters
from gateway.observability.metrics import UNKNOWN_PROVIDER, Metrics
from gateway.observability.shared_memory import MAX_PROVIDERS
from gateway.publishers.memory import MemoryPublisher
from gateway.signatures.rejections import SIGNATURE_FAULTS
from support.door import Door
from support.waiting import wait_until_async

SECRET = "a secret of the sender"


def families_of(text: str) -> dict[str, Metric]:
    """As Prometheus' own parser reads them."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def read(metrics: Metrics) -> dict[str, Metric]:
    """All families as Prometheus' own parser reads them."""
    return families_of(metrics.render().decode())


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
            "X-GitHub-Event": "zen",
            "X-Hub-Signature-256": signature,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        transport = Door(gateway)
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
    """A new operator needs both."""
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
    """A thousand unknown paths and event types make no new series."""
    send, read = metrics
    before = {name: len(family.samples) for name, family in (await read()).items()}
    for number in range(30):
        await send(f"/webhooks/made-up-{number}")
        await send(X_GitHub_Event=f"made.up.{number}", X_GitHub_Delivery=str(number))

    assert before == {name: len(family.samples) for name, family in (await read()).items()}


def test_the_histogram_is_as_prometheus_has_it() -> None:
    """Cumulative, each bound included, with the sum and everything in the last bucket."""
    metrics = Metrics()
    numbers = metrics.of_provider("github", 1)
    for seconds in (0.0005, 0.001, 0.0011, 0.3, 99.0):
        numbers.observe_latency(seconds)
    family = read(metrics)["webhook_request_duration_seconds"]
    counts = {
        sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")
    }

    assert [*map(str, LATENCY_BUCKETS), "+Inf"] == list(counts)
    assert list(counts.values()) == sorted(counts.values())
    assert (
        counts["0.001"],
        counts["0.0025"],
        counts["0.25"],
        counts["0.5"],
        counts["10.0"],
        counts["+Inf"],
    ) == ((2, 3, 3, 4, 4, 5))
    assert values_of(family, "_sum") == {("github",): pytest.approx(99.3026)}


def test_outcomes_are_a_closed_set() -> None:
    """Each rejection is among them by its reason, once."""
    assert len(OUTCOMES) == len(set(OUTCOMES))
    assert len(COUNTER_INDEX) == LATENCY  # no outcome is counted where a fault of a signature is
    assert {rejection.reason for rejection in REJECTIONS} | {CLIENT_DISCONNECTED} < set(OUTCOMES)


def test_what_is_sampled_is_read_when_it_is_asked_for() -> None:
    """Not when something happens to change."""
    waiting = [3]
    metrics = Metrics()
    assert "webhook_spooled" not in read(metrics)
    metrics.sample("webhook_spooled", lambda: waiting[0])

    assert values_of(read(metrics)["webhook_spooled"], "") == {(): 3}
    waiting[0] = 4
    assert values_of(read(metrics)["webhook_spooled"], "") == {(): 4}


def test_what_is_not_described_cannot_be_sampled() -> None:
    """Names are a closed set, as labels are."""
    with pytest.raises(KeyError):
        Metrics().sample("webhook_made_up", lambda: 1)


def test_the_numbers_of_all_processes_add_up_in_the_view_of_each() -> None:
    """Counters and most gauges are sums; of the clock offsets, the one farthest from zero is reported."""
    counters = shared_counters(3)
    processes = [Metrics(counters, slot) for slot in range(3)]
    for slot, process in enumerate(processes):
        numbers = process.of_provider("stripe" if slot else "github", 1)
        for _ in range(slot + 1):
            numbers.count_outcome("accepted")
            numbers.count_signature_failure("signature_missing")
            numbers.count_secret_slot(0)
            numbers.count("replay_suspected")
            numbers.observe_latency(0.5)
        process.sample("webhook_spooled", lambda slot=slot: 10 * slot)  # type: ignore[misc]
        process.sample("webhook_clock_offset_seconds", lambda slot=slot: -slot)  # type: ignore[misc]
        process.refresh()

    for process in processes:
        families = read(process)
        requests = values_of(families["webhook_requests"])
        assert (requests["github", "accepted"], requests["stripe", "accepted"]) == (1, 5)
        failures = values_of(families["webhook_signature_failures"])
        assert failures["stripe", "signature_missing"] == 5
        assert values_of(families["webhook_secret_slot_matches"]) == {("github", "0"): 1, ("stripe", "0"): 5}
        assert values_of(families["webhook_replays_suspected"]) == {("github",): 1, ("stripe",): 5}
        assert values_of(families["webhook_request_duration_seconds"], "_sum") == {
            ("github",): 0.5,
            ("stripe",): 2.5,
        }
        assert values_of(families["webhook_spooled"], "") == {(): 30}
        assert values_of(families["webhook_clock_offset_seconds"], "") == {(): -2}
        assert values_of(families["webhook_processes"], "") == {(): 3}


def test_a_process_that_replaces_a_dead_one_goes_on_counting() -> None:
    """Counters never go down, sampled ones included; gauges start anew."""
    counters = shared_counters(2)
    survivor, dead = (Metrics(counters, slot) for slot in range(2))
    survivor.sample("webhook_log_lines_dropped", lambda: 1)
    survivor.refresh()
    dead.of_provider("github", 2).count_outcome("accepted")
    dead.sample("webhook_log_lines_dropped", lambda: 4)
    dead.sample("webhook_requests_in_flight", lambda: 7)
    dead.refresh()

    heir = Metrics(counters, 1)
    heir.of_provider("github", 1).count_outcome("accepted")
    heir.sample("webhook_log_lines_dropped", lambda: 2)
    heir.sample("webhook_requests_in_flight", lambda: 0)
    families = read(heir)

    assert values_of(families["webhook_requests"])["github", "accepted"] == 2
    assert {("github", "0"), ("github", "1")} == set(values_of(families["webhook_secret_slot_matches"]))
    assert values_of(families["webhook_log_lines_dropped"]) == {(): 7}
    assert values_of(families["webhook_requests_in_flight"], "") == {(): 0}
    assert values_of(families["webhook_process_restarts"]) == {(): 1}
    assert values_of(families["webhook_processes"], "") == {(): 2}


def test_a_process_that_is_silent_is_not_counted_as_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last gauges do not count either; its counters do."""
    counters = shared_counters(2)
    survivor, silent = (Metrics(counters, slot) for slot in range(2))
    silent.of_provider("github", 1).count_outcome("accepted")
    for process in (survivor, silent):
        process.sample("webhook_spooled", lambda: 5)
        process.refresh()
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    families = read(survivor)

    assert values_of(families["webhook_processes"], "") == {(): 1}
    assert values_of(families["webhook_spooled"], "") == {(): 5}
    assert values_of(families["webhook_requests"])["github", "accepted"] == 1


async def test_a_process_refreshes_the_gauges_that_others_read() -> None:
    """From its event loop, once a second."""
    counters = shared_counters(2)
    reader, other = (Metrics(counters, slot) for slot in range(2))
    waiting = [0]
    for process in (reader, other):
        process.sample("webhook_spooled", lambda: waiting[0])
    await other.start()
    waiting[0] = 8

    await wait_until_async(
        lambda: values_of(read(reader)["webhook_spooled"], "") == {(): 16},
        message="the other one refreshed it",
    )
    await other.stop()


def test_counting_survives_the_process_that_counted() -> None:
    """However it ended."""
    counters = shared_counters(2)
    pid = os.fork()
    if pid == 0:
        Metrics(counters, 1).of_provider("github", 1).count_outcome("accepted")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)

    families = read(Metrics(counters))
    assert values_of(families["webhook_requests"])["github", "accepted"] == 1
    assert values_of(families["webhook_processes"], "") == {(): 2}


def test_there_is_room_for_a_bounded_number_of_providers() -> None:
    """Known providers are still counted; one more is an error that says what to do."""
    metrics = Metrics()
    names = [f"{number:063}" for number in range(MAX_PROVIDERS)]
    for name in names:
        metrics.of_provider(name, 1).count_outcome("accepted")
    metrics.of_provider(names[0], 1).count_outcome("accepted")

    with pytest.raises(OperatorError, match="room for 512 providers"):
        metrics.of_provider("one-more", 1)
    requests = values_of(read(metrics)["webhook_requests"])
    assert (requests[names[0], "accepted"], requests[names[-1], "accepted"]) == (2, 1)
