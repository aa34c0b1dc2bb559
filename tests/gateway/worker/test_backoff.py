"""The delays between attempts."""

from __future__ import annotations

from gateway.worker.backoff import Backoff


def test_delays_double_up_to_the_longest_and_spread() -> None:
    """A later attempt waits for its delay or the one below; what is asked for is rounded up to a delay."""
    backoff = Backoff(1, 10)

    assert list(backoff.delays) == [1, 2, 4, 8, 10]
    assert [{backoff.after(attempts) for _ in range(100)} for attempts in (1, 2, 4, 50)] == [
        {1}, {1, 2}, {4, 8}, {8, 10},
    ]  # fmt: skip
    assert [backoff.at_least(seconds) for seconds in (0, 3, 8, 60)] == [1, 4, 8, 10]
