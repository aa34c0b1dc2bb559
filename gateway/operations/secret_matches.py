"""When each secret of a provider matched, by its fingerprint, although the counters know positions only.

A position holds another secret once one is added before it. The entries of the journal have both, position and
fingerprint: they tell which secret a position held at a moment. The counters say how often it matched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple
from weakref import WeakKeyDictionary

from gateway.journal import Journal
from gateway.journal.entry import Kind
from gateway.journal.query import Query
from gateway.journal.spans import HOUR, MINUTE

FORTNIGHT = 14 * 86_400.0

_STEPS = ((2 * HOUR, MINUTE), (25 * HOUR, 10 * MINUTE), (FORTNIGHT, HOUR))
"""How far back, in seconds, spans of which length are looked at: a rotation that is being tried is seen to the minute."""

_DELAY = 15.0
"""Seconds that a match may be counted after its entry was made: the counters are sampled every ten seconds."""

_PART = FORTNIGHT / 8
"""Seconds of a part of the spans of a position; two ends of a part that differ are examined."""

_SETTLED = 10 * MINUTE
"""Seconds after which no entry of a span is expected any more, so that what was found is remembered."""

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

_remembered: WeakKeyDictionary[Journal, dict[tuple[str, int, Span], tuple[str, float]]] = WeakKeyDictionary()
"""What :func:`_newest_in` found in spans that are settled. The console asks every half minute, mostly for the same ones."""

_MAX_REMEMBERED = 20_000
"""Spans that are remembered of a journal: some 5 MB."""


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
        newest = cache(partial(_newest_in, journal, provider, slot, now))
        for key, part in _by_key(spans, lambda span: newest(span)[0], is_divided=secrets > 1):  # noqa: B023 -- used at once
            named, moment = newest(part[-1])
            ends_at = moment if named == key else part[-1].at
            before = found.get(key, Matches([], 0.0))
            found[key] = Matches([*before.spans, *part], max(before.last_at, ends_at))
    return found


def _spans(journal: Journal, provider: str, now: float) -> dict[int, list[Span]]:
    """Return how often each position matched, oldest first."""
    turns = [(now - age) // HOUR * HOUR for age, _ in _STEPS]
    by_slot: dict[int, list[Span]] = defaultdict(list)
    for since, until, (_, step) in reversed(list(zip(turns, [now + MINUTE, *turns], _STEPS, strict=False))):
        for point in journal.points("slot:", since, until, step, provider):
            position = point.measure.removeprefix("slot:")
            if point.times and position.isdigit():
                by_slot[int(position)].append(Span(point.at, step, point.times))
    return by_slot


def _by_key(spans: Sequence[Span], key_at: KeyAt, *, is_divided: bool) -> Iterator[tuple[str, list[Span]]]:
    """Divide the spans of a position among the secrets that it held."""
    keys: list[str] = [""] * len(spans)
    bounds = _bounds(spans) if is_divided else sorted({0, len(spans) - 1})
    for low, high in zip(bounds, bounds[1:] or bounds, strict=False):
        _fill(spans, keys, low, high, key_at)
    _fill_gaps(keys)
    by_key: dict[str, list[Span]] = defaultdict(list)
    for span, key in zip(spans, keys, strict=True):
        if key:
            by_key[key].append(span)
    yield from by_key.items()


def _bounds(spans: Sequence[Span]) -> list[int]:
    """Return the places of the first span, of the first of each part, and of the last.

    The parts begin at fixed moments, so that a later look examines the same spans.
    """
    firsts = {span.at // _PART: place for place, span in reversed(list(enumerate(spans)))}
    return sorted({*firsts.values(), len(spans) - 1})


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


def _newest_in(journal: Journal, provider: str, slot: int, now: float, span: Span) -> tuple[str, float]:
    """Return the fingerprint and the moment of the newest entry of a position in a span; empty if there is none."""
    if span.at + span.length > now - _SETTLED:
        return _find_newest(journal, provider, slot, span)
    remembered = _remembered.setdefault(journal, {})
    place = provider, slot, span
    if place not in remembered:
        if len(remembered) >= _MAX_REMEMBERED:
            remembered.clear()
        remembered[place] = _find_newest(journal, provider, slot, span)
    return remembered[place]


def _find_newest(journal: Journal, provider: str, slot: int, span: Span) -> tuple[str, float]:
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
