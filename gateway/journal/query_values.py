"""The values of a query's conditions: ids, numbers, ranges, addresses and moments."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from difflib import get_close_matches
from ipaddress import ip_network
from typing import Any

from gateway.errors import OperatorError
from gateway.journal.entry_ids import parse_entry_id
from gateway.signatures.units import parse_duration

TEXTS = {"id": "event_id", "subject": "subject", "account": "account", "actor": "actor", "client": "client"}
"""The keys that take one text, and their fields."""


class QueryError(OperatorError):
    """Raised when a query cannot be understood; the text says which word, and what is understood."""

    exit_code = 2


_NUMBER = r"\d{1,9}(?:\.\d{1,6})?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})?\.\.(?P<high>{_NUMBER})?|(?P<sign>[<>])=?(?P<bound>{_NUMBER})")


def _read_text(value: str, _: float) -> dict[str, Any]:
    if not value:
        raise QueryError("an empty pair of quotes is no id")
    return {"text": value}


def _read_slot(value: str, _: float) -> dict[str, Any]:
    if not re.fullmatch(r"\d{1,3}", value):
        raise QueryError("secret: takes the position of a secret, from 0")
    return {"slot": int(value)}


def _read_request(value: str, _: float) -> dict[str, Any]:
    try:
        return {"request": parse_entry_id(value)}
    except ValueError:
        raise QueryError(f"request: {value!r} is not the id of a request") from None


def _read_ms(value: str, _: float) -> dict[str, Any]:
    found = _RANGE.fullmatch(value)
    if found is None or value == "..":
        raise QueryError("ms: takes >500, <20 or 20..500, in milliseconds")
    if found["sign"]:
        return {"min_ms" if found["sign"] == ">" else "max_ms": float(found["bound"])}
    low, high = (float(found[side]) if found[side] else None for side in ("low", "high"))
    return {"min_ms": low, "max_ms": high}


def _read_client(value: str, _: float) -> dict[str, Any]:
    try:
        ip_network(unquote(value), strict=False)
    except ValueError:
        raise QueryError(
            f"client: {value!r} is neither an address nor a network such as 203.0.113.0/24"
        ) from None
    return {"client": unquote(value)}


def _read_is(value: str, _: float) -> dict[str, Any]:
    expect({"failure": "failed", "failing": "failed"}.get(value, value), ("failed",), "state")
    return {"failures": True}


def parse_moment(text: str, now: float) -> float:
    """Return the moment that a text names, in Unix seconds.

    Raises:
        QueryError: It is neither a duration before now, nor a time with its zone, nor Unix seconds.
    """
    if re.fullmatch(r"\d{9,11}(\.\d+)?", text):
        return float(text)
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise QueryError(
            f"{text!r} is not a time; write 2h, 2026-11-21, 2026-11-21T13:00:20Z or Unix seconds"
        ) from None
    # A day without a time is a day in UTC, as all times of the gateway are.
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _moment_reader(name: str) -> Callable[[str, float], dict[str, Any]]:
    return lambda value, now: {name: parse_moment(unquote(value), now)}


def _text_reader(name: str) -> Callable[[str, float], dict[str, Any]]:
    return lambda value, _: {name: unquote(value)}


READERS: dict[str, Callable[[str, float], dict[str, Any]]] = {
    **{key: _text_reader(name) for key, name in TEXTS.items()},
    "text": _read_text,
    "secret": _read_slot,
    "request": _read_request,
    "ms": _read_ms,
    "client": _read_client,
    "is": _read_is,
    "since": _moment_reader("since"),
    "until": _moment_reader("until"),
}
"""Reads the value of each key with a single one, and returns the fields of the query that it sets."""


def unquote(text: str) -> str:
    """Return a text without its quotes, and what they escape as it is."""
    return re.sub(
        r'"((?:[^"\\]|\\.)*)"',
        lambda found: re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL),
        text,
        flags=re.DOTALL,
    )


def expect(word: str, known: tuple[str, ...], noun: str) -> None:
    """Check that a word is known.

    Raises:
        QueryError: It is not; the text names the nearest one, or all.
    """
    if word not in known:
        close = get_close_matches(word, known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        raise QueryError(f"unknown {noun} {word!r}; {hint}")
