"""What a verified delivery carries: which media types are read, and how.

The media type stands in a header that hardly any signature covers, so that whoever saw a delivery can send its body
again under another one. Therefore no body has two readings: what is JSON, XML, a token or a form in parts is none of
the others, whatever it is declared, and a text is none of those that the sender has besides.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import orjson

from gateway.adapters.identity import clean_attribute
from gateway.adapters.spec import BodyFormat, DeliverySpec
from gateway.errors import MalformedJson, UnsupportedMediaType
from gateway.events.batch import Item, split
from gateway.events.strict_json import UnreadableNumber, parse_json
from gateway.events.xml import parse_xml
from gateway.signatures.batches import Batch
from gateway.signatures.forms import parse_form
from gateway.signatures.media import content_type_of
from gateway.signatures.rejections import MalformedRequest
from gateway.signatures.request import Headers

_UNNAMED = "application/octet-stream"
_JSON_READINGS = frozenset({"json", "json_list"})
_NO_CODINGS = frozenset({b"", b"identity"})


class Content(NamedTuple):
    """What a body is.

    Attributes:
        payload: what its event is identified by; None for a text, and where there is no body.
        data: the bytes that become the event's data; empty where there is no body.
        media_type: theirs; None for JSON, empty where there is no body.
        items: the events in it, where it is a list of them.
        is_readable: False where it has a number that most readers of JSON refuse.
    """

    payload: Any
    data: bytes
    media_type: str | None = None
    items: list[Item] | None = None
    is_readable: bool = True


_EMPTY = Content(None, b"", "")

_WHOLE = Batch("body:")


class Reader:
    """Reads the bodies of one provider.

    Args:
        spec: what they may be.
        is_body_signed: whether the signature covers the body; else what is declared is worth as much as what is sent.
    """

    def __init__(self, spec: DeliverySpec, *, is_body_signed: bool = True) -> None:
        first = next(iter(spec.content))
        self._default_type = _UNNAMED if "*" in first else first
        self._form_json = spec.form_json
        self._form_begins = tuple(f"{name}=".encode() for name in spec.form_begins)
        self._form_xml = spec.form_xml
        self._is_empty_allowed = spec.is_empty_allowed
        self._batch = Batch(spec.batch) if spec.batch else None
        readings = frozenset(spec.content.values()) if is_body_signed else frozenset[BodyFormat]()
        self._beside_text = readings & _LOOKS_LIKE.keys()
        self._tells_lists = {"json", "json_list"} <= readings and not (self._batch and self._batch.is_whole)
        self._readings: dict[bytes | None, BodyFormat] = {None: spec.content[first]}
        self._patterns: list[tuple[re.Pattern[bytes], BodyFormat]] = []
        for media_type, reading in spec.content.items():
            if "*" in media_type:
                pattern = re.escape(media_type).replace(r"\*", "[^/]*").encode()
                self._patterns.append((re.compile(pattern), reading))
            else:
                name = media_type.encode()
                self._readings |= {name: reading, name + b"; charset=utf-8": reading}

    def read(self, headers: Headers, body: bytes) -> Content:
        """Return what is in a body; compressed ones are never inflated.

        Raises:
            UnsupportedMediaType: It is compressed, in a type that is not read, or in another charset than UTF-8.
            MalformedRequest: Two headers describe it in two ways, it is a broken form or broken XML, or it is of
                another kind than it is declared.
            MalformedJson: It is broken JSON.
            BodyTooLarge: It is a list of too many events.
        """
        if self._is_empty_allowed and not body:
            return _EMPTY
        if b"content-encoding" in headers:
            _check_codings(headers.all(b"content-encoding"))
        try:  # what nearly all senders say is known as it stands
            content_type = headers.get(b"content-type")
            reading = self._readings[content_type]
        except (KeyError, MalformedRequest):
            content_type = content_type_of(headers)
            reading = self._reading_of(content_type or b"")
        if reading in _JSON_READINGS:
            return self._read_json(body, reading, content_type)
        if reading == "form":
            return self._read_form(body, content_type or b"")
        if reading == "jwt":
            return self._of_json(_claims_of(body), self._batch)
        if reading == "xml":
            stated = content_type or b""
            if _names_other_charset(stated):  # which is not looked at: a document says its own
                stated = stated.partition(b";")[0]
            return Content(parse_xml(body), body, self._named(stated))
        if self._beside_text:
            _check_text(body, self._beside_text)
        return Content(None, body, self._named(content_type or b""))

    def _named(self, content_type: bytes) -> str:
        return clean_attribute(content_type.decode("latin-1")) or self._default_type

    def _read_json(self, body: bytes, reading: BodyFormat, content_type: bytes | None) -> Content:
        """Read it as UTF-8, whatever is declared, unless it is in the other charset that is declared."""
        batch = self._batch if reading == "json" else _WHOLE
        try:
            if batch is None and not self._tells_lists:
                return Content(parse_json(body), body)
            content = self._of_json(body, batch)
        except UnreadableNumber as error:
            return Content(error.payload, body, None, None, is_readable=False)
        except MalformedJson as error:
            if content_type is not None and _names_other_charset(content_type):
                raise UnsupportedMediaType from error
            raise
        if self._tells_lists and _may_be_events(content.payload) is not (reading == "json_list"):
            raise MalformedRequest("a list of events is declared one event, or one event a list")
        return content

    def _of_json(self, data: bytes, batch: Batch | None) -> Content:
        try:
            payload, is_readable = parse_json(data), True
        except UnreadableNumber as error:
            payload, is_readable = error.payload, False
        if batch is None:
            return Content(payload, data, None, None, is_readable)
        return Content(payload, data, None, split(payload, data, batch), is_readable)

    def _read_form(self, body: bytes, content_type: bytes) -> Content:
        if self._form_begins and not body.startswith(self._form_begins):
            raise MalformedRequest("a form that does not begin as those of its sender")
        fields = parse_form(body, content_type, self._form_json)
        if self._form_xml:
            fields |= _xml_in(fields.get(self._form_xml))
        text = fields.get(self._form_json) if self._form_json else None
        if text is None:
            return Content(fields, orjson.dumps(fields))
        if not isinstance(text, str):
            raise MalformedRequest("the field that holds JSON is repeated, or a file")
        if self._form_begins and not body.startswith(f"{self._form_json}=".encode()):
            raise MalformedRequest("the field that holds JSON is not the first")
        return self._of_json(text.encode(), self._batch)

    def _reading_of(self, content_type: bytes) -> BodyFormat:
        """Find how a body of a type is read that is written in another way, or matches a pattern.

        Raises:
            UnsupportedMediaType: It is not.
        """
        media_type = content_type.partition(b";")[0].strip().lower()
        reading = self._readings.get(media_type) or next(
            (reading for pattern, reading in self._patterns if pattern.fullmatch(media_type)), None
        )
        if reading is None:
            raise UnsupportedMediaType
        return reading


def _may_be_events(payload: object) -> bool:
    return type(payload) is list and (not payload or dict in map(type, payload))


def _check_codings(values: Collection[bytes]) -> None:
    """Refuse what would have to be inflated; no coding is one as well, in each way in which it is written.

    Raises:
        UnsupportedMediaType: It is compressed, or something unknown was done to it.
    """
    if any(coding.strip().lower() not in _NO_CODINGS for value in values for coding in value.split(b",")):
        raise UnsupportedMediaType


def _check_text(body: bytes, readings: Collection[BodyFormat]) -> None:
    """Refuse a text that has a meaning under another of its sender's media types.

    Raises:
        MalformedRequest: It has one.
    """
    if any(_LOOKS_LIKE[reading].match(body) for reading in readings):
        raise MalformedRequest("the body is declared a text, and is none")


_JSON = re.compile(rb'\s*+(?:[{\["]|(?:-?[0-9][0-9.eE+-]*+|true|false|null)\s*+\Z)')
_TOKEN = re.compile(rb"\s*+[A-Za-z0-9_-]++\.([A-Za-z0-9_-]++)\.[A-Za-z0-9_-]*+\s*+\Z")
_LOOKS_LIKE: Mapping[BodyFormat, re.Pattern[bytes]] = {
    "json": _JSON,
    "json_list": _JSON,
    "jwt": _TOKEN,
    "xml": re.compile(rb"[\s\xef\xbb\xbf\xfe\xff\0]*+<"),
}


def _names_other_charset(content_type: bytes) -> bool:
    """Whether a charset is declared that is not UTF-8."""
    parameters = content_type.lower().replace(b'"', b"").split(b";")[1:]
    pairs = (parameter.strip().partition(b"=") for parameter in parameters)
    return any(name == b"charset" and value not in {b"utf-8", b"utf8"} for name, _, value in pairs)


def _xml_in(text: object) -> dict[str, Any]:
    """The XML in a field; broken XML gives nothing, so that its event has no type, and is kept for people to see."""
    try:
        return parse_xml(base64.b64decode(text)) if isinstance(text, str) else {}
    except (MalformedRequest, ValueError):
        return {}


def _claims_of(token: bytes) -> bytes:
    """Return the claims in a token whose signature is verified.

    Raises:
        MalformedRequest: It is no token.
    """
    match = _TOKEN.match(token)
    if match is None:
        raise MalformedRequest("the body is no token")
    try:
        return base64.urlsafe_b64decode(match[1] + b"=" * (-len(match[1]) % 4))
    except ValueError as error:
        raise MalformedRequest("the body is no token") from error
