"""The circuit of an endpoint, the slow start, slow receivers, notices and disabling, by a clock of the test's own."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.outbound.circuit import FIRST_OPEN, MAX_FAILURES, MAX_OPEN, Circuit
from gateway.outbound.models import EndpointState, Health
from gateway.outbound.notices import (
    DISABLE_AFTER,
    DISABLE_FAILURES,
    TELL_AFTER,
    Notice,
    due_notices,
    must_disable,
)
from gateway.outbound.slowness import PERIOD, SLOW, Slowness

HOUR = 3600.0


def circuit(concurrency: int = 8, chance: float = 0.5, **health: object) -> Circuit:
    """A circuit; with a chance of 0.5 times are exact."""
    return Circuit(msgspec.structs.replace(Health(endpoint="ep_1"), **health), concurrency, lambda: chance)


def is_open(circuit: Circuit) -> bool:
    """Whether it is; asked anew each time."""
    return circuit.is_open


def fail(circuit: Circuit, number: int, now: float) -> None:
    """Let attempts fail that have just begun."""
    for _ in range(number):
        circuit.note_failure(now, now)


def test_a_new_endpoint_gets_one_request_at_a_time() -> None:
    """Then two, three and so on up to its limit: twice as many as soon as all of them have succeeded."""
    new = circuit(4)
    seen = [new.allowance(0.0)]
    for _ in range(6):
        new.note_success(0.0)
        seen.append(new.allowance(0.0))

    assert seen == [1, 2, 3, 4, 4, 4, 4]


def test_five_failures_in_a_row_open_the_circuit() -> None:
    """For half a minute; then one request is a probe."""
    broken = circuit(concurrency=8)
    fail(broken, MAX_FAILURES - 1, 100.0)
    assert not is_open(broken)
    fail(broken, 1, 100.0)

    assert is_open(broken)
    assert broken.closed_until == 100.0 + FIRST_OPEN
    assert [broken.allowance(at) for at in (100.0, 129.9, 130.0)] == [0, 0, 1]


def test_a_success_in_between_begins_the_count_anew() -> None:
    """They have to be in a row."""
    shaky = circuit()
    for _ in range(3):
        fail(shaky, MAX_FAILURES - 2, 0.0)
        shaky.note_success(100.0)

    assert not is_open(shaky)


def test_half_of_the_last_attempts_open_the_circuit() -> None:
    """If they failed within a minute, in whatever order."""
    half = circuit()
    for number in range(18):
        half.note_success(float(number)) if number % 2 else fail(half, 1, float(number))
    assert not is_open(half)
    fail(half, 1, 18.0)
    rare = circuit()
    for number in range(41):
        rare.note_success(number * 10.0) if number % 2 else fail(rare, 1, number * 10.0)

    assert is_open(half)
    assert not is_open(rare)


def test_every_failed_probe_doubles_the_time() -> None:
    """Up to ten minutes."""
    broken, now, times = circuit(), 0.0, []
    fail(broken, MAX_FAILURES, now)
    for _ in range(7):
        until = broken.closed_until
        assert until is not None
        times.append(until - now)
        now = until
        assert broken.allowance(now) == 1
        fail(broken, 1, now)

    assert times == [30, 60, 120, 240, 480, MAX_OPEN, MAX_OPEN]


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 24.0), (1.0, 36.0)])
def test_the_times_differ_by_chance(chance: float, seconds: float) -> None:
    """So that many endpoints of one receiver do not come back together."""
    broken = circuit(chance=chance)
    fail(broken, MAX_FAILURES, 0.0)

    assert broken.closed_until == pytest.approx(seconds)


def test_a_success_closes_the_circuit_with_a_slow_start() -> None:
    """The backlog must not run over a receiver that has just recovered."""
    broken = circuit(8)
    for _ in range(10):
        broken.note_success(0.0)
    assert broken.allowance(0.0) == 8
    fail(broken, MAX_FAILURES, 0.0)
    broken.note_success(40.0)

    assert not is_open(broken)
    assert broken.closed_until is None
    assert broken.allowance(40.0) == 2
    fail(broken, MAX_FAILURES, 50.0)
    assert broken.closed_until == 50.0 + FIRST_OPEN


def test_attempts_from_before_do_not_fail_the_probe() -> None:
    """They were under way when the circuit opened, and end while it is open or half open."""
    broken = circuit()
    for number in range(MAX_FAILURES):
        broken.note_failure(10.0, number)
    broken.note_failure(20.0, 5.0)
    broken.note_failure(41.0, 9.0)

    assert broken.closed_until == 40.0
    broken.note_failure(42.0, 41.0)
    assert broken.closed_until == 42.0 + 2 * FIRST_OPEN


def test_a_refusal_that_is_expected_closes_the_circuit_but_is_no_success() -> None:
    """The receiver works."""
    broken = circuit()
    fail(broken, MAX_FAILURES, 0.0)
    broken.note_refusal(40.0)
    health = broken.health(Health(endpoint="ep_1"), 40.0)

    assert (health.failures, health.openings, health.succeeded_at) == (0, 0, None)


def test_a_pause_that_a_receiver_asked_for_is_kept() -> None:
    """A success that was under way does not end it, and a shorter wish does not shorten it."""
    paused = circuit()
    paused.pause(0.0, 100.0)
    paused.pause(1.0, 5.0)
    paused.note_success(2.0)

    assert [paused.allowance(at) for at in (2.0, 99.0)] == [0, 0]
    assert paused.allowance(100.0) > 0


def test_what_is_known_survives_a_restart() -> None:
    """The next owner goes on where the last one was."""
    before = circuit(8)
    for _ in range(3):
        before.note_success(1.0)
    fail(before, MAX_FAILURES, 100.0)
    health = before.health(Health(endpoint="ep_1", told=("slow",)), 110.0)
    after = Circuit(health, 8, lambda: 0.5)

    assert health == Health(
        endpoint="ep_1", failures=5, failing_since=100.0, succeeded_at=1.0, closed_until=130.0, openings=1, concurrency=1,
        told=("slow",),
    )  # fmt: skip
    assert [after.allowance(at) for at in (129.0, 130.0)] == [0, 1]
    fail(after, 1, 130.0)
    assert after.closed_until == 130.0 + 2 * FIRST_OPEN
    healthy = Circuit(Health(endpoint="ep_1", concurrency=6), 4, lambda: 0.5)
    assert healthy.allowance(0.0) == 4


def test_somebody_enables_an_endpoint() -> None:
    """All is forgotten, and it begins with one request."""
    broken = circuit()
    fail(broken, MAX_FAILURES, 0.0)
    broken.pause(0.0, 1000.0)
    broken.reset()

    assert broken.allowance(0.0) == 1
    assert broken.health(Health(endpoint="ep_1"), 0.0) == Health(endpoint="ep_1")
    broken.resize(1)
    broken.note_success(0.0)
    assert broken.allowance(0.0) == 1


class CircuitMachine(RuleBasedStateMachine):
    """Attempts that begin only if they may, and end in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.paused_until = 0.0
        self.circuit = circuit(8)
        self.begun: list[float] = []

    @rule(seconds=st.floats(0, 700))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds

    @rule(number=st.integers(1, 8))
    def begin(self, number: int) -> None:
        """Begin as many attempts as are allowed."""
        while number and len(self.begun) < self.circuit.allowance(self.now):
            self.begun.append(self.now)
            number -= 1

    @rule(succeeds=st.booleans(), which=st.integers(0, 7))
    def end(self, succeeds: bool, which: int) -> None:
        """End one of them."""
        if self.begun:
            began_at = self.begun.pop(which % len(self.begun))
            if succeeds:
                self.circuit.note_success(self.now)
            else:
                self.circuit.note_failure(self.now, began_at)

    @rule(seconds=st.floats(1, 3600))
    def pause(self, seconds: float) -> None:
        """The receiver asks for time."""
        self.circuit.pause(self.now, seconds)
        self.paused_until = max(self.paused_until, self.now + seconds)

    @invariant()
    def bounds_hold(self) -> None:
        """Nothing within a pause, one while half open, and no more than the limit."""
        allowance = self.circuit.allowance(self.now)
        assert 0 <= allowance <= 8
        if self.now < self.paused_until:
            assert allowance == 0
        if self.circuit.is_open:
            assert allowance <= 1
        until = self.circuit.closed_until
        if until is not None:
            assert until <= max(self.now + 1.2 * MAX_OPEN, self.paused_until)
        health = self.circuit.health(Health(endpoint="ep_1"), self.now)
        assert (health.failures == 0) == (health.failing_since is None)


