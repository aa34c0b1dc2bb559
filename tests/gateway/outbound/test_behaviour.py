"""What follows from the attempts of one endpoint, by a clock of the test's."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.outbound.behaviour import SAVE_INTERVAL, Behaviour
from gateway.outbound.client import Result
from gateway.outbound.models import DeliveryState, EndpointState, Health
from gateway.outbound.notices import DISABLE_AFTER, DISABLE_FAILURES, Notice
from gateway.outbound.outcomes import Outcome
from gateway.outbound.schedule import Verdict
from support.outbound_records import an_endpoint

NOW = 1_795_251_502.0
HOUR = 3600.0

OK = Result(Outcome.DELIVERED, status=200, ms=5.0)
BAD = Result(Outcome.STATUS, status=500, ms=5.0)
DELIVERED = Verdict(DeliveryState.DELIVERED, 0, is_failure=False)
FAILED = Verdict(DeliveryState.PENDING, 1, NOW + 5)


def a_behaviour(**health: object) -> Behaviour:
    """Return that of an endpoint with eight attempts at a time, which works."""
    known = replace(Health(endpoint="ep_shop"), **{"concurrency": 8, **health})
    return Behaviour(an_endpoint(concurrency=8), known, lambda: 0.5)


def fail(behaviour: Behaviour, count: int, now: float) -> list[Notice]:
    """Let attempts fail, one after another; return what the last one tells."""
    told: list[Notice] = []
    for _ in range(count):
        told = behaviour.ended(BAD, FAILED, now, now)
    return told


def test_failures_close_the_endpoint_and_one_success_opens_it() -> None:
    """With one attempt at a time at first."""
    behaviour = a_behaviour()
    assert behaviour.wait(NOW, 7) == 0.0
    assert behaviour.wait(NOW, 8) is None
    fail(behaviour, 5, NOW)
    wait = behaviour.wait(NOW, 0)
    assert wait is not None
    assert wait > 0
    later = NOW + wait + 0.001
    assert behaviour.wait(later, 0) == 0.0
    assert behaviour.wait(later, 1) is None
    behaviour.ended(OK, DELIVERED, later, later)
    assert not behaviour.is_failing
    assert 1 <= behaviour.concurrency < 8


def test_a_pause_that_the_receiver_asks_for_is_kept_through_a_success() -> None:
    """An attempt that was under way says nothing about it."""
    behaviour = a_behaviour()
    behaviour.ended(BAD, FAILED._replace(retry_after=60.0, pause=60.0), NOW, NOW)
    behaviour.ended(OK, DELIVERED, NOW, NOW + 1)
    assert behaviour.wait(NOW + 1, 0) == 59.0


def test_a_refusal_that_the_owner_expects_is_no_failure() -> None:
    """Nor is an attempt that was cut off, or that could not be made."""
    behaviour = a_behaviour()
    for _ in range(20):
        behaviour.ended(BAD, Verdict(DeliveryState.DEAD, 1, is_failure=False), NOW, NOW)
        behaviour.ended(Result(Outcome.INTERRUPTED), FAILED, NOW, NOW)
        behaviour.ended(Result(Outcome.FORMAT), FAILED, NOW, NOW)
    assert behaviour.wait(NOW, 0) == 0.0
    assert not behaviour.is_failing


def test_an_endpoint_is_disabled_for_a_reason_and_told_once() -> None:
    """After days without a success, or at once where its receiver asks for it."""
    behaviour = a_behaviour(failing_since=NOW - DISABLE_AFTER, failures=DISABLE_FAILURES)
    assert Notice.DISABLED in fail(behaviour, 1, NOW)
    assert (behaviour.health.state, behaviour.health.reason) == (EndpointState.DISABLED, "failing")
    assert Notice.DISABLED not in fail(behaviour, 1, NOW + 1)

    gone = a_behaviour()
    assert gone.ended(BAD, FAILED._replace(disable="gone"), NOW, NOW) == [Notice.DISABLED]
    assert gone.health.reason == "gone"


def test_what_matters_to_others_is_written_at_once_and_the_rest_now_and_then() -> None:
    """Such as an opened circuit, and the moment of the last success."""
    behaviour = a_behaviour(succeeded_at=NOW - HOUR)
    behaviour.note_saved(behaviour.health, NOW)
    behaviour.ended(OK, DELIVERED, NOW, NOW)
    assert behaviour.unsaved(NOW + 1) is None
    health = behaviour.unsaved(NOW + SAVE_INTERVAL)
    assert health is not None
    behaviour.note_saved(health, NOW + SAVE_INTERVAL)
    assert behaviour.unsaved(NOW + 2 * SAVE_INTERVAL) is None
    fail(behaviour, 5, NOW + SAVE_INTERVAL)
    assert behaviour.unsaved(NOW + SAVE_INTERVAL) is behaviour.health


def test_what_a_person_decided_counts_and_nothing_from_before() -> None:
    """An endpoint that is enabled begins anew."""
    behaviour = a_behaviour()
    fail(behaviour, 10, NOW)
    behaviour.adopt(Health(endpoint="ep_shop"))
    assert behaviour.wait(NOW, 0) == 0.0
    assert behaviour.unsaved(NOW + HOUR) is None
    behaviour.resize(1)
    assert behaviour.wait(NOW, 1) is None
