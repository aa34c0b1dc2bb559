"""The rate of attempts to an endpoint."""

from __future__ import annotations

import pytest

from gateway.outbound.rate import RateLimit


def test_without_a_rate_nothing_waits() -> None:
    """However many there are."""
    limit = RateLimit(None)
    for _ in range(1000):
        limit.take(0.0)

    assert limit.wait(0.0) == 0.0


def test_so_many_a_second_and_no_more_after_a_pause() -> None:
    """A second's worth at once, then one after another."""
    limit = RateLimit(10.0)
    begun = []
    now = 100.0
    for _ in range(30):
        now += limit.wait(now)
        limit.take(now)
        begun.append(now)

    assert begun[9] == pytest.approx(100.0)
    assert begun[29] == pytest.approx(102.0)
    assert limit.wait(now + 3600) == 0.0


def test_a_rate_below_one_a_second_begins_with_one() -> None:
    """And then one in so many seconds."""
    limit = RateLimit(0.1)
    assert limit.wait(5.0) == 0.0
    limit.take(5.0)

    assert limit.wait(5.0) == pytest.approx(10.0)
    assert limit.wait(15.0) == pytest.approx(0.0)


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    """Nor does it give anything."""
    limit = RateLimit(1.0)
    limit.take(100.0)

    assert limit.wait(50.0) == pytest.approx(1.0)
