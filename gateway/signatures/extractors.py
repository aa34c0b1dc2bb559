"""Sources: the places in a request from which values are read.

    header:X-GitHub-Delivery     a header field
    query:token                  a query parameter
    body:/data/object/id         a JSON Pointer (RFC 6901) into the payload, and into strings in it that are JSON
    item:/id                     the same into one event of a batch; into the payload if there is no batch
    parent:/id                   the same into the innermost object around that event that has such a member
    list:                        the name of the member that holds the list of that event
    text:push                    this text, for senders that have one type of event and do not name it
    member:                      the name of the first member of the item that is an object or a list
    "{item:/id}:{item:/state}"   several of them as one text, absent if one of them is absent

In a pointer, ``*`` is the only element of a list. If the list has several it matches none, so that no event is known by
its first element.

Sources are written in YAML and compiled once. A value may also be a list of sources (the first that is present and not
empty counts) or a mapping from event types to sources (the most specific match counts, ``*`` for the rest).

This module has more than 200 lines because grammar, compilation and lookup are one definition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Annotated, Any, TypeVar

import msgspec
import orjson
from pydantic import AfterValidator, StringConstraints

from gateway.signatures.forms import read_query
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

_SOURCE = re.compile(
    r"header:(?P<header>[A-Za-z0-9-]{1,64})"
    r"|query:(?P<query>[A-Za-z0-9_.-]{1,64})"
    r"|text:(?P<text>[!-z|~]{1,64})"
    r"|list:|(?:body|item|parent|member):(?:/[^\s{}]{0,255})?"
)
_POINTER = re.compile(r"(?:/(?:[^/~]|~[01])*)+")
_FIELD = re.compile(r"\{([^{}]*)\}")

EXACT_LIMIT = 2**53
"""The first number at which a double stands for several integers, so that two ids would have one text."""

INTEGER_LIMIT = 10**255
"""Integers from here on become no text: no attribute is as long, and str() raises from 4300 digits on."""

V = TypeVar("V")


class Enclosing:
    """An object that contains lists of events.

    Attributes:
        value: the object.
        bare: the object without the events.
        outer: its place in the next object around it; None if it is the outermost.
    """

    __slots__ = ("_digest", "bare", "outer", "value")

    def __init__(self, value: dict[str, Any], bare: dict[str, Any], outer: Parent | None) -> None:
        self.value = value
        self.bare = bare
        self.outer = outer
        self._digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        """A digest of the object and of everything around it, without events; computed once for all its lists."""
        if self._digest is None:
            outer = self.outer.context if self.outer else b""
            self._digest = sha256(outer + orjson.dumps(self.bare)).digest()
        return self._digest


class Parent:
    """The place of a list of events.

    Attributes:
        enclosing: the object around the list.
        member: the name of its member that leads to the list.
    """

    __slots__ = ("_context", "enclosing", "member")

    def __init__(self, enclosing: Enclosing, member: str) -> None:
        self.enclosing = enclosing
        self.member = member
        self._context: bytes | None = None

    def find(self, steps: list[str]) -> object:
        """Return the value at a JSON Pointer in the innermost object that has it; None if none has."""
        parent: Parent | None = self
        while parent is not None:
            if (found := resolve(parent.enclosing.value, steps)) is not None:
                return found
            parent = parent.enclosing.outer
        return None

    def hidden(self) -> Parent:
        """Return a copy without events, for readers that must not see unmasked ones."""
        bare, outer = self.enclosing.bare, self.enclosing.outer
        return Parent(Enclosing(bare, bare, outer.hidden() if outer else None), self.member)

    @property
    def outermost(self) -> dict[str, Any]:
        """The outermost object."""
        outer = self.enclosing.outer
        return outer.outermost if outer else self.enclosing.value

    @property
    def context(self) -> bytes:
        """A digest of everything around the list: it distinguishes equal events of different lists."""
        if self._context is None:
            self._context = sha256(self.enclosing.digest + self.member.encode()).digest()
        return self._context


class SourceContext(msgspec.Struct, eq=False):
    """The request and the event that sources are read from.

    Attributes:
        headers: the header fields of the request.
        query: its query, as sent.
        payload: its parsed body.
        item: the event within the payload; the payload itself if it is a single event.
        parent: the place of the list that contains the event; None if there is none.
    """

    headers: Headers
    query: bytes
    payload: object
    item: object
    parent: Parent | None = None


Getter = Callable[[SourceContext], object]


def check_source(text: str) -> str:
    """Return a valid source unchanged.

    Raises:
        ValueError: The text is not a source.
    """
    fields = _FIELD.findall(text)
    literal = _FIELD.sub("", text)
    is_known = all(map(_SOURCE.fullmatch, fields)) if fields else _SOURCE.fullmatch(text)
    if not is_known or (fields and (len(text) > 512 or not _is_plain(literal))):
        raise ValueError(
            "is not a place in a delivery; write header:NAME, query:NAME, body:/json/pointer, item:/json/pointer or "
            "parent:/json/pointer, or several of them in braces as one text"
        )
    return text


def _is_plain(literal: str) -> bool:
    return literal.isascii() and (literal.isprintable() or not literal) and not set("{}") & set(literal)


Source = Annotated[str, AfterValidator(check_source)]
"""One place in a request, or a text made of several."""

Sources = Source | list[Source]
"""One source, or several, of which the first that is present and not empty counts."""


def _check_pointer(text: str) -> str:
    if not _POINTER.fullmatch(text):
        raise ValueError("is not a JSON Pointer; write /customer/email, or /items/*/email for all of a list")
    return text


Pointer = Annotated[str, StringConstraints(max_length=256), AfterValidator(_check_pointer)]
"""A JSON Pointer (RFC 6901) to a part of a value, in which a step may be ``*``."""

SourcesByType = Sources | dict[str, Sources]
"""Sources, or sources by event type."""


def header_name(source: str) -> bytes | None:
    """Return the lower-case name of the header field that ``source`` names; None for other sources."""
    match = _SOURCE.fullmatch(source)
    return match["header"].lower().encode() if match and match["header"] else None


def pointer_steps(source: str) -> list[str]:
    """Return the unescaped steps of the JSON Pointer in ``body:/json/pointer`` and similar sources."""
    return [step.replace("~1", "/").replace("~0", "~") for step in source.partition(":")[2].split("/")[1:]]


def places_of(sources: Sources | None) -> list[str]:
    """Return all places that the sources name, including those inside a text."""
    named = [sources] if isinstance(sources, str) else sources or []
    return [place for source in named for place in _FIELD.findall(source) or [source]]


def compile_sources(sources: Sources) -> Getter:
    """Return a function that reads the value, or None if it is absent."""
    getters = [_compile_source(source) for source in ([sources] if isinstance(sources, str) else sources)]
    if len(getters) == 1:
        return getters[0]

    def first(context: SourceContext) -> object:
        for getter in getters:
            value = getter(context)
            if value is not None and value != "":
                return value
        return None

    return first


def sources_of_type(sources: SourcesByType | None, event_type: str) -> Sources | None:
    """Return the sources for events of this type; None if there are none."""
    if isinstance(sources, dict):
        return most_specific(sources, event_type) or sources.get("*") or None
    return sources


def most_specific(by_type: Mapping[str, V], event_type: str) -> V | None:
    """Return the entry for ``event_type``, or for the longest of its dotted prefixes, or None."""
    while event_type:
        if (found := by_type.get(event_type)) is not None:
            return found
        event_type = event_type.rpartition(".")[0]
    return None


def query_value(query: bytes, name: str) -> str | None:
    """Return the value of a query parameter, or None if it is absent.

    Raises:
        MalformedRequest: The parameter is repeated, or the query has too many parameters.
    """
    key = name.encode()
    values = [value for parameter, value in read_query(query) if parameter == key]
    if len(values) > 1:
        raise MalformedRequest("a parameter of the query is repeated")
    return values[0].decode(errors="replace") if values else None


def text_of(value: object) -> str | None:
    """Return a string, number or boolean as text, as JSON writes it; None for anything else."""
    if type(value) is str or value is None:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        # orjson reads integers of more than 64 bits as floats: their lost digits could distinguish two ids.
        return str(value) if abs(value) < EXACT_LIMIT else None
    if type(value) is int:
        return str(value) if abs(value) < INTEGER_LIMIT else None
    return None


def _compile_source(source: str) -> Getter:
    if "{" in source:
        return _compile_template(source)
    match = _SOURCE.fullmatch(source)
    if match and match["header"]:
        return _compile_header(match["header"].lower().encode())
    if match and match["query"]:
        parameter = match["query"]
        return lambda context: query_value(context.query, parameter)
    if match and match["text"]:
        text = match["text"]
        return lambda _: text
    if source == "list:":
        return lambda context: context.parent.member if context.parent else None
    steps = pointer_steps(source)
    if source.startswith("parent:"):
        return lambda context: context.parent.find(steps) if context.parent else None
    if source.startswith("member:"):
        return lambda context: _first_container(resolve(context.item, steps))
    if source.startswith("item:"):
        return lambda context: resolve(context.item, steps)
    return lambda context: resolve(context.payload, steps)


def header_text(value: bytes) -> str:
    """Decode a header value from UTF-8, which most senders use, or from Latin-1, the encoding of HTTP/1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _compile_header(name: bytes) -> Getter:
    def read(context: SourceContext) -> str | None:
        value = context.headers.get(name)
        return None if value is None else header_text(value)

    return read


