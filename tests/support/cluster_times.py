"""Measure what a fault of a cluster costs: copies, refusals, and the time until messages are confirmed again."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import quantiles
from typing import NamedTuple

from support.cluster_case import ClusterCase
from support.paced_sender import PacedSender
from support.threads import running

RATE = float(os.environ.get("WEBHOOK_CLUSTER_RATE", "500"))
"""Events a second that are sent while faults are measured."""

_CONFIRM_TIMEOUT = 2.0
"""Seconds that a request waits for a confirm: those sent so long before a fault may feel it."""

_INTERVAL = 0.1
"""Seconds between two looks: the precision of all times but those of answers."""


class Look(NamedTuple):
    """What was seen at a moment.

    Attributes:
        at: the moment, in monotonic seconds.
        confirmed: how many events RabbitMQ had confirmed, at least.
        spooled: how many waited on disk.
        is_ready: whether /readyz said that events are accepted.
    """

    at: float
    confirmed: int
    spooled: int
    is_ready: bool


class Measured(NamedTuple):
    """What a fault cost; None for what was not measured.

    Attributes:
        fault: what was done.
        rate: events a second that were sent meanwhile.
        lost: accepted events that never arrived.
        copies: messages beyond the first of an event.
        refused: events that were not answered with 2xx.
        pause: the longest time without a confirm, in seconds.
        grew: seconds from the fault until the most events waited on disk: from then on more were confirmed than came.
        spooled: how many events waited on disk at the most.
        drained: seconds from the end of the fault until none did.
        p99: of the answers from the fault until everything was drained, in seconds.
        longest: of the same answers.
        was_ready: whether /readyz said all the time that events are accepted.
    """

    fault: str
    rate: float
    lost: int
    copies: int
    refused: int
    p99: float
    longest: float
    pause: float | None = None
    grew: float | None = None
    spooled: int | None = None
    drained: float | None = None
    was_ready: bool | None = None

    def row(self) -> str:
        """Return it as a row of a table in Markdown."""
        cells = [
            self.fault,
            f"{self.rate:g}/s",
            *(f"{count}" for count in (self.lost, self.copies, self.refused)),
            f"{self.p99:.2f} s",
            f"{self.longest:.2f} s",
            "–" if self.pause is None else f"{self.pause:.1f} s",
            "–" if self.grew is None else f"{self.grew:.1f} s",
            "–" if self.spooled is None else f"{self.spooled:,}",
            "–" if self.drained is None else f"{self.drained:.1f} s",
            "–" if self.was_ready is None else "yes" if self.was_ready else "no",
        ]
        return f"| {' | '.join(cells)} |"


HEAD = (
    "| fault | sent | lost | copies | refused | p99 of the answers | slowest answer | longest time without a confirm | "
    "spool grew for | spooled at most | drained after its end | always ready |\n" + "| --- " * 12 + "|"
)
"""The head of the table that :meth:`Measured.row` belongs to."""


class Watch:
    """Looks at a gateway and its sender again and again.

    Attributes:
        looks: what was seen.
        ended_at: when the fault was undone, as the test says; its begin unless told.
    """

    def __init__(self, case: ClusterCase) -> None:
        self.looks: list[Look] = []
        self._case = case
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.began_at = self.ended_at = 0.0

    def _look(self) -> None:
        confirmed = 0
        while not self._is_over.wait(_INTERVAL):
            # In this order: what is answered between the two counts as spooled at most.
            accepted = len(self._case.sender.accepted)
            spooled = int(self._case.spooled())
            confirmed = max(confirmed, accepted - spooled)
            is_ready = self._case.gateway.get("/readyz").status_code == 200
            self.looks.append(Look(time.monotonic(), confirmed, spooled, is_ready))

    def begin(self) -> None:
        """Note that the fault begins now."""
        self.began_at = self.ended_at = time.monotonic()

    def note_end(self) -> None:
        """Note that the fault is undone now."""
        self.ended_at = time.monotonic()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Look, until the end of the block."""
        with running(self._thread, self._is_over):
            yield

    def result(self, fault: str) -> Measured:
        """Return what the fault cost, once everything is sent; wait until all has arrived."""
        looks = [look for look in self.looks if look.at >= self.began_at]
        full_at = max((look.at for look in looks if look.spooled), default=self.ended_at)
        fullest = max(looks, key=lambda look: look.spooled)
        return answers_of(self._case, fault, self.began_at, full_at)._replace(
            pause=_longest_pause(looks, self.began_at),
            grew=fullest.at - self.began_at if fullest.spooled else 0.0,
            spooled=fullest.spooled,
            drained=max(0.0, full_at - self.ended_at),
            was_ready=all(look.is_ready for look in looks),
        )


def answers_of(case: ClusterCase, fault: str, since: float = 0.0, until: float = math.inf) -> Measured:
    """Return what senders saw of a fault, once everything is sent; wait until all has arrived."""
    sender = case.sender
    assert isinstance(sender, PacedSender)
    counts = case.settle()
    seconds = [answer.seconds for answer in sender.timed if since - _CONFIRM_TIMEOUT < answer.due_at <= until]
    return Measured(
        fault,
        sender.rate,
        len(sender.accepted.keys() - counts.keys()),
        sum(count - 1 for count in counts.values()),
        len(sender.answers.keys() - sender.accepted.keys()),
        quantiles(seconds, n=100)[98],
        max(seconds),
    )


def _longest_pause(looks: list[Look], began_at: float) -> float:
    """Return the longest time between two looks at which more was confirmed than before."""
    longest, last_at, confirmed = 0.0, began_at, looks[0].confirmed
    for look in looks:
        if look.confirmed > confirmed:
            longest = max(longest, look.at - last_at)
            last_at, confirmed = look.at, look.confirmed
    return longest
