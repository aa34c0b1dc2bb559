"""When each secret of a provider matched, by its fingerprint, although the counters know positions only.

A position holds another secret once one is added before it. The entries of the journal have both, position and
fingerprint: they tell which secret a position held at a moment. The counters say how often it matched in each minute.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

from gateway.journal import Journal
from gateway.journal.entry import Kind
from gateway.journal.query import Query

FORTNIGHT = 14 * 86_400.0

_STEP = 60.0
"""Seconds of a span of the counters."""

_DELAY = 15.0
"""Seconds that a match may be counted after its entry was made: the counters are sampled every ten seconds."""

_PROBES = 8
"""Parts into which the minutes of a position are divided; two ends of a part that differ are examined."""

_ATTEMPTS = 4
"""Neighbouring minutes that are tried, if the entries of a minute are missing."""

_MAX_ENTRIES = 2000
"""Entries that are read where nothing has sampled the counters."""

Minute = tuple[float, float]
"""The beginning of a minute, in Unix seconds, and how often a position matched in it."""


class Matches(NamedTuple):
    """The matches of one secret.

    Attributes:
        minutes: The minutes in which it matched, and how often.
        last_at: When it matched last, in Unix seconds.
    """

    minutes: list[Minute]
    last_at: float

    def since(self, moment: float) -> int:
        """Return how often it matched from a moment on; the minute of the moment counts in full."""
        return round(sum(times for at, times in self.minutes if at + _STEP > moment))

    def after(self, moment: float) -> int:
        """Return how often it matched after the minute of a moment."""
        return round(sum(times for at, times in self.minutes if at > moment))


def matches_of(journal: Journal, provider: str, *, now: float) -> dict[str, Matches]:
    """Return the matches of each secret of a provider in the last 14 days, by fingerprint."""
    by_slot: dict[int, list[Minute]] = defaultdict(list)
    for point in journal.points("slot:", now - FORTNIGHT, now + _STEP, _STEP, provider):
        position = point.measure.removeprefix("slot:")
        if point.times and position.isdigit():
            by_slot[int(position)].append((point.at, point.times))
    if not by_slot:
        return _from_entries(journal, provider, now)
    found: dict[str, Matches] = {}
    for slot, minutes in by_slot.items():

        @cache
        def last_at(at: float, slot: int = slot) -> tuple[str, float]:
            return _newest_in(journal, provider, slot, at)

        for key, part in _by_key(minutes, lambda at: last_at(at)[0]):
            named, moment = last_at(part[-1][0])
            ends_at = moment if named == key else part[-1][0]
            before = found.get(key, Matches([], 0.0))
            found[key] = Matches([*before.minutes, *part], max(before.last_at, ends_at))
    return found


def _by_key(minutes: Sequence[Minute], key_at: Callable[[float], str]) -> Iterator[tuple[str, list[Minute]]]:
    """Divide the minutes of a position among the secrets that it held."""
    keys: list[str] = [""] * len(minutes)
    last = len(minutes) - 1
    bounds = sorted({last * number // _PROBES for number in range(_PROBES + 1)})
    for low, high in zip(bounds, bounds[1:] or bounds, strict=False):
        _fill(minutes, keys, low, high, key_at)
    _fill_gaps(keys)
    parts: dict[str, list[Minute]] = defaultdict(list)
    for minute, key in zip(minutes, keys, strict=True):
        if key:
            parts[key].append(minute)
    yield from parts.items()


def _fill(
    minutes: Sequence[Minute], keys: list[str], low: int, high: int, key_at: Callable[[float], str]
) -> None:
    """Find out the secrets between two places, looking only where they differ."""
    keys[low] = keys[low] or key_at(minutes[low][0])
    keys[high] = keys[high] or key_at(minutes[high][0])
    if keys[low] == keys[high]:
        keys[low : high + 1] = [keys[low]] * (high + 1 - low)
    elif high - low > 1:
        middle = (low + high) // 2
        _fill(minutes, keys, low, middle, key_at)
        _fill(minutes, keys, middle, high, key_at)


def _fill_gaps(keys: list[str]) -> None:
    """Give minutes whose entries are missing the secret of the minute before, or else of the one after."""
    for order in (range(len(keys)), range(len(keys) - 1, -1, -1)):
        known = ""
        for place in order:
            keys[place] = known = keys[place] or known


def _newest_in(journal: Journal, provider: str, slot: int, at: float) -> tuple[str, float]:
    """Return the fingerprint and the moment of the newest entry of a position in a minute; empty if there is none."""
    for attempt in range(_ATTEMPTS):
        query = Query(
            providers=(provider,),
            kinds=(Kind.RECEIVED,),
            slot=slot,
            since=at - _DELAY - attempt * _STEP,
            until=at + _STEP,
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
            minutes[entry.key][entry.at // _STEP * _STEP] += 1
            last.setdefault(entry.key, entry.at)
    return {key: Matches(sorted(minutes[key].items()), at) for key, at in last.items()}