TestCircuitMachine = CircuitMachine.TestCase


def test_a_slow_receiver_gets_half_as_many_requests() -> None:
    """After ten minutes, and again after ten more, down to two; then it comes back in the same steps."""
    slow, now, seen = Slowness(), 0.0, []
    for seconds in [SLOW + 1] * 300 + [0.1] * 400:
        slow.note(now, seconds)
        now += 10
        seen.append(slow.limit(16))
    steps = [16, *(after for before, after in pairwise(seen) if before != after)]

    assert steps == [16, 8, 4, 2, 4, 8, 16]
    assert not slow.is_told


def test_a_receiver_that_is_slow_for_a_moment_is_left_alone() -> None:
    """One in twenty may take long, and so may all for less than ten minutes."""
    receiver, now = Slowness(), 0.0
    for number in range(500):
        receiver.note(now, 20.0 if number % 25 == 0 else 0.1)
        now += 10
    for _ in range(int(PERIOD / 10) - 1):
        receiver.note(now, 20.0)
        now += 10

    assert receiver.limit(8) == 8
    assert not receiver.is_told


def test_a_few_attempts_say_nothing() -> None:
    """Fewer than ten are no distribution."""
    receiver = Slowness()
    for number in range(9):
        receiver.note(number * PERIOD, 20.0)

    assert receiver.p95 is None
    assert receiver.limit(8) == 8
    for number in range(9, 11):
        receiver.note(number * PERIOD, 20.0)
    assert receiver.is_told
    assert [receiver.limit(concurrency) for concurrency in (1, 2, 3, 8)] == [1, 2, 2, 4]


