"""The book of a run: every attempt and every arrival, in arrays that keep it small."""

from __future__ import annotations

import struct
import time
from array import array
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag, auto

# The event, when it began, how long it took, how it ended.
_ATTEMPT = struct.Struct("=IdfB")
# The event, when, from which queue.
_ARRIVAL = struct.Struct("=IdB")


class Ending(IntEnum):
    """How an attempt ended for its sender. Every attempt has exactly one."""

    ACCEPTED = 0
    QUARANTINED = 1
    DUPLICATE = 2
    UNAVAILABLE = 3  # 503: come back
    REFUSED = 4  # any other answer but 5xx
    BROKEN = 5  # 5xx but 503
    NO_CONNECTION = 6
    CUT = 7  # the connection ended before the answer
    LEFT = 8  # the sender did not wait as long as it should
    UNANSWERED = 9  # the sender waited as long as it does

    @property
    def is_success(self) -> bool:
        """Whether the sender is content."""
        return self <= Ending.DUPLICATE


class State(IntFlag):
    """What is known of an event."""

    OPEN = 0
    ACCEPTED = auto()  # some attempt was answered 202
    DUPLICATE = auto()  # some attempt was answered 200
    ABANDONED = auto()  # its sender gave up
    CALM = auto()  # sent before the first fault


@dataclass(frozen=True)
class Fault:
    """One thing that was done to the gateway or its neighbours; seconds since the run began."""

    began: float
    ended: float
    target: str
    name: str

    def __str__(self) -> str:
        return f"{self.began:9.3f} s to {self.ended:9.3f} s  {self.target}: {self.name}"


class Book:
    """Records what was sent when, how each attempt ended, and what arrived.

    Attributes:
        states: a :class:`State` for each event.
        tries: attempts for each event.
        repelled: of these, how many were answered ``duplicate``.
        copies: arrivals for each event.
        words: answers by status and reason.
        faults: what the nemesis did.
        strangers: arrivals that are no event of this run.
        garbled: events that arrived otherwise than they were sent.
        slowest: seconds that the slowest answer took.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.states, self.tries, self.repelled, self.copies = array("B"), array("B"), array("B"), array("H")
        self._attempts, self._arrivals = bytearray(), bytearray()
        self._settled = 0
        self.endings: Counter[Ending] = Counter()
        self.words: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.strangers: list[str] = []
        self.garbled: list[int] = []
        self.slowest = 0.0

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._start

    @property
    def events(self) -> int:
        """How many were begun."""
        return len(self.states)

    @property
    def attempts(self) -> int:
        """How many were made."""
        return len(self._attempts) // _ATTEMPT.size

    @property
    def arrivals(self) -> int:
        """How many messages were consumed."""
        return len(self._arrivals) // _ARRIVAL.size

    @property
    def open_events(self) -> int:
        """How many senders neither succeeded nor gave up."""
        return self.events - self._settled

    def begin(self, *, is_calm: bool) -> int:
        """A new event; returns its number."""
        self.states.append(State.CALM if is_calm else State.OPEN)
        self.tries.append(0)
        self.repelled.append(0)
        self.copies.append(0)
        return self.events - 1

    def attempted(self, number: int, began: float, ending: Ending) -> None:
        """One attempt has ended now."""
        took = self.now() - began
        self._attempts += _ATTEMPT.pack(number, began, took, ending)
        self.endings[ending] += 1
        self.tries[number] += 1
        if ending <= Ending.BROKEN:
            self.slowest = max(self.slowest, took)
        if ending.is_success:
            is_repetition = ending is Ending.DUPLICATE
            self.repelled[number] += is_repetition
            self._settle(number, State.DUPLICATE if is_repetition else State.ACCEPTED)

    def abandoned(self, number: int) -> None:
        """The sender of an event has given up."""
        self._settle(number, State.ABANDONED)

    def _settle(self, number: int, state: State) -> None:
        self.states[number] |= state
        self._settled += 1

    def arrived(self, number: int, queue: int) -> None:
        """A copy of an event was consumed from a queue."""
        self.copies[number] += 1
        self._arrivals += _ARRIVAL.pack(number, self.now(), queue)

    def slower_than(self, seconds: float) -> int:
        """How many answers took longer."""
        return sum(
            took > seconds and ending <= Ending.BROKEN
            for _, _, took, ending in _ATTEMPT.iter_unpack(self._attempts)
        )

    def spans(self, numbers: Container[int]) -> dict[int, tuple[float, float]]:
        """The moments of the first attempt and the last arrival of some events."""
        first: dict[int, float] = {}
        for number, began, _, _ in _ATTEMPT.iter_unpack(self._attempts):
            if number in numbers:
                first[number] = min(began, first.get(number, began))
        last = {
            number: moment for number, moment, _ in _ARRIVAL.iter_unpack(self._arrivals) if number in numbers
        }
        return {number: (first[number], last[number]) for number in last}

    def timeline(self, number: int) -> Iterator[str]:
        """What happened to an event, in order, faults included."""
        entries = [
            (began, f"{began:9.3f} s  attempt, {Ending(ending).name.lower()} after {took:.3f} s")
            for event, began, took, ending in _ATTEMPT.iter_unpack(self._attempts)
            if event == number
        ]
        entries += [
            (moment, f"{moment:9.3f} s  arrival in queue {queue}")
            for event, moment, queue in _ARRIVAL.iter_unpack(self._arrivals)
            if event == number
        ]
        if entries:
            first, last = min(entries)[0], max(entries)[0]
            entries += [
                (fault.began, str(fault))
                for fault in self.faults
                if first - 5 < fault.ended and fault.began < last + 5
            ]
        return (text for _, text in sorted(entries))
