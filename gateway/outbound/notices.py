"""The notices that the owner of an endpoint gets, once each, and when the endpoint is disabled."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from gateway.outbound.models import EndpointState, Health

DISABLE_AFTER = 72 * 3600.0
"""Seconds of failures without a success after which an endpoint is disabled."""

DISABLE_FAILURES = 10
"""Failures in a row that this needs at least: an endpoint that gets one event a day has not failed often."""

TELL_AFTER = 900.0
"""Seconds for which a circuit has to be open before its owner gets a notice."""

WARN_BEFORE = 86_400.0
"""Seconds before an endpoint is disabled at which its owner gets another notice."""


class Notice(StrEnum):
    """A notice to an owner. Those that hold for a while are also the words of ``Health.told``."""

    FAILING = "failing"
    """The circuit has been open for a quarter of an hour."""
    WARNING = "warning"
    """The endpoint will be disabled within a day."""
    SLOW = "slow"
    """The receiver takes longer than it should."""
    DISABLED = "disabled"
    RECOVERED = "recovered"
    """An endpoint works again whose failures were noticed."""

    @property
    def event_type(self) -> str:
        """Return the type of the event that carries it."""
        return f"gateway.endpoint.{'failing' if self is Notice.WARNING else self.value}"


_OF_FAILURES = frozenset({Notice.FAILING, Notice.WARNING, Notice.DISABLED})


def must_disable(health: Health, now: float) -> bool:
    """Return whether an endpoint has failed for so long that it has to be disabled."""
    return (
        health.state == EndpointState.ENABLED
        and health.failing_since is not None
        and now - health.failing_since >= DISABLE_AFTER
        and health.failures >= DISABLE_FAILURES
    )


def due_notices(health: Health, now: float, *, is_slow: bool) -> tuple[list[Notice], Health]:
    """Return the notices that are due now, and the health with those that the owner has then.

    Args:
        health: What is known of the endpoint; with its new state if it was just disabled.
        now: Unix seconds.
        is_slow: Whether the receiver has been slow for a while.
    """
    told = {Notice(word) for word in health.told}
    holding = _holding(health, now, told, is_slow=is_slow)
    due = sorted(holding - told)
    if told & _OF_FAILURES and not holding & _OF_FAILURES:
        due.append(Notice.RECOVERED)
    return due, msgspec.structs.replace(health, told=tuple(sorted(holding)))


def _holding(health: Health, now: float, told: set[Notice], *, is_slow: bool) -> set[Notice]:
    """Return the notices that hold at the moment."""
    holding = {Notice.SLOW} if is_slow else set()
    if health.state == EndpointState.DISABLED:
        holding |= {Notice.DISABLED} | (told & _OF_FAILURES)
    elif health.failing_since is not None:
        failing = now - health.failing_since
        if health.openings and failing >= TELL_AFTER:
            holding.add(Notice.FAILING)
        if failing >= DISABLE_AFTER - WARN_BEFORE and health.failures >= DISABLE_FAILURES:
            holding.add(Notice.WARNING)
        holding |= told & _OF_FAILURES  # a half-open circuit is no recovery
    elif health.succeeded_at is None or health.state == EndpointState.PAUSED:
        holding |= told & _OF_FAILURES  # somebody has enabled it, and nothing has been delivered yet
    return holding
