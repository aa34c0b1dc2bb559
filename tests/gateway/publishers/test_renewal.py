"""Renewals of a connection, on a clock of the test's own."""

from __future__ import annotations

from gateway.publishers.renewal import Renewal


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def pauses(renewal: Renewal, clock: Clock, count: int) -> list[float]:
    """Return the seconds between renewals while every message is refused."""
    found = []
    for _ in range(count):
        began_at = clock.now
        while not renewal.is_due():
            clock.now += 0.5
        found.append(clock.now - began_at)
    return found


def test_the_first_refusal_renews_at_once_and_the_following_less_and_less_often() -> None:
    """A queue that is full stays full. A leader that is elected late is found soon: the delay grows by a quarter."""
    clock = Clock()

    assert pauses(Renewal(clock), clock, 12) == [0, 1, 1, 1, 1, 1, 1.5, 2, 2.5, 3, 3.5, 4.5]
    assert pauses(Renewal(clock), clock, 40)[-2:] == [60, 60]


def test_after_a_time_without_refusals_it_begins_anew() -> None:
    """The next leader that dies has nothing to do with the last one."""
    clock = Clock()
    renewal = Renewal(clock)
    pauses(renewal, clock, 40)
    clock.now += 121

    assert pauses(renewal, clock, 3) == [0, 1, 1]