def _compile_template(template: str) -> Getter:
    pieces = _FIELD.split(template)
    literals, getters = pieces[::2], [_compile_source(field) for field in pieces[1::2]]

    def fill(context: SourceContext) -> str | None:
        text = literals[0]
        for getter, literal in zip(getters, literals[1:], strict=True):
            value = text_of(getter(context))
            if value is None:
                return None
            text += value + literal
        return text

    return fill


def _first_container(value: object) -> str | None:
    if type(value) is dict:
        return next((name for name, member in value.items() if type(member) in (dict, list)), None)
    return None


def resolve(document: object, steps: list[str]) -> object:
    """Return the value at a JSON Pointer, given as unescaped steps; None if it is absent."""
    for step in steps:
        document = document.get(step) if type(document) is dict else enter(document, step)
    return document


def enter(value: object, step: str) -> object:
    """Return the value at one step within anything but an object: a list, or a text that is JSON."""
    if type(value) is list and step.isascii() and step.isdigit() and int(step) < len(value):
        return value[int(step)]
    if type(value) is list and step == "*" and len(value) == 1:
        return value[0]
    if type(value) is str and value[:1] == "{":
        return _read_object(value).get(step)
    return None


def _read_object(text: str) -> dict[str, object]:
    """Parse a text as a JSON object. Return an empty one if it is not an object."""
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}
