"""The numbers of the way out, as the process that is scraped reads them."""

from __future__ import annotations

from prometheus_client import generate_latest

from gateway.observability.outbound_counters import (
    FAILURES,
    MAX_TENANTS,
    OutboundMetrics,
    OutboundReader,
    outbound_counters,
)
from gateway.outbound.outcomes import Outcome


def test_every_failure_is_counted_by_its_word() -> None:
    """A new outcome needs a number."""
    assert set(FAILURES) == set(Outcome) - {Outcome.DELIVERED}


def test_what_one_process_counts_another_one_reads() -> None:
    """From the same memory."""
    counters = outbound_counters()
    metrics = OutboundMetrics(counters)
    metrics.count("acme", "delivered", 2)
    metrics.count("acme", "timeout_head")
    metrics.observe({"head": 20.0}, 30.0)
    metrics.sample({("shards", ""): 256, ("in_flight", "slow"): 3})
    text = generate_latest(OutboundReader(outbound_counters(counters.descriptor))).decode()

    assert 'outbound_delivered_total{tenant="acme"} 2.0' in text
    assert 'outbound_failed_total{outcome="timeout_head",tenant="acme"} 1.0' in text
    assert 'outbound_attempt_seconds_bucket{le="0.025",phase="head"} 1.0' in text
    assert "outbound_shards 256.0" in text
    assert 'outbound_in_flight{lane="slow"} 3.0' in text
    assert 'outbound_in_flight{lane="fast"} 0.0' in text


def test_a_process_is_down_until_its_first_sample_unless_it_has_ended_as_it_should() -> None:
    """Also one that cannot start, of which there is nothing else; a gateway without endpoints has no such number."""
    counters = outbound_counters()
    metrics, reader = OutboundMetrics(counters), OutboundReader(counters)

    def numbers() -> list[str]:
        lines = generate_latest(reader).decode().splitlines()
        return [line for line in lines if line.startswith(("outbound_up ", "outbound_shards "))]

    assert (numbers(), reader.unavailable_reasons()) == ([], {})
    metrics.begin()
    assert numbers() == ["outbound_up 0.0"]
    assert "has failed" in reader.unavailable_reasons()["outbound"]
    metrics.sample({("shards", ""): 256})
    assert numbers() == ["outbound_up 1.0", "outbound_shards 256.0"]
    assert reader.unavailable_reasons() == {"outbound": ""}
    metrics.sample({("database_unavailable", ""): 1})
    assert reader.unavailable_reasons() == {"outbound": "its database cannot be used"}
    metrics.end()
    assert (numbers(), reader.unavailable_reasons()) == ([], {})


def test_tenants_beyond_the_first_hundred_are_counted_together() -> None:
    """Whoever makes up tenants makes no metrics."""
    counters = outbound_counters()
    metrics = OutboundMetrics(counters)
    for number in range(MAX_TENANTS + 20):
        metrics.count(f"t{number}", "accepted")
    text = generate_latest(OutboundReader(counters)).decode()

    assert 'outbound_accepted_total{tenant=""} 20.0' in text
    assert text.count("outbound_accepted_total{") == MAX_TENANTS + 1
