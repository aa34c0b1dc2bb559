"""How one endpoint behaves, and what follows: how many attempts it gets, which notices its owner gets, when it is disabled.

It puts together what decides: the circuit, the slowness of the receiver, and the notices. What has to outlive the process is
its health.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.outbound.circuit import Circuit
from gateway.outbound.client import Result
from gateway.outbound.models import Endpoint, EndpointState, Health
from gateway.outbound.notices import Notice, due_notices, must_disable
from gateway.outbound.outcomes import Outcome
from gateway.outbound.schedule import Verdict
from gateway.outbound.slowness import Slowness

SAVE_INTERVAL = 30.0
"""Seconds between two writes of what changes with every attempt, such as the last success."""

_SAYS_NOTHING = frozenset({Outcome.INTERRUPTED, Outcome.FORMAT})
"""Outcomes that say nothing about the receiver."""


class Behaviour:
    """What the owner of an endpoint knows of it.

    Args:
        endpoint: The endpoint.
        health: What is known from before.
        chance: Returns a number from 0 to 1, such as :func:`random.random`.

    Attributes:
        health: What is known now.
    """

    def __init__(self, endpoint: Endpoint, health: Health, chance: Callable[[], float]) -> None:
        self.health = health
        self._limit = endpoint.concurrency
        self._chance = chance
        self._circuit = Circuit(health, endpoint.concurrency, chance)
        self._slowness = Slowness()
        self._saved = health
        self._saved_at = 0.0

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed."""
        return self.health.failures > 0

    @property
    def concurrency(self) -> int:
        """How many attempts at a time the receiver takes while it is not closed."""
        return max(self._slowness.limit(max(self.health.concurrency, 1)), 1)

    def wait(self, now: float, in_flight: int) -> float | None:
        """Return the seconds until an attempt may begin, 0 if it may now; None if one has to end first.

        Args:
            now: Unix seconds.
            in_flight: The attempts under way.
        """
        allowed = self._circuit.allowance(now)
        if allowed == 0:
            return max((self._circuit.closed_until or now) - now, 0.0)
        return 0.0 if in_flight < self._slowness.limit(allowed) else None

    def resize(self, concurrency: int) -> None:
        """Go on with another number of attempts at a time."""
        self._limit = concurrency
        self._circuit.resize(concurrency)

    def adopt(self, health: Health) -> None:
        """Go on with what a person has decided; what was known before counts no more."""
        self.health = self._saved = health
        self._circuit = Circuit(health, self._limit, self._chance)

    def ended(self, result: Result, verdict: Verdict, began_at: float, now: float) -> list[Notice]:
        """Note the end of an attempt; return the notices that its owner gets.

        Args:
            result: How it ended.
            verdict: What follows from that.
            began_at: When it began, in Unix seconds.
            now: Unix seconds.
        """
        if result.outcome in _SAYS_NOTHING:
            return []
        self._slowness.note(now, result.ms / 1000)
        if result.outcome is Outcome.DELIVERED:
            self._circuit.note_success(now)
        elif verdict.is_failure:
            self._circuit.note_failure(now, began_at)
        else:
            self._circuit.note_refusal(now)
        if verdict.pause is not None:
            self._circuit.pause(now, verdict.pause)
        health = self._circuit.health(self.health, now)
        reason = verdict.disable or ("failing" if must_disable(health, now) else "")
        if reason and health.state is EndpointState.ENABLED:
            health = msgspec.structs.replace(health, state=EndpointState.DISABLED, reason=reason)
        notices, self.health = due_notices(health, now, is_slow=self._slowness.is_told)
        return notices

    def unsaved(self, now: float) -> Health | None:
        """Return the health if it has to be written: it matters to somebody else, or after a crash; None if it has not."""
        mine, saved = self.health, self._saved
        if mine == saved:
            return None
        matters = (
            (mine.state, mine.told, mine.openings, mine.closed_until)
            != (saved.state, saved.told, saved.openings, saved.closed_until)
            or (mine.failing_since is None) is not (saved.failing_since is None)
            or (mine.succeeded_at is None) is not (saved.succeeded_at is None)
        )
        return mine if matters or now - self._saved_at >= SAVE_INTERVAL else None

    def note_saved(self, health: Health, now: float) -> None:
        """Note that a health was written."""
        self._saved, self._saved_at = health, now
