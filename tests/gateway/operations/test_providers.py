"""The health of a provider, from counters and entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Config
from gateway.errors import OperatorError
from gateway.journal import Point
from gateway.journal.memory import MemoryJournal
from gateway.operations.provider_numbers import quantile
from gateway.operations.providers import all_providers, provider_health
from support.journal_entries import NOON, Story, journal_of
from support.operator_config import operator_config

HOUR = 3600.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Stripe, GitHub and one of the operator's own."""
    return operator_config(tmp_path)


def _count(
    journal: MemoryJournal, at: float = NOON - 600, provider: str = "stripe", **measures: float
) -> MemoryJournal:
    points = [Point(at, provider, measure.replace("__", ":"), times) for measure, times in measures.items()]
    journal.add_points(points)
    return journal


def _journal(age: float = 1.0, at: float = NOON - 60) -> MemoryJournal:
    story = Story(at=at)
    story.received(age=age)
    return journal_of(story)


def test_a_provider_that_is_well(config: Config) -> None:
    """Sums, shares, quantiles and charts agree with what was counted."""
    journal = _count(
        _journal(),
        outcome__accepted=90,
        outcome__duplicate=10,
        event__accepted=90,
        event__duplicate=10,
        latency__2=99,
        latency__5=1,
    )

    health = provider_health(config, journal, "stripe", now=NOON, window=HOUR)

    assert (health.title, health.adapter, health.path, health.tone) == (
        "Stripe",
        "stripe",
        "/webhooks/stripe",
        "good",
    )
    assert health.headline == "100 requests in the last 1 h; the last event came 1 min ago."
    assert health.requests == 100
    assert health.outcomes == (("accepted", 90), ("duplicate", 10))
    assert health.duplicate_share == pytest.approx(0.1)
    assert health.refused_share == 0
    assert health.p50 == pytest.approx(0.0025 + 0.0025 * 50 / 99)
    assert health.p99 == pytest.approx(0.005)
    assert sum(health.chart.series[0].values) == 90  # type: ignore[arg-type]
    assert [series.name for series in health.latency.series] == ["p50", "p99"]
    assert health.problems == ()
    assert health.ages.tolerance == 300
    assert health.ages.median == 1.0
    assert "Signed: the body" in health.signed


def test_nothing_came(config: Config) -> None:
    """Neither shares nor quantiles are claimed."""
    health = provider_health(config, MemoryJournal(), "acme", now=NOON)

    assert health.headline == "Nothing has come yet."
    assert (health.duplicate_share, health.refused_share, health.p50, health.last_event_at) == (
        None,
        None,
        None,
        None,
    )
    assert health.silence.seconds is None
    assert health.title == "acme"


def test_an_event_that_is_not_counted_yet(config: Config) -> None:
    """Entries are faster than counters, which are sampled every ten seconds."""
    health = provider_health(config, _journal(at=NOON - 3), "stripe", now=NOON)

    assert health.headline == "Nothing has been counted yet; the last event came 3 s ago."


def test_refusals_are_a_problem_with_a_hint(config: Config) -> None:
    """The most frequent reason, and what it most often means."""
    journal = _count(
        _journal(),
        outcome__accepted=60,
        outcome__invalid_signature=40,
        fault__signature_mismatch=39,
        fault__timestamp_too_old=1,
    )

    health = provider_health(config, journal, "stripe", now=NOON, window=HOUR)

    assert health.tone == "bad"
    assert list(health.problems) == [
        (
            "40 of 100 requests in the last 1 h were refused, most of them for signature_mismatch: the configured secret is "
            "not the one that it signs with, or something changes the body on its way."
        )
    ]


def test_a_few_refusals_are_none(config: Config) -> None:
    """Strangers call every address on the internet."""
    journal = _count(
        _journal(), outcome__accepted=99, outcome__invalid_signature=1, fault__signature_missing=1
    )
    few = _count(_journal(), outcome__invalid_signature=3, fault__signature_missing=3)

    assert not provider_health(config, journal, "stripe", now=NOON).problems
    assert not provider_health(config, few, "stripe", now=NOON).problems


def test_unusual_silence(config: Config) -> None:
    """Five times longer than 99 of 100 gaps of the week, and over 15 minutes."""
    journal = _journal(at=NOON - 2 * HOUR)
    for number in range(500):
        _count(journal, NOON - 2 * HOUR - number * 600, event__accepted=2)

    silent = provider_health(config, journal, "stripe", now=NOON)
    usual = provider_health(config, journal, "stripe", now=NOON - 2 * HOUR + 900)

    assert silent.silence.is_unusual
    assert silent.silence.usual == 600
    assert silent.problems[0].startswith(
        "Silent for 2 h, which is unusual: 99 of 100 gaps of the last week were shorter than 10 min."
    )
    assert not usual.silence.is_unusual


def test_silence_of_a_provider_that_seldom_sends(config: Config) -> None:
    """Nobody can say what is usual."""
    journal = _count(_journal(at=NOON - 3 * 86_400), NOON - 3 * 86_400, event__accepted=50)

    silence = provider_health(config, journal, "stripe", now=NOON).silence

    assert silence.seconds == pytest.approx(3 * 86_400, abs=1)
    assert (silence.usual, silence.is_unusual) == (None, False)


@pytest.mark.parametrize(("age", "which"), [(290.0, "old"), (-280.0, "in the future")])
def test_timestamps_near_the_tolerance(config: Config, age: float, which: str) -> None:
    """Before they are refused."""
    problems = provider_health(config, _journal(age), "stripe", now=NOON).problems

    assert len(problems) == 1
    assert which in problems[0]


def test_slow_answers(config: Config) -> None:
    """Measured against the patience of the provider."""
    journal = _count(_journal(), provider="github", outcome__accepted=9, latency__12=9)

    problems = provider_health(config, journal, "github", now=NOON).problems

    assert "the provider waits for" in problems[0]


def test_all_providers_those_with_problems_first(config: Config) -> None:
    """Then the busiest."""
    journal = _count(_journal(), outcome__accepted=5)
    _count(journal, provider="github", outcome__invalid_signature=50, fault__signature_missing=50)

    assert [each.provider for each in all_providers(config, journal, now=NOON)] == [
        "github",
        "stripe",
        "acme",
    ]


def test_an_unknown_provider(config: Config) -> None:
    """Is named, with those that there are."""
    with pytest.raises(OperatorError, match="no provider 'x'; it has acme, github and stripe"):
        provider_health(config, MemoryJournal(), "x", now=NOON)


def test_quantiles_beyond_the_last_bucket() -> None:
    """Nothing is known but its lower bound."""
    assert quantile({"latency:13": 5}, 0.5) == 10.0
    assert quantile({}, 0.5) is None
