"""Parse XML into an object, to identify an event.

Namespaces, attributes and comments are dropped. The event's data stays the document itself.
"""

from __future__ import annotations

from typing import Any

from gateway.events.json_bounds import MAX_DEPTH
from gateway.signatures.rejections import MalformedRequest

MAX_ELEMENTS = 10_000
"""Elements of a document, to bound the memory that an object of small elements takes."""


def parse_xml(body: bytes) -> dict[str, Any]:
    """Return a document as ``{"root": {"child": "text", "repeated": ["a", "b"]}}``.

    Raises:
        MalformedRequest: The document is not well-formed, has a document type or entities of its own, or exceeds a bound.
    """
    # Imported here: few providers send XML, and the import is slow and brings a second XML parser into the process.
    from defusedxml.ElementTree import DefusedXMLParser, ParseError  # noqa: PLC0415

    builder = _Builder()
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    try:
        parser.feed(body)
        parser.close()
    except (
        ParseError,
        ValueError,
        LookupError,
    ) as error:  # ValueError: entities; LookupError: unknown encodings
        raise MalformedRequest("the body is not XML as it is read here") from error
    return builder.document


class _Builder:
    """The target of the parser, which calls its methods.

    Attributes:
        document: The root element by its name.
    """

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self._open: list[tuple[dict[str, Any], list[str]]] = [(self.document, [])]
        self._elements = 0

    def start(self, tag: str, attributes: object) -> None:
        self._elements += 1
        if len(self._open) > MAX_DEPTH or self._elements > MAX_ELEMENTS:
            raise MalformedRequest("XML that is nested too deeply, or has too many elements")
        self._open.append(({}, []))

    def data(self, text: str) -> None:
        self._open[-1][1].append(text)

    def end(self, tag: str) -> None:
        children, texts = self._open.pop()
        name = tag.rpartition("}")[2]
        parent, _ = self._open[-1]
        value = children or "".join(texts).strip()
        known = parent.get(name)
        if known is None:
            parent[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            parent[name] = [known, value]

    def close(self) -> None:
        """End the document. The parser requires this method."""
