"""The language of queries: one grammar for the search field, the API and `gateway events`.

A query is a row of words, all of which have to hold:

    evt_1QxSample                             an id, tried as event id, subject, account and trace
    "arn:aws:sns:1"                           the same, in quotes because it has a colon
    provider:stripe type:invoice.*            several values of a key are alternatives: provider:stripe,github
    outcome:dead is:failed ms:>500 since:2h

The module has slightly more than 200 lines because a query is read and written in one place.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from gateway.errors import OUTCOMES
from gateway.journal.entry import Kind
from gateway.journal.entry_ids import format_entry_id
from gateway.journal.query import Query
from gateway.journal.query_values import READERS, TEXTS, QueryError, expect, parse_moment, unquote
from gateway.signatures.rejections import SIGNATURE_FAULTS

__all__ = [
    "KEYS",
    "MAX_QUERY",
    "QueryError",
    "format_moment",
    "format_query",
    "keys_of",
    "parse_moment",
    "parse_query",
    "without",
]

MAX_QUERY = 2000
"""Characters of a query: several ids at their longest."""

_MAX_VALUES = 50
"""Alternatives of one key."""

_WORD = re.compile(r"([A-Za-z_]+):(.*)", re.DOTALL)
_QUOTED = re.compile(r"\s*((?:\"(?:[^\"\\]|\\.)*\"|[^\s\"])+|\")", re.DOTALL)
ALTERNATIVES = {
    "kind": "kinds",
    "provider": "providers",
    "type": "types",
    "outcome": "outcomes",
    "reason": "reasons",
    "queue": "queues",
}
"""The keys that take several values, and their fields in a :class:`Query`."""

KEYS = (*ALTERNATIVES, *TEXTS, "secret", "request", "ms", "since", "until", "is")
"""All keys, in the order in which a query is written."""

OUTCOME_ALIASES = {
    "dead_lettered": "dead",
    "dead-lettered": "dead",
    "retry": "retried",
    "rejected": "invalid_signature",
}
"""Words that people write for an outcome, and the outcome."""

_WORKER_OUTCOMES = (
    "handled", "unhandled", "retried", "dead", "waiting", "limited", "requeued", "unsettled", "delivered", "failed",
)  # fmt: skip


def parse_query(text: str, now: float) -> Query:
    """Parse a query.

    Args:
        text: The query; empty for everything.
        now: The moment that durations such as `since:2h` count from, in Unix seconds.

    Raises:
        QueryError: A word is not understood.
    """
    if len(text) > MAX_QUERY:
        raise QueryError(f"the query has more than {MAX_QUERY} characters")
    values: dict[str, Any] = {}
    for word in _words(text):
        key, value = _split(word)
        if key in ALTERNATIVES:
            name = ALTERNATIVES[key]
            known = values.get(name, ())
            values[name] = tuple(dict.fromkeys((*known, *_alternatives(key, value))))
            if len(values[name]) > _MAX_VALUES:
                raise QueryError(f"{key}: has more than {_MAX_VALUES} values")
            continue
        read = {name: value for name, value in READERS[key](value, now).items() if value is not None}
        for name in read.keys() & values.keys():
            raise QueryError(_twice(name))
        values |= read
    _check_span(values)
    return Query(**values)


def format_query(query: Query) -> str:
    """Write a query as text that :func:`parse_query` reads as the same query. Moments are written in UTC."""
    words = [_quote(query.text, is_id=True)] if query.text else []
    for key, name in ALTERNATIVES.items():
        if found := getattr(query, name):
            words.append(f"{key}:{','.join(_quote(value) for value in found)}")
    words += [f"{key}:{_quote(value)}" for key, name in TEXTS.items() if (value := getattr(query, name))]
    if query.slot is not None:
        words.append(f"secret:{query.slot}")
    if query.request is not None:
        words.append(f"request:{format_entry_id(query.request)}")
    if query.min_ms is not None and query.max_ms is not None:
        words.append(f"ms:{_digits(query.min_ms)}..{_digits(query.max_ms)}")
    elif query.min_ms is not None:
        words.append(f"ms:>{_digits(query.min_ms)}")
    elif query.max_ms is not None:
        words.append(f"ms:<{_digits(query.max_ms)}")
    words += [
        f"{key}:{format_moment(at)}"
        for key, at in (("since", query.since), ("until", query.until))
        if at is not None
    ]
    if query.failures:
        words.append("is:failed")
    return " ".join(words)


def without(query: Query, key: str) -> Query:
    """Return a query without the conditions of one key of the grammar; `text` for the id."""
    names = {"text": ("text",), "secret": ("slot",), "ms": ("min_ms", "max_ms"), "is": ("failures",)}.get(key)
    names = names or (ALTERNATIVES.get(key) or TEXTS.get(key) or key,)
    empty = Query()
    kept = {each.name: getattr(empty if each.name in names else query, each.name) for each in fields(Query)}
    return Query(**kept)


def keys_of(query: Query) -> list[str]:
    """Return the keys of the conditions that a query has; `text` for the id."""
    return [key for key in ("text", *KEYS) if without(query, key) != query]


def format_moment(at: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC, with milliseconds only if there are any."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    milliseconds = round((at - int(at)) * 1000)
    return f"{whole}.{milliseconds:03d}Z" if 0 < milliseconds < 1000 else f"{whole}Z"


def _words(text: str) -> list[str]:
    found, place = [], 0
    text = text.strip()
    while place < len(text):
        match = _QUOTED.match(text, place)
        if match is None or match[1] == '"':
            raise QueryError('a quotation mark " is not closed')
        found.append(match[1])
        place = match.end()
    return found


def _split(word: str) -> tuple[str, str]:
    """Return the key and the value of a word; the key `text` if it has none."""
    match = None if word.startswith('"') else _WORD.fullmatch(word)
    if match is None:
        return "text", unquote(word)
    key = match[1].lower()
    if key not in KEYS:
        close = get_close_matches(key, KEYS, n=1)
        hint = f"; did you mean {close[0]}:?" if close else ""
        raise QueryError(
            f"unknown key {match[1]}:{hint} The keys are {', '.join(KEYS)}. An id that has a colon goes in quotes"
            if hint
            else f"unknown key {match[1]}:; the keys are {', '.join(KEYS)}. An id that has a colon goes in quotes"
        )
    if not match[2]:
        raise QueryError(f"{key}: has no value")
    return key, match[2]


def _alternatives(key: str, value: str) -> list[str]:
    parts = re.findall(r"(?:\"(?:[^\"\\]|\\.)*\"|[^,\"])+", value, re.DOTALL)
    found = [unquote(part) for part in parts]
    if not found or not all(found):
        raise QueryError(f"{key}: has an empty value")
    if key == "outcome":
        return [_outcome(each) for each in found]
    if key == "kind":
        for each in found:
            expect(each, tuple(map(str, Kind)), "kind")
    return found


def _outcome(word: str) -> str:
    word = OUTCOME_ALIASES.get(word, word)
    known = (*OUTCOMES, *_WORKER_OUTCOMES)
    # Actions and later versions have outcomes of their own: only what is near to a known word is taken for a mistake.
    if word not in known and (close := get_close_matches(word, known, n=1, cutoff=0.8)):
        raise QueryError(f"unknown outcome {word!r}; did you mean {close[0]!r}?")
    if word in SIGNATURE_FAULTS:
        raise QueryError(f"{word!r} is a reason; write reason:{word}")
    return word


def _twice(name: str) -> str:
    if name == "text":
        return "the query has two ids; quote an id that contains a space"
    key = next((key for key, field in TEXTS.items() if field == name), name)
    return f"the query has {'ms' if key.endswith('_ms') else key}: twice"


def _check_span(values: Mapping[str, Any]) -> None:
    since, until = values.get("since"), values.get("until")
    if since is not None and until is not None and since >= until:
        raise QueryError("since: is not before until:, so that nothing can match")


def _quote(text: str, *, is_id: bool = False) -> str:
    """Put a text into quotes if it would not be read as it is."""
    if text and not re.search(r'[\s",\\]' if not is_id else r'[\s"\\:]', text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _digits(number: float) -> str:
    return f"{number:g}" if number < 1e6 else f"{number:.0f}"
