"""Forms as objects of text: urlencoded ones, and multipart ones, whose files are kept in base64."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl, urlencode

from providers.rejections import MalformedRequest

MAX_FIELDS = 1000
"""Fields of a form; senders have some fifty."""

MAX_NAME = 1024
"""Characters of a field's name."""

Part: TypeAlias = str | dict[str, str]
"""The text of a field, or a file: its name and its bytes in base64."""

Fields: TypeAlias = dict[str, Part | list[Part]]
"""What a form holds by name; a list where a field is repeated."""


def parse_form(body: bytes, content_type: bytes, json_field: str | None = None) -> Fields:
    """The fields of a form of either kind; ``json_field`` holds JSON, which is UTF-8 in any case.

    What else is not UTF-8 is Latin-1, whatever is declared: what the same bytes mean never depends on an unsigned header.

    Raises:
        MalformedRequest: it does not hold to its syntax, or is beyond the bounds of other forms.
    """
    if content_type.lower().startswith(b"multipart/"):
        return _parse_multipart(body, content_type, json_field)
    return _parse_urlencoded(body, json_field)


def write_form(fields: Mapping[str, object], content_type: bytes) -> bytes:
    """A form of either kind that has these fields."""
    if not content_type.lower().startswith(b"multipart/"):
        return urlencode(fields, doseq=True).encode()
    from python_multipart.multipart import parse_options_header  # noqa: PLC0415

    boundary = parse_options_header(content_type)[1][b"boundary"]
    parts = [b"--%b\r\n%b\r\n" % (boundary, part) for part in _written_parts(fields)]
    return b"%b--%b--\r\n" % (b"".join(parts), boundary)


def _written_parts(fields: Mapping[str, object]) -> Iterator[bytes]:
    for name, values in fields.items():
        head = b'Content-Disposition: form-data; name="%b"' % name.encode()
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, dict):
                file_name, content = value["filename"].encode(), b64decode(value["data_base64"])
                yield b'%b; filename="%b"\r\n\r\n%b' % (head, file_name, content)
            else:
                yield b"%b\r\n\r\n%b" % (head, str(value).encode())


def _parse_urlencoded(body: bytes, json_field: str | None) -> Fields:
    """The fields of an ``application/x-www-form-urlencoded`` body.

    Raises:
        MalformedRequest: it is JSON, XML, a token or a form in parts, or has more fields or longer names than forms
            have.
    """
    if _IS_NO_FORM.match(body):
        raise MalformedRequest("the body is declared a form, and is none")
    try:
        pairs = _pairs_of(body, json_field)
    except ValueError as error:
        raise MalformedRequest("the form has too many fields") from error
    fields: Fields = {}
    for name, value in pairs:
        _add(fields, name, value)
    return fields


_IS_NO_FORM = re.compile(
    rb"[\x00-\x20\xef\xbb\xbf\xfe\xff]*+"  # white space, and marks of byte order
    rb"(?:[{\[\"<]"  # objects, lists, texts, XML
    rb"|(?:-?[0-9][0-9.eE+-]*+|true|false|null|[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]*+)\s*+\Z"
    rb"|--[^\r\n=&]*+\r\n)"  # a form in parts
)
"""How bodies begin that are read in another way under another media type. Forms escape all but one of these letters,
and no form is a number, a word or a token without a name, so that nothing that can be a form is refused."""


def _pairs_of(body: bytes, json_field: str | None) -> list[tuple[str, str]]:
    """The fields in their order, in UTF-8 where all of them are.

    Raises:
        ValueError: There are too many.
    """
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError:
        pairs = parse_qsl(
            body.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=MAX_FIELDS
        )
        return [
            (_decode(name.encode("latin-1")), _decode(value.encode("latin-1"), is_json=name == json_field))
            for name, value in pairs
        ]


def _parse_multipart(body: bytes, content_type: bytes, json_field: str | None) -> Fields:
    """The fields of a ``multipart/form-data`` body; each of its files as an object.

    Raises:
        MalformedRequest: it does not hold to its syntax, or beyond the bounds of other forms.
    """
    # Imported only for those who use it.
    from python_multipart.exceptions import FormParserError  # noqa: PLC0415
    from python_multipart.multipart import MultipartParser, parse_options_header  # noqa: PLC0415

    boundary = parse_options_header(content_type)[1].get(b"boundary")
    # The body says itself by what its parts are separated: else whoever sends it again could choose another boundary.
    if not boundary or not body.startswith(b"--%b" % boundary):
        raise MalformedRequest("a multipart form that does not begin with its boundary")
    parts = _Parts()
    try:
        MultipartParser(
            boundary,
            {
                "on_part_begin": parts.begin,
                "on_header_field": parts.add_name,
                "on_header_value": parts.add_value,
                "on_header_end": parts.end_header,
                "on_part_data": parts.add_content,
                "on_end": parts.end,
            },
        ).write(body)
    except FormParserError as error:
        raise MalformedRequest(str(error)) from error
    if not parts.is_complete:
        raise MalformedRequest("the multipart form does not end")
    fields: Fields = {}
    for headers, content in parts.found:
        disposition, options = parse_options_header(headers.get(b"content-disposition"))
        name = options.get(b"name")
        if disposition != b"form-data" or name is None:
            raise MalformedRequest("a part of the form has no name")
        file_name = options.get(b"filename")
        if file_name is None:
            text = _decode(name)
            _add(fields, text, _decode(content, is_json=text == json_field))
        else:
            _add(
                fields,
                _decode(name),
                {"filename": _decode(file_name), "data_base64": b64encode(content).decode()},
            )
    return fields


class _Parts:
    """What a parser calls; the parts of a form as they come.

    Attributes:
        found: header fields and content of each.
        is_complete: whether the form came to its end.
    """

    def __init__(self) -> None:
        self.found: list[tuple[dict[bytes, bytes], bytearray]] = []
        self.is_complete = False
        self._name = self._value = b""

    def begin(self) -> None:
        if len(self.found) == MAX_FIELDS:
            raise MalformedRequest("the form has too many fields")
        self.found.append(({}, bytearray()))

    def add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def end_header(self) -> None:
        headers, _ = self.found[-1]
        headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def add_content(self, data: bytes, start: int, end: int) -> None:
        _, content = self.found[-1]
        content += data[start:end]

    def end(self) -> None:
        self.is_complete = True


def _add(fields: Fields, name: str, value: Part) -> None:
    if len(name) > MAX_NAME:
        raise MalformedRequest("the name of a field is too long")
    known = fields.get(name)
    if known is None:
        fields[name] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        fields[name] = [known, value]


def _decode(text: bytes | bytearray, *, is_json: bool = False) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        if is_json:
            raise MalformedRequest("the JSON in the form is not UTF-8") from error
        return text.decode("latin-1")
