"""What a scheme may have to read of a request before it is proven: the little that its description tells of the body.

Only signatures that stand in the body, or cover parts of it alone, need this. No more is read than what they are made
of, and what cannot be read is refused like a signature that does not match.
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
"""Where a signature, a token or a moment stands that is in no header."""

Places = Place | Annotated[list[Place], Field(min_length=1, max_length=3)]
"""One such place, or several of which the first counts where something stands."""

_DEFAULT_CONTENT: Mapping[str, str] = {"application/json": "json"}


class Layout:
    """How the bodies of a sender are laid out.

    Attributes:
        id_header: the header field (lower case) that carries the event id, where one does.
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
        """Return what reads no more than these places of a body.

        Raises:
            ValueError: Events are signed one by one that stand in several lists.
        """
        named = list(places)
        if self._batch and self._batch.is_nested and any(place.startswith("item:") for place in named):
            raise ValueError("events that are signed one by one must stand in one list")
        return Excerpt(named, self._batch.steps if self._batch else None)

    def content_of(self, request: RawRequest, excerpt: Excerpt) -> bytes | Fields:
        """Return the JSON that a body is or has in a field, or else the fields of a form that an excerpt is of.

        Raises:
            SignatureRejected: It cannot be read, or its type is not one that the sender uses.
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

    def deliveries(
        self, request: RawRequest, excerpt: Excerpt, content: bytes | Fields | None = None
    ) -> Iterator[SourceContext]:
        """Yield what an excerpt has of the body of a request, once, or for each event of a batch.

        Raises:
            SignatureRejected: It cannot be read.
        """
        content = self.content_of(request, excerpt) if content is None else content
        found = [(content, content)] if isinstance(content, dict) else excerpt.read(content)
        for payload, item in found:
            yield SourceContext(request.headers, request.query, payload, item)

    def read(self, request: RawRequest) -> object:
        """The body parsed as its media type says; for senders, since nothing bounds the work.

        Raises:
            SignatureRejected: it cannot be, or its type is not one that the sender uses.
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
        """The events in a body: those of its batch, else the body itself."""
        return self._batch.values(payload) if self._batch else [payload]

    def write(self, request: RawRequest, payload: Any) -> bytes:
        """The body of ``request`` with ``payload`` in place of its own."""
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
"""One event in a body of JSON."""

PlaceReader = Callable[[RawRequest, SourceContext | None], bytes]


def place_reader(places: str | list[str], missing: SignatureFault) -> PlaceReader:
    """A function that reads the text at a place; the delivery may be None when the place is in the query.

    The function raises:
        SignatureRejected: there is none (``missing``), there are two, or it is no text.
    """
    readers = [_place_reader(place, missing) for place in listed(places)]

    def read(request: RawRequest, delivery: SourceContext | None) -> bytes:
        for reader in readers[:-1]:
            try:
                return reader(request, delivery)
            except SignatureRejected as rejection:
                if rejection.fault != missing:
                    raise
        return readers[-1](request, delivery)

    return read


def listed(places: str | list[str] | None) -> list[str]:
    """One place, several or none, as a list."""
    return [places] if isinstance(places, str) else places or []


def _place_reader(place: str, missing: SignatureFault) -> PlaceReader:
    kind, _, name = place.partition(":")
    if kind == "query":
        parameter = name.encode()
        return lambda request, _: only(read_query(request.query), parameter, missing)
    steps = pointer_steps(place)

    def read(_: RawRequest, delivery: SourceContext | None) -> bytes:
        text = read_text(delivery, kind, steps)
        if not text:
            raise SignatureRejected(missing)
        return text

    return read


def read_text(delivery: SourceContext | None, kind: str, steps: list[str]) -> bytes:
    """The text at a JSON Pointer in the ``body`` or the ``item``, as ``kind`` says; empty when it is absent.

    Raises:
        SignatureRejected: it is a list, as a repeated field of a form is, or an object.
    """
    value = resolve((delivery.item if kind == "item" else delivery.payload) if delivery else None, steps)
    if value is None:
        return b""
    text = text_of(value)
    if text is None:
        raise SignatureRejected("signature_ambiguous" if type(value) is list else "signature_malformed")
    return text.encode()


def is_in_body(places: str | list[str] | None) -> bool:
    """Whether a place is in the body, which then has to be parsed."""
    return any(not place.startswith("query:") for place in listed(places))


class Draft:
    """A request that is being signed.

    Args:
        request: the request without its signature.
        layout: how its body is laid out.
        needs_payload: whether something in the body is signed by itself, or written into it.
    """

    def __init__(self, request: RawRequest, layout: Layout, *, needs_payload: bool) -> None:
        self._request = request
        self._layout = layout
        self._payload: Any = layout.read(request) if needs_payload else None
        self._has_new_payload = False
        self._headers: dict[str, str] = {}
        self._query = request.query

    def deliveries(self, *, is_itemwise: bool) -> list[SourceContext]:
        """The parsed body, or one for each event of its batch."""
        items = self._layout.items(self._payload) if is_itemwise else [self._payload]
        return [SourceContext(self._request.headers, self._query, self._payload, item) for item in items]

    def write(
        self, header: str | None, places: str | list[str] | None, text: str, delivery: SourceContext
    ) -> None:
        """Put a text into a header or at a place, of several the first that is in use; nowhere when both are None.

        Raises:
            ValueError: something else is in its way in the body.
        """
        candidates = listed(places)
        used = (place for place in candidates if compile_sources(place)(delivery) is not None)
        place = next(used, candidates[0] if candidates else None)
        if header:
            self._headers[header] = text
        elif place and place.startswith("query:"):
            name = place.partition(":")[2].encode()
            kept = [pair for pair in read_query(self._query) if pair[0] != name]
            self._query = urlencode([*kept, (name, text)]).encode()
        elif place:
            _put(delivery.item if place.startswith("item:") else delivery.payload, place, text)
            self._has_new_payload = True

    def request(self) -> RawRequest:
        """The request as it is by now, without the headers that were added."""
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
        """All that there is to send."""
        body = self._request.body
        if self._has_new_payload:
            body = self._layout.write(self._request, self._payload)
        return Signed(self._headers, body, self._query)


def _put(document: Any, place: str, text: str) -> None:
    """Write a text at a JSON Pointer, making the objects on the way to it."""
    *steps, last = pointer_steps(place)
    for step in steps:
        document = document.setdefault(step, {}) if isinstance(document, dict) else resolve(document, [step])
    if not isinstance(document, dict):
        raise ValueError(f"the body has no room for {place}")  # noqa: TRY004 - a wrong value, for the caller
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
