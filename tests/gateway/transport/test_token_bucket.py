"""A token bucket, by a clock of the test's own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.token_bucket import TokenBucket


def test_it_has_a_burst_and_then_a_rate() -> None:
    """Ten at once, and one every tenth of a second."""
    now = 0.0
    bucket = TokenBucket((10, 1.0), lambda: now)
    taken = 0
    while not bucket.is_empty():
        bucket.take()
        taken += 1

    assert taken == 10
    assert bucket.delay() == 0.1
    now = 0.25
    assert bucket.delay() == 0.0
    bucket.take()
    bucket.take()
    assert 0 < bucket.delay() < 0.1


@given(st.floats(0.1, 100), st.lists(st.floats(0, 10), min_size=1, max_size=100))
def test_the_rate_is_never_exceeded(rate: float, pauses: list[float]) -> None:
    """Over any time it gives no more than its burst and what was refilled, and after the delay there is a token."""
    now, taken, burst = 0.0, 0, max(rate, 1.0)
    bucket = TokenBucket((burst, burst / rate), lambda: now)
    for pause in pauses:
        now += pause
        while not bucket.is_empty():
            bucket.take()
            taken += 1
        assert taken <= burst + now * rate + 1e-6
        now += bucket.delay() + 1e-9
        assert not bucket.is_empty()
