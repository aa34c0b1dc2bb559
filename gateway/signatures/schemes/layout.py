"""The layout of a sender's bodies, as far as a scheme has to read them before the sender is proven.

Only signatures in the body, or over parts of it, need this. A scheme reads no more than the signature and the signed
parts. What cannot be read is refused like a signature that does not match.

This module has more than 200 lines because reading a place and writing to it are two halves of one definition.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import orjson
from pydantic import Field, StringConstraints

from gateway.signatures.batches import Batch
from gateway.signatures.extractors import SourceContext, compile_sources, pointer_steps, resolve, text_of
from gateway.signatures.forms import Fields, parse_form, write_form
from gateway.signatures.media import content_type_of
from gateway.signatures.rejections import MalformedRequest, SignatureFault, SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.excerpt import Excerpt
from gateway.signatures.schemes.signed import Signed
from gateway.signatures.schemes.signed_forms import media_type, only, read_query

Place = Annotated[
    str, StringConstraints(pattern=r"^(query:[A-Za-z0-9_.-]{1,64}|(body|item):/[^\s{}]{1,255})$")
]
"""The place of a signature, a token or a timestamp that is not in a header."""

Places = Place | Annotated[list[Place], Field(min_length=1, max_length=3)]
"""One such place, or several, of which the first that holds a value counts."""

_DEFAULT_CONTENT: Mapping[str, str] = {"application/json": "json"}


class Layout:
    """The layout of a sender's bodies.

    Attributes:
        id_header: the header field (lower case) that carries the event id; None if no header does.
    """

    def __init__(
        self,
        id_header: bytes | None = None,
        content: Mapping[str, str] = _DEFAULT_CONTENT,
        form_json: str | None = None,
        batch: str | list[str] | None = None,
    ) -> None:
        self.id_header = id_header
        self._content = content
        self._form_json = form_json
        self._batch = Batch(batch) if batch else None

    def excerpt(self, places: Iterable[str]) -> Excerpt:
        """Return a reader of these places of a body alone.

        Raises:
            ValueError: Events are signed one by one, but are in several lists.
        """
        named = list(places)
        if self._batch and self._batch.is_nested and any(place.startswith("item:") for place in named):
            raise ValueError("events that are signed one by one must stand in one list")
        return Excerpt(named, self._batch.steps if self._batch else None)

    def content_of(self, request: RawRequest, excerpt: Excerpt) -> bytes | Fields:
        """Return the JSON of a body (the body itself, or a field of a form), or the form fields of an excerpt.

        Raises:
            SignatureRejected: The body cannot be read, or its media type is not one that the sender uses.
        """
        if not self._is_form(request):
            return request.body
        names = excerpt.members
        fields = _fields(request, {*names, self._form_json} if self._form_json else names)
        text = fields.get(self._form_json) if self._form_json else None
        if text is None:
            return fields
        if type(text) is not str:
            raise SignatureRejected("signature_ambiguous")
        return text.encode()

    def contexts(
        self, request: RawRequest, excerpt: Excerpt, content: bytes | Fields | None = None
    ) -> Iterator[SourceContext]:
        """Yield the excerpt of a body once, or for each event of a batch.

        Raises:
            SignatureRejected: The body cannot be read.
        """
        content = self.content_of(request, excerpt) if content is None else content
        found = [(content, content)] if isinstance(content, dict) else excerpt.read(content)
        for payload, item in found:
            yield SourceContext(request.headers, request.query, payload, item)

    def read(self, request: RawRequest) -> object:
        """Parse the body by its media type. Only for signing: nothing bounds the work.

        Raises:
            SignatureRejected: The body cannot be parsed, or its media type is not one that the sender uses.
        """
        if not self._is_form(request):
            return _parse_json(request.body)
        fields = _fields(request)
        if self._form_json not in fields:
            return fields
        text = fields[self._form_json]
        if type(text) is not str:
            raise SignatureRejected("signature_ambiguous")
        return _parse_json(text)

    def items(self, payload: object) -> list[object]:
        """Return the events of a body: those of its batch, or the body itself."""
        return self._batch.values(payload) if self._batch else [payload]

    def write(self, request: RawRequest, payload: Any) -> bytes:
        """Return the body of ``request`` with another payload."""
        if not self._is_form(request):
            return orjson.dumps(payload)
        fields = _fields(request)
        if self._form_json in fields:
            payload = fields | {self._form_json: orjson.dumps(payload).decode()}
        return write_form(payload, content_type_of(request.headers) or b"")

    def _is_form(self, request: RawRequest) -> bool:
        stated = media_type(request.headers)
        reading = self._content.get(stated) if stated else next(iter(self._content.values()))
        if reading not in ("json", "form"):
            raise SignatureRejected("signature_malformed")
        return reading == "form"


PLAIN = Layout()
"""The layout of a JSON body with one event."""

PlaceReader = Callable[[RawRequest, SourceContext | None], bytes]


def place_reader(places: str | list[str], missing: SignatureFault) -> PlaceReader:
    """Return a function that reads the text at a place. Its context may be None if the place is in the query.

    The function raises:
        SignatureRejected: The place is empty (``missing``), is repeated, or holds no text.
    """
    readers = [_place_reader(place, missing) for place in listed(places)]

    def read(request: RawRequest, context: SourceContext | None) -> bytes:
        for reader in readers[:-1]:
            try:
                return reader(request, context)
            except SignatureRejected as rejection:
                if rejection.fault != missing:
                    raise
        return readers[-1](request, context)

    return read


def listed(places: str | list[str] | None) -> list[str]:
    """Return one place, several or none as a list."""
    return [places] if isinstance(places, str) else places or []


def _place_reader(place: str, missing: SignatureFault) -> PlaceReader:
    kind, _, name = place.partition(":")
    if kind == "query":
        parameter = name.encode()
        return lambda request, _: only(read_query(request.query), parameter, missing)
    steps = pointer_steps(place)

    def read(_: RawRequest, context: SourceContext | None) -> bytes:
        text = read_text(context, kind, steps)
        if not text:
            raise SignatureRejected(missing)
        return text

    return read


def read_text(context: SourceContext | None, kind: str, steps: list[str]) -> bytes:
    """Return the text at a JSON Pointer in the ``body`` or the ``item`` (``kind``); empty if it is absent.

    Raises:
        SignatureRejected: The value is an object, or a list, as a repeated form field is.
    """
    value = resolve((context.item if kind == "item" else context.payload) if context else None, steps)
    if value is None:
        return b""
    text = text_of(value)
    if text is None:
        raise SignatureRejected("signature_ambiguous" if type(value) is list else "signature_malformed")
    return text.encode()


def is_in_body(places: str | list[str] | None) -> bool:
    """Return whether a place is in the body, which then has to be parsed."""
    return any(not place.startswith("query:") for place in listed(places))


class Draft:
    """A request that is being signed.

    Args:
        request: the request without its signature.
        layout: the layout of its body.
        needs_payload: whether parts of the body are signed, or the signature is written into it.
    """

    def __init__(self, request: RawRequest, layout: Layout, *, needs_payload: bool) -> None:
        self._request = request
        self._layout = layout
        self._payload: Any = layout.read(request) if needs_payload else None
        self._has_new_payload = False
        self._headers: dict[str, str] = {}
        self._query = request.query

    def contexts(self, *, is_itemwise: bool) -> list[SourceContext]:
        """Return a context for the body, or one for each event of its batch."""
        items = self._layout.items(self._payload) if is_itemwise else [self._payload]
        return [SourceContext(self._request.headers, self._query, self._payload, item) for item in items]

    def write(
        self, header: str | None, places: str | list[str] | None, text: str, context: SourceContext
    ) -> None:
        """Write a text to a header or to a place (of several: the first in use); nowhere if both are None.

        Raises:
            ValueError: Another value in the body is in the way.
        """
        candidates = listed(places)
        used = (place for place in candidates if compile_sources(place)(context) is not None)
        place = next(used, candidates[0] if candidates else None)
        if header:
            self._headers[header] = text
        elif place and place.startswith("query:"):
            name = place.partition(":")[2].encode()
            kept = [pair for pair in read_query(self._query) if pair[0] != name]
            self._query = urlencode([*kept, (name, text)]).encode()
        elif place:
            _put(context.item if place.startswith("item:") else context.payload, place, text)
            self._has_new_payload = True

    def request(self) -> RawRequest:
        """Return the request in its current state, without the added headers."""
        signed, base = self.signed(), self._request
        return RawRequest(
            body=signed.body,
            headers=base.headers,
            method=base.method,
            path=base.path,
            query=signed.query,
            url=base.url,
        )

    def signed(self) -> Signed:
        """Return the signed request."""
        body = self._request.body
        if self._has_new_payload:
            body = self._layout.write(self._request, self._payload)
        return Signed(self._headers, body, self._query)


def _put(document: Any, place: str, text: str) -> None:
    """Write a text at a JSON Pointer. Create missing objects on the way."""
    *steps, last = pointer_steps(place)
    for step in steps:
        document = document.setdefault(step, {}) if isinstance(document, dict) else resolve(document, [step])
    if not isinstance(document, dict):
        raise ValueError(f"the body has no room for {place}")  # noqa: TRY004 - the value is wrong, not its type
    is_number = type(document.get(last)) is int and text.isdigit()
    document[last] = int(text) if is_number else text


def _fields(request: RawRequest, names: Collection[str] | None = None) -> Fields:
    try:
        return parse_form(request.body, content_type_of(request.headers) or b"", names=names)
    except MalformedRequest:
        raise SignatureRejected("signature_malformed") from None


def _parse_json(text: bytes | str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise SignatureRejected("signature_malformed") from None
