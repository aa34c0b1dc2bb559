"""What follows from the end of an attempt, step by step, with a clock and with chance of the test's own."""

from __future__ import annotations

from email.utils import formatdate
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.outbound.models import Delivery, DeliveryState
from gateway.outbound.outcomes import Outcome
from gateway.outbound.schedule import (
    MAX_AGE,
    MAX_ATTEMPTS,
    MAX_PAUSE,
    MAX_RETRY_AFTER,
    STEPS,
    Verdict,
    decide,
    parse_retry_after,
)

NOW = 1_795_251_502.0  # 2026-11-21 08:58:22 UTC
FAILURES = [each for each in Outcome if each not in {Outcome.DELIVERED, Outcome.INTERRUPTED, Outcome.FORMAT}]
CHANCES = st.floats(0, 1)


def delivery(attempts: int = 0, age: float = 0.0, round_number: int = 0) -> Delivery:
    """A delivery that has failed so often, and is so old."""
    return Delivery(
        id="dlv_1",
        endpoint="ep_1",
        message="msg_1",
        due_at=0.0,
        attempts=attempts,
        created_at=NOW - age,
        round=round_number,
    )


def failed(
    attempts: int = 0,
    age: float = 0.0,
    outcome: Outcome = Outcome.STATUS,
    status: int | None = 500,
    chance: float = 0.5,
    give_up_on: tuple[int, ...] = (),
    **headers: str,
) -> Verdict:
    """What follows from a failure."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return decide(delivery(attempts, age), outcome, status, fields, give_up_on, NOW, lambda: chance)


def test_a_success_ends_a_delivery() -> None:
    """Whatever it had before, and however old it is."""
    verdict = decide(
        delivery(11, MAX_AGE), Outcome.DELIVERED, 200, {"retry-after": "9"}, (200,), NOW, lambda: 0.5
    )

    assert verdict == Verdict(DeliveryState.DELIVERED, 11, is_failure=False)


@pytest.mark.parametrize("outcome", FAILURES)
def test_every_failure_is_tried_again(outcome: Outcome) -> None:
    """After five seconds at first."""
    assert failed(outcome=outcome, status=None) == Verdict(DeliveryState.PENDING, 1, NOW + 5)


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_the_steps(chance: float) -> None:
    """Twelve attempts in three days, give or take 15 percent each."""
    delays = []
    for attempts in range(MAX_ATTEMPTS - 1):
        verdict = failed(attempts, chance=chance)
        assert (verdict.state, verdict.attempts) == (DeliveryState.PENDING, attempts + 1)
        assert verdict.next_at is not None
        delays.append(verdict.next_at - NOW)

    assert delays == pytest.approx([step * (0.85 + 0.3 * chance) for step in STEPS])
    assert list(accumulate(STEPS))[-1] == pytest.approx(72 * 3600, rel=0.01)
    assert MAX_ATTEMPTS == 12


def test_the_twelfth_failure_is_the_last() -> None:
    """Then a person decides."""
    assert failed(MAX_ATTEMPTS - 1) == Verdict(DeliveryState.DEAD, MAX_ATTEMPTS)


def test_an_old_delivery_is_dead_at_its_next_failure() -> None:
    """After a week; a round that somebody began anew has all its attempts."""
    assert failed(3, MAX_AGE - 1).state == DeliveryState.PENDING
    assert failed(3, MAX_AGE).state == DeliveryState.DEAD
    again = decide(delivery(3, MAX_AGE, round_number=1), Outcome.RESET, None, {}, (), NOW, lambda: 0.5)
    assert again.state == DeliveryState.PENDING


def test_a_round_without_retries_ends_with_its_first_failure() -> None:
    """An attempt that was interrupted is none."""
    single = replace(delivery(round_number=1), retries=False)
    assert decide(single, Outcome.RESET, None, {}, (), NOW, lambda: 0.5).state == DeliveryState.DEAD
    assert decide(single, Outcome.INTERRUPTED, None, {}, (), NOW, lambda: 0.5).state == DeliveryState.PENDING


def test_an_interrupted_attempt_does_not_count() -> None:
    """The gateway ended; the next process tries at once."""
    verdict = decide(delivery(3), Outcome.INTERRUPTED, None, {}, (), NOW, lambda: 0.5)

    assert verdict == Verdict(DeliveryState.PENDING, 3, NOW, is_failure=False)


def test_what_no_attempt_can_mend_is_dead() -> None:
    """There is no body of the wanted format, and there will be none."""
    assert failed(outcome=Outcome.FORMAT, status=None).state == DeliveryState.DEAD


@pytest.mark.parametrize("status", [400, 422])
def test_statuses_that_the_owner_gives_up_on(status: int) -> None:
    """They end the delivery, and are no failure of the endpoint."""
    assert failed(status=status, give_up_on=(400, 422)) == Verdict(DeliveryState.DEAD, 1, is_failure=False)
    assert failed(status=status).state == DeliveryState.PENDING


def test_gone_disables_the_endpoint() -> None:
    """The delivery waits for somebody who enables it."""
    verdict = failed(status=410)

    assert (verdict.state, verdict.disable) == (DeliveryState.PENDING, "gone")


@pytest.mark.parametrize("text", ["disable", " Disable "])
def test_a_receiver_can_ask_to_be_disabled(text: str) -> None:
    """In a refusal only: a success is none."""
    assert failed(status=400, webhook_delivery=text).disable == "asked"
    success = decide(delivery(), Outcome.DELIVERED, 200, {"webhook-delivery": text}, (), NOW, lambda: 0.5)
    assert success.disable == ""


def test_a_receiver_can_refuse_a_message_for_ever() -> None:
    """No other word means that."""
    assert failed(status=400, webhook_delivery="abort-message") == Verdict(DeliveryState.DEAD, 1)
    assert failed(status=400, webhook_delivery="abort").state == DeliveryState.PENDING


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_for_time_gets_it(status: int) -> None:
    """The delivery and the whole endpoint wait; the latter for an hour at most."""
    verdict = failed(status=status, retry_after="120")

    assert verdict.next_at == pytest.approx(NOW + 120 * 1.05)
    assert (verdict.retry_after, verdict.pause) == (120.0, 120.0)
    assert failed(status=status, retry_after="7200").pause == MAX_PAUSE
    assert failed(status=status).pause is None
    assert failed(status=status, retry_after="0").pause is None


@pytest.mark.parametrize("status", [400, 301, 500])
def test_other_failures_can_ask_for_time_for_the_delivery_alone(status: int) -> None:
    """Nothing is wrong with the endpoint as a whole."""
    verdict = failed(status=status, retry_after="120")

    assert verdict.next_at == pytest.approx(NOW + 120 * 1.05)
    assert verdict.pause is None


def test_the_last_failure_closes_the_endpoint_as_well() -> None:
    """The other deliveries have to wait though this one is dead."""
    verdict = failed(MAX_ATTEMPTS - 1, status=503, retry_after="60")

    assert (verdict.state, verdict.pause) == (DeliveryState.DEAD, 60.0)


@given(
    attempts=st.integers(0, MAX_ATTEMPTS - 2),
    seconds=st.integers(0, 10**9),
    status=st.sampled_from([301, 400, 429, 500, 503]),
    is_date=st.booleans(),
    first=CHANCES,
    second=CHANCES,
)
def test_retry_after_is_a_floor(
    attempts: int, seconds: int, status: int, is_date: bool, first: float, second: float
) -> None:
    """Whatever chance says: never earlier than the receiver asked for, up to a day, nor than the schedule allows."""
    text = formatdate(NOW + seconds, usegmt=True) if is_date else str(seconds)
    chances = iter([first, second])
    verdict = decide(
        delivery(attempts), Outcome.STATUS, status, {"retry-after": text}, (), NOW, lambda: next(chances)
    )

    assert verdict.next_at is not None
    delay = verdict.next_at - NOW
    floor = min(seconds, MAX_RETRY_AFTER)
    assert delay >= floor
    assert delay >= STEPS[attempts] * 0.85 - 1e-6
    assert delay <= max(STEPS[attempts] * 1.15, floor * 1.1) + 1e-6


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("999999999", MAX_RETRY_AFTER),
        (formatdate(NOW + 60, usegmt=True), 60.0),
        (formatdate(NOW - 60, usegmt=True), 0.0),
        ("Sat, 21 Nov 2026 08:59:22 GMT", 60.0),
        ("Saturday, 21-Nov-26 08:59:22 GMT", 60.0),
        ("Sat, 21 Nov 2026 08:59:22 -0000", 60.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("1" * 400, None),
        ("\x00", None),
        ("Sat, 99 Nov 2026 08:59:22 GMT", None),
        (None, None),
    ],
)
def test_the_spellings_of_retry_after(text: str | None, seconds: float | None) -> None:
    """Seconds and dates; anything else is as if it were not there."""
    found = parse_retry_after(text, NOW)

    assert found == (pytest.approx(seconds, abs=1) if seconds is not None else None)


@given(st.text(max_size=60))
def test_no_text_is_a_danger(text: str) -> None:
    """The field is hostile."""
    found = parse_retry_after(text, NOW)

    assert found is None or 0 <= found <= MAX_RETRY_AFTER
