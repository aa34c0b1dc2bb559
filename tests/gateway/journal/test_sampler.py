"""From counters to points: exact, whatever is replaced in between."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.errors import Outcome
from gateway.journal import Point
from gateway.journal.memory import MemoryJournal
from gateway.journal.sampler import Sampler
from gateway.observability.counters import shared_counters
from gateway.observability.metrics import Metrics
from gateway.observability.shared_memory import SharedCounters
from support.journals import NOW


class Console:
    """A sampler with a journal and a clock of its own."""

    def __init__(self, counters: SharedCounters, folder: Path, journal: MemoryJournal | None = None) -> None:
        self.now = NOW
        self.journal = journal or MemoryJournal()
        self.sampler = Sampler(counters, self.journal, folder, lambda: self.now)

    def sums(self, measures: str = "") -> dict[tuple[str, str], float]:
        """Return how often what happened at which provider, in all."""
        points = self.journal.points(measures, 0, NOW + 86_400, 86_400 * 365)
        found: dict[tuple[str, str], float] = {}
        for point in points:
            key = (point.provider, point.measure)
            found[key] = found.get(key, 0.0) + point.times
        return found


def test_everything_that_is_counted_is_sampled(tmp_path: Path) -> None:
    """By its name, of all processes together."""
    counters = shared_counters(2)
    console = Console(counters, tmp_path)
    for slot in range(2):
        metrics = Metrics(counters, slot)
        stripe = metrics.of_provider("stripe", 2)
        stripe.count_outcome("accepted")
        stripe.count_event(Outcome.ACCEPTED)
        if slot:
            stripe.count_signature_failure("signature_mismatch")
        else:
            stripe.count_secret_slot(1)
        stripe.count("unchecked")
        stripe.observe_latency(0.004)
        metrics.of_provider("", 0).count_outcome("unknown_provider")
        metrics.sample("webhook_spooled", lambda: 3)
        metrics.refresh()

    console.sampler.sample()

    found = console.sums()
    gauges = {key: times for key, times in found.items() if key[1].startswith("gauge:")}
    assert {key: times for key, times in found.items() if key not in gauges} == {
        ("stripe", "outcome:accepted"): 2,
        ("stripe", "event:accepted"): 2,
        ("stripe", "fault:signature_mismatch"): 1,
        ("stripe", "slot:1"): 1,
        ("stripe", "incident:unchecked"): 2,
        ("stripe", "latency:2"): 2,
        ("stripe", "latency_sum"): pytest.approx(0.008),
        ("", "outcome:unknown_provider"): 2,
    }
    assert gauges["", "gauge:spooled"] == 6
    assert gauges["", "gauge:processes"] == 2


def test_only_what_was_added_counts(tmp_path: Path) -> None:
    """In its own minute."""
    counters = shared_counters(1)
    stripe = Metrics(counters).of_provider("stripe", 1)
    console = Console(counters, tmp_path)

    for minute in range(3):
        stripe.count_outcome("accepted")
        console.sampler.sample()
        console.now += 10
        stripe.count_outcome("accepted")
        console.sampler.sample()
        console.sampler.sample()
        console.now = NOW + 60 * (minute + 1)

    assert console.journal.points("outcome:", NOW, NOW + 600, 60) == [
        Point(NOW + 60 * minute, "stripe", "outcome:accepted", 2) for minute in range(3)
    ]


def test_a_new_console_goes_on_where_the_one_before_ended(tmp_path: Path) -> None:
    """Also with what was counted while there was none."""
    counters = shared_counters(1)
    stripe = Metrics(counters).of_provider("stripe", 1)
    first = Console(counters, tmp_path)
    stripe.count_outcome("accepted")
    first.sampler.sample()
    stripe.count_outcome("accepted")

    second = Console(counters, tmp_path, first.journal)
    stripe.count_outcome("accepted")
    second.sampler.sample()

    assert second.sums("outcome:") == {("stripe", "outcome:accepted"): 3}
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_new_gateway_begins_at_zero(tmp_path: Path) -> None:
    """What its predecessor counted is not subtracted, nor are numbers that got smaller."""
    journal = MemoryJournal()
    for _ in range(2):
        counters = shared_counters(1)
        stripe = Metrics(counters).of_provider("stripe", 1)
        stripe.count_outcome("accepted")
        stripe.count_outcome("accepted")
        Console(counters, tmp_path, journal).sampler.sample()
    console = Console(counters, tmp_path, journal)
    next(counters.regions[0].records())[1][0] = 1.0

    console.sampler.sample()

    assert console.sums("outcome:") == {("stripe", "outcome:accepted"): 5}


@pytest.mark.parametrize("content", [b"", b"null", b'{"memory": 1}', b"\xff"])
def test_a_file_that_cannot_be_read_is_written_anew(tmp_path: Path, content: bytes) -> None:
    """The whole count is added then: nothing better is known."""
    (tmp_path / "sampled.json").write_bytes(content)
    counters = shared_counters(1)
    Metrics(counters).of_provider("stripe", 1).count_outcome("accepted")
    console = Console(counters, tmp_path)

    console.sampler.sample()

    assert console.sums("outcome:") == {("stripe", "outcome:accepted"): 1}
    assert (tmp_path / "sampled.json").read_bytes() != content


def test_what_could_not_be_written_is_added_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once."""
    counters = shared_counters(1)
    stripe = Metrics(counters).of_provider("stripe", 1)
    console = Console(counters, tmp_path)
    stripe.count_outcome("accepted")

    def fail(_: object) -> None:
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr(console.journal, "add_points", fail)
        with pytest.raises(OSError, match="full"):
            console.sampler.sample()
    stripe.count_outcome("accepted")
    console.sampler.start()
    console.sampler.stop()

    assert console.sums("outcome:") == {("stripe", "outcome:accepted"): 2}
