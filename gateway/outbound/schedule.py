"""What follows from the end of an attempt: delivered, tried again and when, dead, or the endpoint disabled.

Time and chance are arguments, so that the whole schedule can be tested in no time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from gateway.outbound.models import Delivery, DeliveryState
from gateway.outbound.outcomes import Outcome

STEPS = (5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 72_000.0)
"""Seconds before the next attempt, after the first failure, the second, and so on: 12 attempts within 72 hours."""

MAX_ATTEMPTS = len(STEPS) + 1
"""Failed attempts after which a delivery is dead."""

MAX_AGE = 7 * 86_400.0
"""Seconds after which a delivery is dead at its next failure, however few attempts it had."""

MAX_RETRY_AFTER = 86_400.0
"""The longest time in seconds that a receiver can ask for."""

MAX_PAUSE = 3600.0
"""The longest time in seconds for which one response closes its endpoint."""

_JITTER = (0.85, 1.15)
_FLOOR_JITTER = (1.0, 1.1)
_PAUSING = frozenset({429, 503})
_GONE = 410
_SECONDS = re.compile(r"[0-9]{1,12}")

_COUNTED_OUT = frozenset({Outcome.FORMAT})
"""Failures that another attempt cannot repair."""


class Verdict(NamedTuple):
    """What follows from an attempt.

    Attributes:
        state: The state of its delivery.
        attempts: The failed attempts of the delivery's round.
        next_at: When the next attempt is due, in Unix seconds; None if there is none.
        is_failure: Whether the attempt counts against the endpoint. A refusal that the owner expects does not.
        retry_after: Seconds that the receiver asked to be spared; None if it did not.
        pause: Seconds for which the endpoint gets no request at all; None for no pause.
        disable: Why the endpoint has to be disabled: `gone` or `asked`; empty if it need not.
    """

    state: DeliveryState
    attempts: int
    next_at: float | None = None
    is_failure: bool = True
    retry_after: float | None = None
    pause: float | None = None
    disable: str = ""


def decide(
    delivery: Delivery,
    outcome: Outcome,
    status: int | None,
    headers: Mapping[str, str],
    give_up_on: tuple[int, ...],
    now: float,
    chance: Callable[[], float],
) -> Verdict:
    """Return what follows from an attempt that just ended.

    Args:
        delivery: The delivery as it was before.
        outcome: How the attempt ended.
        status: The status of the response; None if there was none.
        headers: Fields of the response by their lower-case names.
        give_up_on: The statuses that end a delivery at once, by the endpoint.
        now: Unix seconds.
        chance: Returns a number from 0 to 1, such as :func:`random.random`.
    """
    if outcome == Outcome.DELIVERED:
        return Verdict(DeliveryState.DELIVERED, delivery.attempts, is_failure=False)
    if outcome == Outcome.INTERRUPTED:
        return Verdict(DeliveryState.PENDING, delivery.attempts, now, is_failure=False)
    attempts = delivery.attempts + 1
    wish = headers.get("webhook-delivery", "").strip().lower() if status is not None else ""
    if status in give_up_on:
        return Verdict(DeliveryState.DEAD, attempts, is_failure=False)
    retry_after = parse_retry_after(headers.get("retry-after"), now)
    pause = min(retry_after, MAX_PAUSE) if retry_after and status in _PAUSING else None
    disable = "gone" if status == _GONE else "asked" if wish == "disable" else ""
    if wish == "abort-message" or outcome in _COUNTED_OUT or _is_used_up(delivery, attempts, now):
        return Verdict(DeliveryState.DEAD, attempts, None, True, retry_after, pause, disable)
    delay = STEPS[min(attempts, len(STEPS)) - 1] * between(_JITTER, chance())
    if retry_after:
        delay = max(delay, retry_after * between(_FLOOR_JITTER, chance()))
    return Verdict(DeliveryState.PENDING, attempts, now + delay, True, retry_after, pause, disable)


def _is_used_up(delivery: Delivery, attempts: int, now: float) -> bool:
    # Whoever begins a new round of an old delivery wants all its attempts.
    is_old = delivery.round == 0 and now - delivery.created_at >= MAX_AGE
    return attempts >= MAX_ATTEMPTS or is_old or not delivery.retries


def between(bounds: tuple[float, float], chance: float) -> float:
    """Return a number between two bounds."""
    return bounds[0] + (bounds[1] - bounds[0]) * chance


def parse_retry_after(text: str | None, now: float) -> float | None:
    """Return the seconds that `Retry-After` asks for, a day at most; None if it is absent or malformed.

    Args:
        text: The value of the field: seconds, or a date.
        now: Unix seconds.

    Source: RFC 9110, section 10.2.3.
    """
    text = (text or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
        # A date without a zone is in UTC, as all dates of HTTP are.
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