def health(**fields: object) -> Health:
    """What is known of an endpoint."""
    return msgspec.structs.replace(Health(endpoint="ep_1"), **fields)


def test_an_endpoint_is_disabled_after_three_days_of_failures() -> None:
    """And not before ten of them: an endpoint with one event a day has not failed often."""
    failing = health(failing_since=0.0, failures=DISABLE_FAILURES)

    assert not must_disable(failing, DISABLE_AFTER - 1)
    assert must_disable(failing, DISABLE_AFTER)
    assert not must_disable(health(failing_since=0.0, failures=DISABLE_FAILURES - 1), DISABLE_AFTER * 2)
    assert not must_disable(health(failures=0, succeeded_at=0.0), DISABLE_AFTER * 2)
    for state in (EndpointState.PAUSED, EndpointState.DISABLED):
        assert not must_disable(health(failing_since=0.0, failures=99, state=state), DISABLE_AFTER)


@given(st.lists(st.tuples(st.floats(1, 24 * HOUR), st.booleans()), max_size=60))
def test_no_endpoint_is_disabled_that_had_a_success_within_three_days(
    attempts: list[tuple[float, bool]],
) -> None:
    """Whatever happened, and however idle it was before."""
    now, tried, row, succeeded_at = 0.0, circuit(), 0, 0.0
    for seconds, succeeds in attempts:
        now += seconds
        if succeeds:
            tried.note_success(now)
            row, succeeded_at = 0, now
        else:
            tried.note_failure(now, now)
            row += 1
        if must_disable(tried.health(health(), now), now):
            assert row >= DISABLE_FAILURES
            assert now - succeeded_at >= DISABLE_AFTER


def test_the_owner_is_told_once_each() -> None:
    """Of a circuit that stays open, a day before the end, of the end, and of the recovery."""
    known, told = health(failing_since=0.0, failures=20, openings=3), []
    for now in (0.0, TELL_AFTER - 1, TELL_AFTER, HOUR, 40 * HOUR, 48 * HOUR, 60 * HOUR, 72 * HOUR, 80 * HOUR):
        if must_disable(known, now):
            known = msgspec.structs.replace(known, state=EndpointState.DISABLED)
        due, known = due_notices(known, now, is_slow=False)
        told += [(now, notice) for notice in due]
    enabled = health(told=known.told)
    due, enabled = due_notices(enabled, 90 * HOUR, is_slow=False)
    assert due == []
    works = msgspec.structs.replace(enabled, succeeded_at=91 * HOUR)
    due, works = due_notices(works, 91 * HOUR, is_slow=False)

    assert told == [
        (TELL_AFTER, Notice.FAILING),
        (48 * HOUR, Notice.WARNING),
        (72 * HOUR, Notice.DISABLED),
    ]
    assert due == [Notice.RECOVERED]
    assert works.told == ()
    assert due_notices(works, 92 * HOUR, is_slow=False) == ([], works)


def test_short_failures_are_not_told() -> None:
    """Neither that they began, nor that they ended."""
    failing = health(failing_since=0.0, failures=3)
    due, known = due_notices(failing, 2 * HOUR, is_slow=False)
    recovered = msgspec.structs.replace(known, failing_since=None, failures=0, succeeded_at=HOUR)

    assert due == []
    assert due_notices(recovered, 3 * HOUR, is_slow=False)[0] == []


def test_a_probe_that_is_under_way_is_no_recovery() -> None:
    """Only a success is."""
    failing = health(failing_since=0.0, failures=9, openings=2, told=("failing",))

    assert due_notices(failing, HOUR, is_slow=False)[0] == []


def test_a_slow_receiver_is_told_once_until_it_is_quick_again() -> None:
    """And then again."""
    due, known = due_notices(health(), 0.0, is_slow=True)
    assert due == [Notice.SLOW]
    assert due_notices(known, 1.0, is_slow=True)[0] == []
    due, known = due_notices(known, 2.0, is_slow=False)
    assert (due, known.told) == ([], ())
    assert due_notices(known, 3.0, is_slow=True)[0] == [Notice.SLOW]


def test_notices_are_events() -> None:
    """Of the vocabulary; a warning is a failing endpoint's second notice."""
    assert [notice.event_type for notice in Notice] == [
        "gateway.endpoint.failing",
        "gateway.endpoint.failing",
        "gateway.endpoint.slow",
        "gateway.endpoint.disabled",
        "gateway.endpoint.recovered",
    ]
