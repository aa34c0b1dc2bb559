"""A plain interpretation of the descriptions of adapters: slow, and without anything compiled.

It shares no code with :mod:`gateway.signatures.extractors` and :mod:`gateway.adapters.summary`, which it is held against.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from gateway.signatures.extractors import Parent
from gateway.signatures.request import Headers

CURRENCIES = {
    0: [
        "bif",
        "clp",
        "djf",
        "gnf",
        "jpy",
        "kmf",
        "krw",
        "mga",
        "pyg",
        "rwf",
        "vnd",
        "vuv",
        "xaf",
        "xof",
        "xpf",
    ],
    3: ["bhd", "jod", "kwd"],
}


@dataclass
class Event:
    """One event, and the request around it."""

    headers: Headers
    query: bytes
    payload: Any
    item: Any
    parent: Parent | None = None

    def value(self, sources: Any) -> Any:
        """The first value that is there, of a source, a list of them, or a text with several."""
        if isinstance(sources, list):
            return next((found for each in sources if (found := self.value(each)) not in (None, "")), None)
        if "{" in sources:
            values = [as_text(self.value(place)) for place in re.findall(r"\{(.*?)\}", sources)]
            if None in values:
                return None
            return re.sub(r"\{.*?\}", lambda _: str(values.pop(0)), sources)
        kind, _, rest = sources.partition(":")
        match kind:
            case "header":
                found = self.headers.get(rest.lower().encode())
                return None if found is None else found.decode()
            case "query":
                return dict(parse_qsl(self.query.decode(), keep_blank_values=True)).get(rest)
            case "text":
                return rest
            case "list":
                return self.parent.member if self.parent else None
            case "parent":
                around = [follow(outer, rest) for outer in self._around()]
                return next((found for found in around if found is not None), None)
            case "member":
                found = follow(self.item, rest)
                inner = found.items() if isinstance(found, dict) else []
                return next((name for name, value in inner if isinstance(value, dict | list)), None)
        return follow(self.item if kind == "item" else self.payload, rest)

    def _around(self) -> Iterator[Any]:
        parent = self.parent
        while parent is not None:
            yield parent.enclosing.value
            parent = parent.enclosing.outer


def follow(value: Any, pointer: str) -> Any:
    """The value at a JSON Pointer, also within a text that is JSON."""
    for escaped in pointer.split("/")[1:]:
        step = escaped.replace("~1", "/").replace("~0", "~")
        if isinstance(value, str) and value.startswith("{"):
            value = json.loads(value)
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, list) and step == "*" and len(value) == 1:
            value = value[0]
        else:
            return None
    return value


def of_type(by_type: Any, event_type: str) -> Any:
    """What is described for a type: for itself, or for its longest beginning, or for all."""
    if not isinstance(by_type, Mapping):
        return by_type
    words = event_type.split(".")
    beginnings = [".".join(words[:count]) for count in range(len(words), 0, -1)]
    return next((by_type[each] for each in [*beginnings, "*"] if each in by_type), None)


def summary(described: Mapping[str, Any], event: Event, known: Mapping[str, str | None]) -> str | None:
    """The first template that fits, of the type's own, of those of its beginnings, and of those for all."""
    words = str(known["type"]).split(".")
    for key in [*(".".join(words[:count]) for count in range(len(words), 0, -1)), "*"]:
        templates = described.get(key, [])
        for template in [templates] if isinstance(templates, str) else templates:
            if line := _fill(template, event, known):
                return line if len(line) <= 200 else line[:199] + "…"
    return None


def as_text(value: Any) -> str | None:
    """A text, a number or a truth value as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and abs(value) >= 2**53:
        return None
    return str(value) if isinstance(value, str | int | float) else None


def _fill(template: str, event: Event, known: Mapping[str, str | None]) -> str | None:
    missing: list[str] = []

    def fill(text: str, absent: list[str]) -> str:
        def field(match: re.Match[str]) -> str:
            found = _field(match[1], event, known)
            absent.extend([] if found else [match[1]])
            return found or ""

        return re.sub(r"\{([^{}]*)\}", field, text)

    def part(match: re.Match[str]) -> str:
        absent: list[str] = []
        filled = fill(match[1], absent)
        return "" if absent else filled.replace("{", "\0")

    required = re.split(r"\[(?:[^\[\]{}]|\{[^{}]*\})*\]", template)
    for text in required:
        fill(text, missing)
    if missing:
        return None
    return fill(re.sub(r"\[((?:[^\[\]{}]|\{[^{}]*\})*)\]", part, template), [])


def _field(text: str, event: Event, known: Mapping[str, str | None]) -> str | None:
    place, *filters = text.split("|")
    value = known[place] if place in known else event.value(place)
    if place == "action":
        filters.insert(0, "words")
    value = _fit(value)
    for name, _, argument in (each.partition(":") for each in filters):
        value = None if value is None else _filtered(value, name, argument, place, event)
    return as_text(value)


def _fit(value: Any) -> Any:
    """A value that is neither prose nor too long."""
    if isinstance(value, str):
        words = value.split()
        name = "".join(character for character in " ".join(words) if character.isprintable())
        return None if len(words) > 3 or not name else name if len(name) <= 64 else name[:63] + "…"
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _filtered(value: Any, name: str, argument: str, place: str, event: Event) -> Any:
    match name:
        case "if":
            return argument if value else None
        case "count":
            one, _, many = argument.partition(":")
            return (
                f"{len(value)} {one if len(value) == 1 else many}".strip()
                if isinstance(value, list)
                else None
            )
        case "date":
            return str(datetime.fromtimestamp(value, UTC))[:10] if isinstance(value, int) else value[:10]
        case "money":
            currency = event.value(argument if ":" in argument else f"{place.rpartition('/')[0]}/{argument}")
            if isinstance(value, str) and value.isdecimal():
                value = int(value)
            if not isinstance(value, int) or isinstance(value, bool) or not isinstance(currency, str):
                return None
            decimals = next((each for each in CURRENCIES if currency.lower() in CURRENCIES[each]), 2)
            return f"{value / 10**decimals:.{decimals}f} {currency}" if len(currency) == 3 else None
    if not isinstance(value, str):
        return None
    match name:
        case "ref":
            return value.replace("refs/heads/", "branch ", 1).replace("refs/tags/", "tag ", 1)
        case "short":
            return value[:8]
    return value.replace("_", " ")
