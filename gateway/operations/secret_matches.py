"""When each secret of a provider matched, by its fingerprint, although the counters know positions only.

A position holds another secret once one is added before it. The entries of the journal have both, position and
fingerprint: they tell which secret a position held at a moment. The counters say how often it matched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

from gateway.journal import Journal
from gateway.journal.entry import Kind
from gateway.journal.query import Query
from gateway.journal.spans import HOUR, MINUTE

FORTNIGHT = 14 * 86_400.0

_FINE = 25 * HOUR
"""Seconds of which each minute is looked at; before that, hours are exact enough."""

_DELAY = 15.0
"""Seconds that a match may be counted after its entry was made: the counters are sampled every ten seconds."""

_PARTS = 8
"""Parts into which the spans of a position are divided; two ends of a part that differ are examined."""

_ATTEMPTS = 4
"""Times that more is looked at, if the entries of a span are missing."""

_MAX_ENTRIES = 2000
"""Entries that are read where nothing has sampled the counters."""


class Span(NamedTuple):
    """How often a position matched in a minute or an hour.

    Attributes:
        at: The beginning, in Unix seconds.
        length: The length in seconds.
        times: How often.
    """

    at: float
    length: float
    times: float


class Matches(NamedTuple):
    """The matches of one secret.

    Attributes:
        spans: When it matched, and how often.
        last_at: When it matched last, in Unix seconds.
    """

    spans: list[Span]
    last_at: float

    def since(self, moment: float) -> int:
        """Return how often it matched from a moment on; the span of the moment counts in full."""
        return round(sum(span.times for span in self.spans if span.at + span.length > moment))

    def after(self, moment: float) -> int:
        """Return how often it matched in the spans that began after a moment."""
        return round(sum(span.times for span in self.spans if span.at > moment))


KeyAt = Callable[[Span], str]
"""Returns the fingerprint that a position had in a span; empty if no entry tells."""


def matches_of(journal: Journal, provider: str, *, now: float, secrets: int) -> dict[str, Matches]:
    """Return the matches of each secret of a provider in the last 14 days, by fingerprint.

    Args:
        journal: The journal.
        provider: The provider.
        now: The time, in Unix seconds.
        secrets: How many secrets it has; a position is looked at less often if there is one.
    """
    by_slot = _spans(journal, provider, now)
    if not by_slot:
        return _from_entries(journal, provider, now)
    found: dict[str, Matches] = {}
    for slot, spans in by_slot.items():
        newest = cache(partial(_newest_in, journal, provider, slot))
        for key, part in _by_key(spans, lambda span: newest(span)[0], _PARTS if secrets > 1 else 1):  # noqa: B023 -- used at once
            named, moment = newest(part[-1])
            ends_at = moment if named == key else part[-1].at
            before = found.get(key, Matches([], 0.0))
            found[key] = Matches([*before.spans, *part], max(before.last_at, ends_at))
    return found


def _spans(journal: Journal, provider: str, now: float) -> dict[int, list[Span]]:
    """Return how often each position matched, oldest first."""
    turn = (now - _FINE) // HOUR * HOUR
    by_slot: dict[int, list[Span]] = defaultdict(list)
    for since, until, step in ((now - FORTNIGHT, turn, HOUR), (turn, now + MINUTE, MINUTE)):
        for point in journal.points("slot:", since, until, step, provider):
            position = point.measure.removeprefix("slot:")
            if point.times and position.isdigit():
                by_slot[int(position)].append(Span(point.at, step, point.times))
    return by_slot


def _by_key(spans: Sequence[Span], key_at: KeyAt, parts: int) -> Iterator[tuple[str, list[Span]]]:
    """Divide the spans of a position among the secrets that it held."""
    keys: list[str] = [""] * len(spans)
    last = len(spans) - 1
    bounds = sorted({last * number // parts for number in range(parts + 1)})
    for low, high in zip(bounds, bounds[1:] or bounds, strict=False):
        _fill(spans, keys, low, high, key_at)
    _fill_gaps(keys)
    by_key: dict[str, list[Span]] = defaultdict(list)
    for span, key in zip(spans, keys, strict=True):
        if key:
            by_key[key].append(span)
    yield from by_key.items()


def _fill(spans: Sequence[Span], keys: list[str], low: int, high: int, key_at: KeyAt) -> None:
    """Find out the secrets between two places, looking only where they differ."""
    keys[low] = keys[low] or key_at(spans[low])
    keys[high] = keys[high] or key_at(spans[high])
    if keys[low] == keys[high]:
        keys[low : high + 1] = [keys[low]] * (high + 1 - low)
    elif high - low > 1:
        middle = (low + high) // 2
        _fill(spans, keys, low, middle, key_at)
        _fill(spans, keys, middle, high, key_at)


def _fill_gaps(keys: list[str]) -> None:
    """Give spans whose entries are missing the secret of the span before, or else of the one after."""
    for order in (range(len(keys)), range(len(keys) - 1, -1, -1)):
        known = ""
        for place in order:
            keys[place] = known = keys[place] or known


def _newest_in(journal: Journal, provider: str, slot: int, span: Span) -> tuple[str, float]:
    """Return the fingerprint and the moment of the newest entry of a position in a span; empty if there is none."""
    for attempt in range(_ATTEMPTS):
        query = Query(
            providers=(provider,),
            kinds=(Kind.RECEIVED,),
            slot=slot,
            since=span.at - _DELAY - attempt * span.length,
            until=span.at + span.length,
        )
        if entries := journal.find(query, limit=1).entries:
            return entries[0].key, entries[0].at
    return "", 0.0


def _from_entries(journal: Journal, provider: str, now: float) -> dict[str, Matches]:
    """Return what the newest entries say, where nothing has sampled the counters."""
    query = Query(providers=(provider,), kinds=(Kind.RECEIVED,), since=now - FORTNIGHT)
    minutes: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    last: dict[str, float] = {}
    for entry in journal.find(query, limit=_MAX_ENTRIES, budget=1.0).entries:
        # The events of a list have the position of their request, which counts once.
        if entry.key and entry.request is None:
            minutes[entry.key][entry.at // MINUTE * MINUTE] += 1
            last.setdefault(entry.key, entry.at)
    return {
        key: Matches([Span(begins, MINUTE, times) for begins, times in sorted(minutes[key].items())], at)
        for key, at in last.items()
    }
