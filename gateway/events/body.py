"""Read the body of a verified request by its media type.

Hardly any signature covers the Content-Type header, so that an attacker who has seen a request can send its body again
under another media type. Therefore no body has two readings. A body that is JSON, XML, a token or a multipart form is
none of the others, whatever its media type says, and a text is none of the formats that the provider also sends.

The module is over 200 lines: the formats are separate functions, and the rule above holds only for all of them.
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

_DEFAULT_TYPE = "application/octet-stream"
"""The media type of an event whose provider names none and has patterns only."""

_JSON_FORMATS = frozenset({"json", "json_list"})
"""The formats in which a body is JSON."""

_IDENTITY_CODINGS = frozenset({b"", b"identity"})
"""Content codings that leave a body as it is."""


class Content(NamedTuple):
    """The content of a body.

    Attributes:
        payload: The value that identifies the event; None for a text and for an empty body.
        data: The bytes that become the event's data; empty for an empty body.
        media_type: The media type of ``data``; None for JSON, empty for an empty body.
        items: The events, if the body is a list of them.
        is_readable: False if the body has a number that most JSON parsers refuse.
    """

    payload: Any
    data: bytes
    media_type: str | None = None
    items: list[Item] | None = None
    is_readable: bool = True


_EMPTY = Content(None, b"", "")
"""The content of an empty body."""

_WHOLE = Batch("body:")
"""Where events are if the body itself is the list."""


class Reader:
    """Reads the bodies of one provider.

    Args:
        spec: The formats that the provider sends, by media type.
        is_body_signed: Whether the signature covers the body. Otherwise an attacker could change body and media type
            alike, and a text is not compared with the other formats.
    """

    def __init__(self, spec: DeliverySpec, *, is_body_signed: bool = True) -> None:
        first = next(iter(spec.content))
        self._default_type = _DEFAULT_TYPE if "*" in first else first
        self._form_json = spec.form_json
        self._form_begins = tuple(f"{name}=".encode() for name in spec.form_begins)
        self._form_xml = spec.form_xml
        self._is_empty_allowed = spec.is_empty_allowed
        self._batch = Batch(spec.batch) if spec.batch else None
        formats = frozenset(spec.content.values()) if is_body_signed else frozenset[BodyFormat]()
        self._beside_text = formats & _LOOKS_LIKE.keys()
        self._distinguishes_lists = {"json", "json_list"} <= formats and not (
            self._batch and self._batch.is_whole
        )
        self._formats: dict[bytes | None, BodyFormat] = {None: spec.content[first]}
        self._patterns: list[tuple[re.Pattern[bytes], BodyFormat]] = []
        for media_type, body_format in spec.content.items():
            if "*" in media_type:
                pattern = re.escape(media_type).replace(r"\*", "[^/]*").encode()
                self._patterns.append((re.compile(pattern), body_format))
            else:
                name = media_type.encode()
                self._formats |= {name: body_format, name + b"; charset=utf-8": body_format}

    def read(self, headers: Headers, body: bytes) -> Content:
        """Return the content of a body.

        A compressed body is refused: inflating it could exhaust memory.

        Raises:
            UnsupportedMediaType: The body is compressed, its media type is not accepted, or its charset is not UTF-8.
            MalformedRequest: Two headers contradict each other, the form or the XML is broken, or the body is of another
                format than its media type says.
            MalformedJson: The JSON is broken.
            BodyTooLarge: The list has too many events.
        """
        if self._is_empty_allowed and not body:
            return _EMPTY
        if b"content-encoding" in headers:
            _check_codings(headers.all(b"content-encoding"))
        try:  # nearly all requests have one Content-Type, spelled as in the table
            content_type = headers.get(b"content-type")
            body_format = self._formats[content_type]
        except (KeyError, MalformedRequest):
            content_type = content_type_of(headers)
            body_format = self._format_of(content_type or b"")
        if body_format in _JSON_FORMATS:
            return self._read_json(body, body_format, content_type)
        if body_format == "form":
            return self._read_form(body, content_type or b"")
        if body_format == "jwt":
            return self._of_json(_claims_of(body), self._batch)
        if body_format == "xml":
            stated = content_type or b""
            if _names_other_charset(stated):  # ignored: an XML document declares its own encoding
                stated = stated.partition(b";")[0]
            return Content(parse_xml(body), body, self._named(stated))
        if self._beside_text:
            _check_text(body, self._beside_text)
        return Content(None, body, self._named(content_type or b""))

    def _named(self, content_type: bytes) -> str:
        return clean_attribute(content_type.decode("latin-1")) or self._default_type

    def _read_json(self, body: bytes, body_format: BodyFormat, content_type: bytes | None) -> Content:
        """Read a body as UTF-8.

        If that fails and another charset is declared, that charset is to blame.
        """
        batch = self._batch if body_format == "json" else _WHOLE
        try:
            if batch is None and not self._distinguishes_lists:
                return Content(parse_json(body), body)
            content = self._of_json(body, batch)
        except UnreadableNumber as error:
            return Content(error.payload, body, None, None, is_readable=False)
        except MalformedJson as error:
            if content_type is not None and _names_other_charset(content_type):
                raise UnsupportedMediaType from error
            raise
        if self._distinguishes_lists and _may_be_events(content.payload) is not (body_format == "json_list"):
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

    def _format_of(self, content_type: bytes) -> BodyFormat:
        """Return the format for a media type that is spelled unusually, or matches a pattern.

        Raises:
            UnsupportedMediaType: The provider does not send this media type.
        """
        media_type = content_type.partition(b";")[0].strip().lower()
        body_format = self._formats.get(media_type) or next(
            (body_format for pattern, body_format in self._patterns if pattern.fullmatch(media_type)), None
        )
        if body_format is None:
            raise UnsupportedMediaType
        return body_format


def _may_be_events(payload: object) -> bool:
    return type(payload) is list and (not payload or dict in map(type, payload))


def _check_codings(values: Collection[bytes]) -> None:
    """Refuse a body with a content coding. ``identity`` and an empty header are none.

    Raises:
        UnsupportedMediaType: The body has a content coding.
    """
    if any(
        coding.strip().lower() not in _IDENTITY_CODINGS for value in values for coding in value.split(b",")
    ):
        raise UnsupportedMediaType


def _check_text(body: bytes, formats: Collection[BodyFormat]) -> None:
    """Refuse a text that could be read in another format of its provider.

    Raises:
        MalformedRequest: The text could be read in one of ``formats``.
    """
    if any(_LOOKS_LIKE[body_format].match(body) for body_format in formats):
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
    """Return whether a charset is declared that is not UTF-8."""
    parameters = content_type.lower().replace(b'"', b"").split(b";")[1:]
    pairs = (parameter.strip().partition(b"=") for parameter in parameters)
    return any(name == b"charset" and value not in {b"utf-8", b"utf8"} for name, _, value in pairs)


def _xml_in(text: object) -> dict[str, Any]:
    """Return the XML in a field.

    Broken XML gives an empty object: its event has no type, and is quarantined.
    """
    try:
        return parse_xml(base64.b64decode(text)) if isinstance(text, str) else {}
    except (MalformedRequest, ValueError):
        return {}


def _claims_of(token: bytes) -> bytes:
    """Return the claims of a JSON Web Token whose signature was verified.

    Raises:
        MalformedRequest: The body is not a token.
    """
    match = _TOKEN.match(token)
    if match is None:
        raise MalformedRequest("the body is no token")
    try:
        return base64.urlsafe_b64decode(match[1] + b"=" * (-len(match[1]) % 4))
    except ValueError as error:
        raise MalformedRequest("the body is no token") from error
