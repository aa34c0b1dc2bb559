"""The breaker, on a clock of the test's own."""

from __future__ import annotations

import pytest

from gateway.publishers.circuit_breaker import PublishBreaker


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def opened() -> tuple[PublishBreaker, Clock]:
    """A breaker that three timeouts have opened just now."""
    clock = Clock()
    breaker = PublishBreaker(clock)
    for _ in range(3):
        breaker.note_timeout(clock.now - 2)
    return breaker, clock


def test_three_timeouts_in_a_row_open_it() -> None:
    """Two do not, nor do three with a confirm among them."""
    breaker = PublishBreaker(Clock())
    seen = []
    for note in "tt.ttt":
        breaker.note_confirm() if note == "." else breaker.note_timeout(98.0)
        seen.append(breaker.permits())

    assert seen == [True, True, True, True, True, False]
    assert breaker.is_open


def test_after_a_second_one_message_at_a_time_may_go() -> None:
    """The next only when the first has failed, after a pause that has grown, to five seconds at most."""
    breaker, clock = opened()
    pauses = []
    for _ in range(5):
        asked_at = clock.now
        while not breaker.permits():
            clock.now += 0.25
        pauses.append(clock.now - asked_at)
        assert not breaker.permits()
        breaker.note_timeout(clock.now)

    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_confirm_closes_it_and_the_pauses_are_short_again() -> None:
    """Whichever message it was for."""
    breaker, clock = opened()
    clock.now += 1
    assert breaker.permits()
    breaker.note_timeout(clock.now)
    breaker.note_confirm()
    assert not breaker.is_open
    assert [breaker.permits() for _ in range(3)] == [True] * 3

    for _ in range(3):
        breaker.note_timeout(clock.now)
    clock.now += 1
    assert breaker.permits()


@pytest.mark.parametrize("is_late", [False, True])
def test_a_late_confirm_lets_the_probe_go_at_once_and_no_more(is_late: bool) -> None:
    """A broker that answers too late still delivers: each message beside the probe would be there twice."""
    breaker, _ = opened()
    if is_late:
        breaker.note_late_confirm()

    assert [breaker.permits() for _ in range(2)] == [is_late, False]
    assert breaker.is_open


def test_messages_sent_before_the_probe_say_nothing_of_it() -> None:
    """Their timeouts come when the probe is under way; only its own makes the pause grow."""
    breaker, clock = opened()
    clock.now += 1
    assert breaker.permits()
    breaker.note_timeout(clock.now - 0.5)
    clock.now += 10
    assert not breaker.permits()
