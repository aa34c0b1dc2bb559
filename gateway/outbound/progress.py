"""How far an attempt has come: its phases, the address of its connection, and what ended it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from aiohttp import ClientError

from gateway.outbound.addresses import AddressRules, Target
from gateway.outbound.exchange import ExchangeProtocol
from gateway.outbound.outcomes import Outcome

_TIMEOUTS = {
    "dns": Outcome.TIMEOUT_DNS,
    "connect": Outcome.TIMEOUT_CONNECT,
    "tls": Outcome.TIMEOUT_TLS,
    "head": Outcome.TIMEOUT_HEAD,
}


class AttemptFailed(ClientError):
    """Raised when an attempt cannot go on. It is one of aiohttp's errors, so that aiohttp passes it on as it is."""

    def __init__(self, outcome: Outcome, detail: str = "") -> None:
        super().__init__(detail or outcome.value)
        self.outcome = outcome
        self.detail = detail


class Progress:
    """One try of an attempt.

    Attributes:
        target: Where it goes.
        rules: What its address must be like.
        wants_fresh: Whether it must not use a kept connection.
        phase: The phase that it is in.
        phases: Milliseconds of each phase that was begun.
        address: The address of its connection; empty before there is one.
        is_kept: Whether the connection was there before.
        exchange: The protocol of its connection; None before there is one.
    """

    __slots__ = (
        "_begun",
        "address",
        "exchange",
        "is_kept",
        "phase",
        "phases",
        "rules",
        "target",
        "wants_fresh",
    )

    def __init__(self, target: Target, rules: AddressRules, *, wants_fresh: bool) -> None:
        self.target = target
        self.rules = rules
        self.wants_fresh = wants_fresh
        self.phase = "dns"
        self.phases: dict[str, float] = {}
        self.address = ""
        self.is_kept = False
        self.exchange: ExchangeProtocol | None = None
        self._begun = 0.0

    def begin(self, exchange: ExchangeProtocol) -> None:
        """Begin the request on a connection."""
        self.is_kept = exchange.exchanges > 0
        self.exchange = exchange
        self.address = exchange.address
        self.phase = "head"
        self._begun = time.perf_counter()
        exchange.begin()

    def end(self) -> None:
        """Note that the head of the response is complete, or that there will be none."""
        if self.phase == "head":
            self.phases["head"] = _milliseconds_since(self._begun)

    @contextmanager
    def measured(self, phase: str) -> Iterator[None]:
        """Measure a phase, however it ends."""
        self.phase = phase
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.phases[phase] = _milliseconds_since(begun)

    @property
    def timeout_outcome(self) -> Outcome:
        """How an attempt ended whose time was over in this phase."""
        return _TIMEOUTS[self.phase]


def _milliseconds_since(begun: float) -> float:
    return round((time.perf_counter() - begun) * 1000, 3)


PROGRESS: ContextVar[Progress] = ContextVar("PROGRESS")
"""The try that the current task makes, for the connector, which aiohttp calls."""
