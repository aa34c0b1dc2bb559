"""The types of a provider's events, and what is read from each of them besides its id.

Which subject, which time and which summaries belong to a type is decided once, when its first event arrives. Types that
are described alike share the function that reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from gateway.adapters.generated import FunctionWriter
from gateway.adapters.identity import (
    UNKNOWN_TYPE,
    clean_attribute,
    clean_event_type,
    clean_time,
)
from gateway.adapters.spec import AdapterSpec
from gateway.adapters.summary import templates_of, words_of_type, write_summary
from gateway.signatures.extractors import SourceContext, Sources, sources_of_type

_MAX_CACHED_TYPES = 1024
"""Event types that are kept. Senders have a few, but could make up any number."""

Attributes: TypeAlias = tuple[
    str | None, str | None, str | None, str | None, str | None, str | None, str | None
]
"""The delivery id, source, time, subject, account, actor and summary of an event."""

Describe: TypeAlias = Callable[[SourceContext, str | None, str | None], Attributes]
"""Reads the attributes of an event, whose summary may name its type and its action."""


class EventType(NamedTuple):
    """A type of events.

    Attributes:
        name: the provider's word, such as ``pull_request.opened``.
        is_typed: whether the events have the type that their provider should send.
        text: the name as summaries write it.
        action: the last part of the name as summaries write it; None if it has one part.
        describe: reads the attributes of an event.
    """

    name: str
    is_typed: bool
    text: str | None
    action: str | None
    describe: Describe


class EventTypes:
    """The types of one provider's events.

    Args:
        spec: the description of the provider.
    """

    def __init__(self, spec: AdapterSpec) -> None:
        self._spec = spec
        self._types: dict[tuple[str, str | None], EventType] = {}
        self._readers: dict[tuple[object, ...], Describe] = {}

    def find(self, word: object, action: object) -> EventType:
        """Return the type of an event with this word and this finer type, as they stand in the request."""
        is_text = type(word) is str and (action is None or type(action) is str)
        found = self._types.get((word, action)) if is_text else None  # type: ignore[arg-type]
        if found is None:
            found = self._make(clean_event_type(word), action)
            if is_text:
                if len(self._types) >= _MAX_CACHED_TYPES:
                    self._types.clear()
                self._types[word, action] = found  # type: ignore[index]
        return found

    def _make(self, word: str | None, action: object) -> EventType:
        if word is None:
            return self._named(UNKNOWN_TYPE, is_typed=False)
        if action is None or action == "":
            return self._named(word, is_typed=True)
        refined = clean_event_type(f"{word}.{action}" if type(action) is str else None)
        return self._named(refined or word, is_typed=refined is not None)

    def _named(self, name: str, *, is_typed: bool) -> EventType:
        spec = self._spec
        described = (
            sources_of_type(spec.time, name),
            sources_of_type(spec.subject, name),
            templates_of(spec.summary or {}, name),
        )
        describe = self._readers.get(key := tuple(map(repr, described)))
        if describe is None:
            describe = self._readers[key] = _reader(spec, *described)
        return EventType(name, is_typed, *words_of_type(name), describe)


def _reader(
    spec: AdapterSpec, time: Sources | None, subject: Sources | None, templates: tuple[str, ...]
) -> Describe:
    """Generate what reads the attributes of events that are described so."""
    writer = FunctionWriter("describe", "event_type", "action")
    attributes = {
        "delivery_id": spec.delivery_id,
        "source": spec.source,
        "time": time,
        "subject": subject,
        "account": spec.account,
        "actor": spec.actor,
    }
    for name, sources in attributes.items():
        if sources is None:
            writer.line(f"{name} = None")
            continue
        value = writer.read(sources)
        if name == "time":
            writer.line(f"time = {writer.constant(clean_time)}({value})")
            continue
        writer.line(f"{name} = {value}")
        writer.clean(name, clean_attribute)
    result = f"return {', '.join(attributes)}, "
    for template in templates:
        with writer.block("while True:"):
            writer.line(result + write_summary(writer, template))
    writer.line(result + "None")
    return writer.build()
