"""Whether the book balances: each promise with what came out, and the events that broke it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ledger.book import Book, Ending, State
from ledger.events import Events
from ledger.evidence import Evidence
from ledger.faults import KILL
from ledger.gauge import Gauge

_GRACE = 0.5
_SHOWN = 3
_SHOWN_CAUSES = 8
_PUBLISHES_IN_A_FAULT = (
    3  # of one event: with others, alone as a probe, and once more when the probe was confirmed
)
_AFTERMATH = 1.0  # seconds that a fault is felt after its end
_MAX_MEMORY = 400.0  # MiB
_MORE_FILES = 20  # than at the start


class Row(NamedTuple):
    """A line of the balance.

    Attributes:
        title: what was counted or measured.
        value: how it came out.
        is_good: whether that is as promised; None where nothing is.
    """

    title: str
    value: str
    is_good: bool | None = None


class Balance:
    """What came out of a run.

    Args:
        book: what took note.
        events: what was sent.
        gauge: what the gateway used.
        evidence: what its journal says.
        seed: of all choices.
        deadline: seconds that the gateway had for an answer.
        log: what the gateway wrote.

    Attributes:
        rows: the lines of the balance.
        offenders: by the title of a promise, the events that broke it.
    """

    def __init__(
        self,
        book: Book,
        events: Events,
        gauge: Gauge,
        evidence: Evidence,
        seed: int,
        deadline: float,
        log: Path,
    ) -> None:
        self._book = book
        self._events = events
        self._log = log
        self.seed = seed
        self.offenders: dict[str, list[int]] = {}
        self.rows = [
            *self._volume(),
            *self._promises(),
            *self._journal(evidence),
            *self._resources(gauge, deadline),
        ]

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return all(row.is_good is not False for row in self.rows)

    def explain(self) -> str:
        """Everything that helps to find out why a promise was not kept."""
        parts = [
            f"seed {self.seed}",
            *(f"{row.title}: {row.value}" for row in self.rows if row.is_good is False),
        ]
        for title, numbers in self.offenders.items():
            for number in numbers[:_SHOWN]:
                event_id = self._events.id(number)
                parts += [f"--- {title}: {event_id}", *self._book.timeline(number), *self._logged(event_id)]
        parts += ["--- faults", *map(str, self._book.faults)]
        return "\n".join(parts)

    def _volume(self) -> Iterator[Row]:
        book = self._book
        kinds = Counter(f"{fault.target}: {fault.name}" for fault in book.faults if fault.name != KILL)
        yield Row("seed", str(self.seed))
        yield Row("duration", f"{book.now():,.0f} s")
        yield Row("events", f"{book.events:,}")
        yield Row("attempts", f"{book.attempts:,}")
        yield Row(
            "events whose provider stopped retrying", f"{self._count(State.ABANDONED, State.ABANDONED):,}"
        )
        yield Row("messages consumed", f"{book.arrivals:,}")
        yield Row("kills of the gateway", f"{sum(fault.name == KILL for fault in book.faults):,}")
        yield Row("other faults", f"{kinds.total():,}")
        for kind, count in sorted(kinds.items()):
            yield Row(f"  {kind}", f"{count:,}")
        for word, count in sorted(book.words.items()):
            yield Row(f"answers {word}", f"{count:,}")
        for ending in (Ending.NO_CONNECTION, Ending.CUT, Ending.LEFT):
            yield Row(
                f"attempts without an answer, {ending.name.lower().replace('_', ' ')}",
                f"{book.endings[ending]:,}",
            )

    def _promises(self) -> Iterator[Row]:
        book = self._book
        success = State.ACCEPTED | State.DUPLICATE
        yield self._none(
            "lost: answered 202 and never consumed",
            lambda state, copies, _: state & State.ACCEPTED and not copies,
        )
        yield self._none(
            "suppressed: answered duplicate and never consumed",
            lambda state, copies, _: state & success == State.DUPLICATE and not copies,
        )
        yield self._none(
            "stuck: still refused when all was well again",
            lambda state, _, __: not state & (success | State.ABANDONED),
        )
        yield self._none(
            "sent before the first fault and not consumed exactly once",
            lambda state, copies, _: state & State.CALM and copies != 1,
        )
        yield self._nothing("consumed and never sent", book.strangers)
        yield self._nothing("consumed otherwise than sent", book.garbled)
        self.offenders["consumed otherwise than sent"] = book.garbled

        repeated = {number for number, copies in enumerate(book.copies) if copies > 1}
        yield Row(
            "consumed more than once, under faults", f"{len(repeated):,} ({len(repeated) / book.events:.3%})"
        )
        for names, count in self._felt_by(repeated).most_common(_SHOWN_CAUSES):
            yield Row(f"  under {names}", f"{count:,}")
        yield Row("the most copies of an event", str(max(book.copies, default=0)))
        title = "more copies than attempts and faults account for"
        self.offenders[title] = self._unaccounted(repeated)
        yield self._nothing(title, self.offenders[title])

    def _journal(self, evidence: Evidence) -> Iterator[Row]:
        """The journal may miss what a killed process had not written yet; what it says is true."""
        book, published = self._book, evidence.published
        consumed = [number for number, copies in enumerate(book.copies) if copies]
        known = sum(1 for number in consumed if published[number])
        yield Row("consumed events of which the journal knows", f"{known:,} of {len(consumed):,}")
        for title, found in (
            (
                "accepted in the journal and never consumed",
                [number for number in published if not book.copies[number]],
            ),
            (
                "sent before the first fault and not accepted exactly once in the journal",
                [
                    number
                    for number, state in enumerate(book.states)
                    if state & State.CALM and published[number] != 1
                ],
            ),
        ):
            self.offenders[title] = found
            yield self._nothing(title, found)
        yield self._nothing("in the journal and never sent", evidence.strangers)

    def _felt_by(self, repeated: set[int]) -> Counter[str]:
        """How many of these events were under way during which faults."""
        felt: Counter[str] = Counter()
        for first, last in self._book.spans(repeated).values():
            names = {
                f"{fault.target}: {fault.name}"
                for fault in self._book.faults
                if fault.target != "clients" and fault.began < last and first < fault.ended + _AFTERMATH
            }
            felt[" and ".join(sorted(names)) or "none"] += 1
        return felt

    def _unaccounted(self, repeated: set[int]) -> list[int]:
        """Return the events with more copies than publishes that may have missed their confirm.

        An attempt that was not answered as a duplicate may have published once. Beyond that a copy comes from the
        spool, when a fault kept the confirm of a publish away.
        """
        book = self._book
        found = []
        for number, (first, last) in book.spans(repeated).items():
            faults = sum(
                fault.target != "clients" and fault.began < last and first < fault.ended + _AFTERMATH
                for fault in book.faults
            )
            tries = book.tries[number] - book.repelled[number]
            if book.copies[number] > tries + _PUBLISHES_IN_A_FAULT * faults:
                found.append(number)
        return sorted(found)

    def _resources(self, gauge: Gauge, deadline: float) -> Iterator[Row]:
        book = self._book
        broken = book.endings[Ending.BROKEN]
        yield Row("answers of 500", f"{broken:,}", broken == 0)
        tracebacks = sum("Traceback" in line for line in self._lines())
        yield Row("tracebacks in the log", f"{tracebacks:,}", tracebacks == 0)
        refused = book.endings[Ending.REFUSED]
        yield Row("genuine events refused for good", f"{refused:,}", refused == 0)
        unanswered = book.endings[Ending.UNANSWERED]
        yield Row("attempts not answered within the provider's timeout", f"{unanswered:,}", unanswered == 0)
        late = book.slower_than(deadline + _GRACE)
        yield Row(
            f"answers later than {deadline + _GRACE:g} s", f"{late:,}; the slowest took {book.slowest:.2f} s"
        )
        yield Row(
            "memory of the gateway at first, at most, at the end",
            f"{gauge.first:.0f}, {gauge.most:.0f}, {gauge.last:.0f} MiB",
            gauge.most < _MAX_MEMORY,
        )
        yield Row(
            "its open files at first, at most, at the end",
            f"{gauge.first_files}, {gauge.most_files}, {gauge.last_files}",
            gauge.last_files < gauge.first_files + _MORE_FILES,
        )

    def _none(self, title: str, is_bad: Callable[[int, int, int], object]) -> Row:
        book = self._book
        self.offenders[title] = [
            number
            for number, about in enumerate(zip(book.states, book.copies, book.tries, strict=True))
            if is_bad(*about)
        ]
        return self._nothing(title, self.offenders[title])

    @staticmethod
    def _nothing(title: str, found: list[int] | list[str]) -> Row:
        return Row(title, f"{len(found):,}", not found)

    def _count(self, mask: State, state: State) -> int:
        return sum(1 for each in self._book.states if each & mask == state)

    def _lines(self) -> Iterator[str]:
        with self._log.open(encoding="utf-8", errors="replace") as lines:
            yield from lines

    def _logged(self, event_id: str) -> Iterator[str]:
        return islice((line.rstrip() for line in self._lines() if event_id in line), 20)
