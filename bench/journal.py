"""The journal: how fast it is indexed, how large it gets, and how long questions take."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bench.grid import Grid, judged
from gateway.journal.entry import Entry, Kind, first_id_at
from gateway.journal.indexer import Indexer
from gateway.journal.query import Query
from gateway.journal.raw import raw_folder
from gateway.journal.segments.writing import Limits
from gateway.journal.sqlite import SqliteJournal

ENTRIES = 1_000_000
"""Entries of the journal, unless the command line says how many."""

_MIN_RATE = 50_000
"""The goal for indexing, in entries a second of processor time."""

_MAX_BYTES = 320
"""The goal for the size: 3.2 GB for 10 million entries."""

_MAX_QUERY = 100.0
"""The goal for a question, in milliseconds of the 95th percentile."""

_PART = 250_000
"""Entries that are written before they are indexed: below the backlog at which processes would drop them."""

_ASKED = 40
"""Times that each question is asked."""

_NOTE = """\
Entries are those of payments, a fifth of them by a worker: ids, accounts and summaries differ, types and providers are
twenty and four, one in a thousand is refused, one in fifty times something odd. They are written as processes write them,
and indexed by one thread; the rate is by processor time, and includes sealing with all indexes. Questions are asked of
a journal that has just been opened by another reader, in random order; a search that takes longer than its budget of
80 ms returns a part, and counts with the time it took."""


def measure(directory: Path, entries: int, tell: Callable[[str], None]) -> list[Grid]:
    """Fill a journal and question it."""
    tell(f"journal: {entries:,} entries")
    made = Maker(entries)
    journal = SqliteJournal(directory, Limits(max_size=2**40, max_age=1e9))
    folder = raw_folder(directory)
    folder.mkdir(parents=True)
    indexer = Indexer(journal, folder)
    seconds = wall = 0.0
    for number, start in enumerate(range(0, entries, _PART)):
        made.write(folder / f"0-{number}.jsonl", min(_PART, entries - start))
        began, wall_began = time.process_time(), time.perf_counter()
        indexer.try_to_catch_up(3_600)
        seconds += time.process_time() - began
        wall += time.perf_counter() - wall_began
    state = journal.state()
    journal.close()
    rate, size = entries / seconds, state.size / state.entries
    rows = [
        ("entries/s of a core", f"{rate:,.0f}", *_at_least(rate, _MIN_RATE)),
        ("entries/s", f"{entries / wall:,.0f}", "", ""),
        ("bytes an entry", f"{size:.0f}", *judged(size, _MAX_BYTES)),
        *_ask(directory, made),
    ]
    return [Grid(f"Journal of {entries:,} entries", ("", "measured", "goal", "kept"), rows, _NOTE)]


class Maker:
    """Makes entries as a gateway and a worker would."""

    def __init__(self, entries: int) -> None:
        self.begins_at = time.time() - 13 * 86_400
        self.step = 13 * 86_400 * 1000 / entries
        self.random = random.Random(14)
        self.ids: list[str] = []
        self.subjects: list[str] = []
        self._made = 0

    def write(self, path: Path, count: int) -> None:
        """Write entries to a raw file."""
        encoder = msgspec.json.Encoder()
        with path.open("wb") as file:
            file.writelines(encoder.encode(entry) + b"\n" for entry in self._entries(count))

    def _entries(self, count: int) -> Iterator[Entry]:
        chance = self.random
        for _ in range(count):
            number = self._made
            self._made += 1
            entry_id = first_id_at(self.begins_at + number * self.step / 1000) + number % 4096
            provider = chance.choice(("stripe", "github", "shopify", "billing"))
            kind = chance.choice(
                ("invoice.paid", "charge.succeeded", "customer.updated", "orders.create", "push")
            )
            event_id, subject = f"evt_1Q{chance.getrandbits(96):024x}", f"in_1Q{chance.getrandbits(80):020x}"
            if chance.random() < 0.0005:
                self.ids.append(event_id)
                self.subjects.append(subject)
            if chance.random() < 0.2:
                yield Entry(
                    entry_id, Kind.HANDLED, "handled" if chance.random() > 0.002 else "dead", "", provider, kind,
                    event_id, subject, "", None, f"{provider}-agent", "gateway-1", "worker-1", ms=chance.random() * 900,
                    attempt=1, size=2_000,
                )  # fmt: skip
                continue
            refused = chance.random() < 0.001
            yield Entry(
                entry_id, Kind.RECEIVED,
                "invalid_signature" if refused else "duplicate" if chance.random() < 0.02 else "accepted",
                "no_match" if refused else "", provider, kind,
                event_id, subject, f"acct_{chance.getrandbits(12):016d}",
                None, "", "gateway-1", "", 0, "k1:5f2a9c", 202, chance.random() * 4, 2_000 + chance.getrandbits(9), None,
                chance.random() * 2, f"203.0.{chance.getrandbits(6)}.0/24", f"{kind}: 12.00 EUR for {subject}",
            )  # fmt: skip


def _ask(directory: Path, made: Maker) -> Iterator[tuple[str, str, str, str]]:
    """Ask the journal."""
    now = time.time()
    chance = made.random

    def moment() -> float:
        return chance.uniform(made.begins_at, now)

    questions: dict[str, Callable[[], tuple[Query, bool]]] = {
        "newest 50": lambda: (Query(), False),
        "50 before a moment": lambda: (Query(until=moment()), False),
        "provider and outcome, rare": lambda: (
            Query(providers=("stripe",), outcomes=("invalid_signature",), until=moment()),
            False,
        ),
        "failures of all providers": lambda: (Query(failures=True, until=moment()), False),
        "type pattern": lambda: (Query(types=("invoice.*",), until=moment()), False),
        "slower than 890 ms": lambda: (Query(min_ms=890, until=moment()), False),
        "something that is not there": lambda: (Query(reasons=("timeout",)), False),
        "a network that is not there": lambda: (Query(client="198.51.100.0/24", min_ms=1), False),
        "by subject": lambda: (Query(subject=chance.choice(made.subjects)), False),
        "an id anywhere": lambda: (Query(text=chance.choice(made.ids)), False),
        "timeline of an event": lambda: (Query(event_id=chance.choice(made.ids)), True),
    }
    journal = SqliteJournal(directory)
    times: dict[str, list[float]] = {name: [] for name in questions}
    partial: dict[str, int] = dict.fromkeys(questions, 0)
    for name in chance.sample([*questions] * _ASKED, len(questions) * _ASKED):
        query, is_timeline = questions[name]()
        began = time.perf_counter()
        if is_timeline:
            assert journal.timeline(query.event_id)
        else:
            page = journal.find(query)
            partial[name] += len(page.entries) < 50 and not page.is_complete
        times[name].append((time.perf_counter() - began) * 1000)
    journal.close()
    for name, found in times.items():
        p95 = statistics.quantiles(found, n=20)[-1]
        cell = f"{statistics.median(found):.1f} / {p95:.1f}"
        parts = f", {partial[name]} of {_ASKED} in parts" if partial[name] else ""
        yield (f"{name}: ms, p50 / p95{parts}", cell, *judged(p95, _MAX_QUERY))


def _at_least(value: float, limit: float) -> tuple[str, str]:
    return f"{limit:,}", "yes" if value >= limit else "NO"
