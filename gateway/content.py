"""What a verified delivery carries: which media types are read, and what becomes of each."""

from __future__ import annotations

import base64
import logging
import re
from typing import Any, NamedTuple

import orjson

from gateway.batches import Item, split
from gateway.errors import UnsupportedMediaType
from gateway.markup import parse_xml
from gateway.payload import parse_json
from providers import Headers, MalformedRequest
from providers.batches import Batch
from providers.forms import parse_form
from providers.identity import clean_attribute
from providers.spec import DeliverySpec, Reading

# A request is one line in the log; the parser of forms would write another one for what it raises.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

_UNNAMED = "application/octet-stream"


class Content(NamedTuple):
    """What a body is.

    Attributes:
        payload: what its event is identified by; None for a text, and where there is no body.
        data: the bytes that become the event's data; empty where there is no body.
        media_type: theirs; None for JSON, empty where there is no body.
        items: the events in it, where it is a list of them.
    """

    payload: Any
    data: bytes
    media_type: str | None = None
    items: list[Item] | None = None


_EMPTY = Content(None, b"", "")

_WHOLE = Batch("body:")


class Reader:
    """Reads the bodies of one provider.

    Args:
        spec: what they may be.
    """

    def __init__(self, spec: DeliverySpec) -> None:
        first = next(iter(spec.content))
        self._default_type = _UNNAMED if "*" in first else first
        self._form_json = spec.form_json
        self._needs_form_json = spec.needs_form_json
        self._form_xml = spec.form_xml
        self._is_empty_allowed = spec.is_empty_allowed
        self._batch = Batch(spec.batch) if spec.batch else None
        self._readings: dict[bytes | None, Reading] = {None: spec.content[first]}
        self._patterns: list[tuple[re.Pattern[bytes], Reading]] = []
        for media_type, reading in spec.content.items():
            if "*" in media_type:
                pattern = re.escape(media_type).replace(r"\*", "[^/]*").encode()
                self._patterns.append((re.compile(pattern), reading))
            else:
                name = media_type.encode()
                self._readings |= {name: reading, name + b"; charset=utf-8": reading}

    def read(self, headers: Headers, body: bytes) -> Content:
        """What is in a body; compressed ones are never inflated.

        Raises:
            UnsupportedMediaType: it is compressed, or in a type or charset that is not read.
            MalformedRequest: a header that describes it stands there twice, or it is a broken form or broken XML.
            MalformedJson: it is broken JSON.
            BodyTooLarge: it is a list of too many events.
        """
        if self._is_empty_allowed and not body:
            return _EMPTY
        if b"content-encoding" in headers and headers.get(b"content-encoding") != b"identity":
            raise UnsupportedMediaType
        content_type = headers.get(b"content-type")
        # What nearly all senders say is known as it stands.
        reading = self._readings.get(content_type) or self._reading_of(content_type or b"")
        if reading == "json":
            return self._of_json(body, self._batch)
        if reading == "json_list":
            return self._of_json(body, _WHOLE)
        if reading == "form":
            return self._read_form(body, content_type or b"")
        if reading == "jwt":
            return self._of_json(_claims_of(body), self._batch)
        media_type = clean_attribute((content_type or b"").decode("latin-1")) or self._default_type
        return Content(parse_xml(body) if reading == "xml" else None, body, media_type)

    def _of_json(self, data: bytes, batch: Batch | None) -> Content:
        payload = parse_json(data)
        if batch is None:
            return Content(payload, data)
        return Content(payload, data, None, split(payload, data, batch))

    def _read_form(self, body: bytes, content_type: bytes) -> Content:
        fields = parse_form(body, content_type)
        if self._form_xml:
            fields |= _xml_in(fields.get(self._form_xml))
        text = fields.get(self._form_json) if self._form_json else None
        if text is None:
            if self._needs_form_json:
                raise UnsupportedMediaType
            return Content(fields, orjson.dumps(fields))
        if not isinstance(text, str):
            raise MalformedRequest("the field that holds JSON is repeated, or a file")
        return self._of_json(text.encode(), self._batch)

    def _reading_of(self, content_type: bytes) -> Reading:
        """How a body of a type that is written in another way, or matches a pattern, is read.

        Raises:
            UnsupportedMediaType: it is not.
        """
        media_type, _, parameters = content_type.lower().partition(b";")
        media_type = media_type.strip()
        reading = self._readings.get(media_type) or next(
            (reading for pattern, reading in self._patterns if pattern.fullmatch(media_type)), None
        )
        if reading is None:
            raise UnsupportedMediaType
        if reading != "text":  # whose bytes nobody looks at
            _check_charset(parameters)
        return reading


def _xml_in(text: object) -> dict[str, Any]:
    """The XML in a field; broken XML gives nothing, so that its event has no type, and is kept for people to see."""
    try:
        return parse_xml(base64.b64decode(text)) if isinstance(text, str) else {}
    except (MalformedRequest, ValueError):
        return {}


def _claims_of(token: bytes) -> bytes:
    """The claims in a token whose signature is verified.

    Raises:
        MalformedRequest: it is none.
    """
    _, _, rest = token.strip().partition(b".")
    claims = rest.partition(b".")[0]
    try:
        return base64.urlsafe_b64decode(claims + b"=" * (-len(claims) % 4))
    except ValueError as error:
        raise MalformedRequest("the body is no token") from error


def _check_charset(parameters: bytes) -> None:
    for parameter in parameters.replace(b'"', b"").split(b";"):
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value not in {b"utf-8", b"utf8"}:
            raise UnsupportedMediaType
