"""Where in a delivery a value stands: ``header:X-GitHub-Delivery`` or ``body:/data/object/id`` (RFC 6901).

Written in YAML, compiled once; a value may also be a list (the first that is present) or a mapping from
event types to sources (the most specific that matches, ``*`` for the rest).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, TypeVar

from pydantic import AfterValidator

from providers.request import Headers

_SOURCE = re.compile(r"header:(?P<header>[A-Za-z0-9-]{1,64})|body:(?P<pointer>(?:/[^\s]{0,255})?)")

V = TypeVar("V")

Getter = Callable[[Headers, object], object]
TypedGetter = Callable[[Headers, object, str], object]


def _check_source(text: str) -> str:
    if not _SOURCE.fullmatch(text):
        raise ValueError("is not a place in a delivery; write header:NAME or body:/json/pointer")
    return text


Source = Annotated[str, AfterValidator(_check_source)]
"""One place in a delivery."""

Sources = Source | list[Source]
"""One place, or several of which the first that is present counts."""

SourcesByType = Sources | dict[str, Sources]
"""Places, or places by event type."""


def header_name(source: str) -> bytes | None:
    """The lower-case name of the header field that ``source`` names; None when it is in the body."""
    match = _SOURCE.fullmatch(source)
    return match["header"].lower().encode() if match and match["header"] else None


def pointer_steps(source: str) -> list[str]:
    """The unescaped steps of the JSON Pointer in ``body:/json/pointer``."""
    return [
        step.replace("~1", "/").replace("~0", "~") for step in source.removeprefix("body:").split("/")[1:]
    ]


def compile_sources(sources: Sources) -> Getter:
    """A function that reads the value; None when it is absent."""
    getters = [_compile_source(source) for source in ([sources] if isinstance(sources, str) else sources)]
    if len(getters) == 1:
        return getters[0]

    def first(headers: Headers, payload: object) -> object:
        for getter in getters:
            value = getter(headers, payload)
            if value is not None:
                return value
        return None

    return first


def compile_by_type(sources: SourcesByType) -> TypedGetter:
    """A function that reads the value that an event of the given type has; None when it is absent."""
    if not isinstance(sources, dict):
        getter = compile_sources(sources)
        return lambda headers, payload, _: getter(headers, payload)
    getters = {event_type: compile_sources(source) for event_type, source in sources.items()}
    default = getters.pop("*", None)

    def by_type(headers: Headers, payload: object, event_type: str) -> object:
        found = most_specific(getters, event_type) or default
        return found(headers, payload) if found else None

    return by_type


def most_specific(by_type: Mapping[str, V], event_type: str) -> V | None:
    """The entry for ``event_type``, else for the longest of its dotted prefixes, else None."""
    while event_type:
        if (found := by_type.get(event_type)) is not None:
            return found
        event_type = event_type.rpartition(".")[0]
    return None


def _compile_source(source: str) -> Getter:
    name = header_name(source)
    if name is not None:
        return lambda headers, _: _decode(headers.get(name))
    steps = pointer_steps(source)
    if len(steps) == 1:
        key = steps[0]
        return lambda _, payload: payload.get(key) if isinstance(payload, dict) else None
    return lambda _, payload: resolve(payload, steps)


def _decode(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def resolve(document: object, steps: list[str]) -> object:
    """The value at a JSON Pointer, given as its unescaped steps; None when there is none."""
    for step in steps:
        if type(document) is dict:
            document = document.get(step)
        elif type(document) is list and step.isascii() and step.isdigit() and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document
