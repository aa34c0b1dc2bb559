"""Forms, URL-encoded and multipart, as objects of strings. Files in them become base64.

A form is read before its sender is proven if the signature is in it or covers its fields. So the work is bounded by the
number of bytes: fields are counted before they are split, no loop in Python visits single bytes, and a large form is
processed in pieces, so that other threads get their turn.

This module has more than 200 lines because three decoders of escapes share its bounds: which is fastest depends on the text.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import unquote_to_bytes, urlencode

from gateway.signatures.multipart import boundary_of, read_part_head, split_multipart
from gateway.signatures.rejections import MalformedRequest

MAX_FIELDS = 1000
"""Maximum fields of a form. Senders use about fifty."""

MAX_PARAMETERS = 100
"""Maximum parameters of a query. Senders use about five."""

MAX_NAME = 1024
"""Maximum characters of a field name."""

Pair: TypeAlias = tuple[bytes, bytes]
"""A name and its value, decoded."""

Part: TypeAlias = str | dict[str, str]
"""The text of a field, or a file: its name and its content in base64."""

Fields: TypeAlias = dict[str, Part | list[Part]]
"""The fields of a form by name; a repeated field has a list."""

_PIECE = 256 * 1024
"""Bytes that are processed in one call, which holds the interpreter lock."""

_FEW_ESCAPES = 8
"""Escapes up to which decoding them one by one is the fastest."""

_BYTES_PER_ESCAPE = 64
"""Average bytes of text per escape below which a decoder that visits each byte is faster."""

_MAX_ODD_ESCAPES = 5000
"""Escapes in a text with stray percent signs, which is decoded escape by escape."""

_MAX_EQUALS = 16 * 1024
"""Equals signs in a piece with many escapes. Senders that escape do not leave them unescaped."""

_BLANKS = bytes.maketrans(b"+", b" ")
_QUOTED_PRINTABLE = bytes.maketrans(b"%+", b"= ")

_MAX_NAMED_PARTS = 500
"""Parts that are searched for a few fields. Mails have about a hundred, with their attachments."""

_IS_NO_FORM = re.compile(
    rb"[\x00-\x20\xef\xbb\xbf\xfe\xff]*+"  # white space, and marks of byte order
    rb"(?:[{\[\"<]"  # objects, lists, texts, XML
    rb"|(?:-?[0-9][0-9.eE+-]*+|true|false|null|[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]*+)\s*+\Z"
    rb"|--[^\r\n]*+\r\n)"  # a form in parts, whose boundary may have signs of the others in it
)
"""The beginnings of bodies that another media type would give another meaning. Forms escape nearly all of these
characters, and no form is a bare number, word or token, so that no possible form is refused."""


def read_pairs(text: bytes, limit: int = MAX_FIELDS, names: Collection[bytes] | None = None) -> list[Pair]:
    """Read the names and values of a query or a URL-encoded form, in their order; empty values count.

    If ``names`` are given, only these fields are read; the others cost next to nothing.

    Raises:
        MalformedRequest: There are more than ``limit`` fields, or thousands of stray percent signs.
    """
    found = _split(text, limit)
    labels = _unquote_all([name for name, _ in found])
    kept = [
        (label, value)
        for label, (_, value) in zip(labels, found, strict=True)
        if names is None or label in names
    ]
    values = _unquote_all([value for _, value in kept])
    return [(label, value) for (label, _), value in zip(kept, values, strict=True)]


@lru_cache(maxsize=64)
def read_query(query: bytes) -> tuple[Pair, ...]:
    """Read the parameters of a query. The result is cached, since several readers of one request need it.

    Raises:
        MalformedRequest: There are more than :data:`MAX_PARAMETERS`.
    """
    return tuple(read_pairs(query, MAX_PARAMETERS))


def unquote(text: bytes) -> bytes:
    """Decode the escapes of a text, ``%41`` and ``+``. A stray percent sign stays.

    Raises:
        MalformedRequest: There are thousands of percent signs, and some are stray.
    """
    if len(text) <= _PIECE or (b"%" not in text and b"+" not in text):
        return _unquote_piece(text)
    return b"".join(map(_unquote_piece, _pieces(text)))


def parse_form(
    body: bytes, content_type: bytes, json_field: str | None = None, *, names: Collection[str] | None = None
) -> Fields:
    """Parse a form of either kind, or only the fields ``names`` if these are given.

    ``json_field`` holds JSON, which must be UTF-8. Any other value that is not UTF-8 is Latin-1, whatever charset is
    declared: the meaning of the bytes never depends on an unsigned header.

    Raises:
        MalformedRequest: The body is not a form of this kind, or exceeds a limit.
    """
    fields: Fields = {}
    if content_type.lower().startswith(b"multipart/"):
        limit = MAX_FIELDS if names is None else _MAX_NAMED_PARTS
        for head, content in split_multipart(body, content_type, limit):
            label, file_name = read_part_head(head)
            name = _decode_name(label)
            if names is None or name in names:
                text = (
                    _decode(content, is_json=name == json_field)
                    if file_name is None
                    else _file(file_name, content)
                )
                _add(fields, name, text)
        return fields
    if _IS_NO_FORM.match(body):
        raise MalformedRequest("the body is declared a form, and is none")
    wanted = None if names is None else {name.encode() for name in names}
    for label, value in read_pairs(body, names=wanted):
        name = _decode_name(label)
        _add(fields, name, _decode(value, is_json=name == json_field))
    return fields


def write_form(fields: Mapping[str, object], content_type: bytes) -> bytes:
    """Write a form of either kind with these fields."""
    if not content_type.lower().startswith(b"multipart/"):
        return urlencode(fields, doseq=True).encode()
    boundary = boundary_of(content_type)
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


def _split(text: bytes, limit: int) -> list[Pair]:
    """Split a URL-encoded form into names and values, still escaped."""
    if b"&" in text and text.count(b"&") >= limit:
        raise MalformedRequest("the form has too many fields")
    fields = (field.partition(b"=") for field in text.split(b"&") if field)
    return [(name, value) for name, _, value in fields]


def _unquote_all(texts: list[bytes]) -> list[bytes]:
    """Decode several texts at once: with a thousand texts, the calls cost more than the decoding.

    Raises:
        MalformedRequest: There are thousands of percent signs, and some are stray.
    """
    if len(texts) < 2:
        return list(map(unquote, texts))
    joined = b"&".join(texts)  # an ampersand ends every escape
    if b"%" not in joined and b"+" not in joined:
        return texts
    counts = [text.count(b"%") for text in texts]
    escapes = sum(counts)
    decoded = unquote(joined)
    if len(joined) - len(decoded) != 2 * escapes:
        if escapes > _MAX_ODD_ESCAPES:
            raise MalformedRequest("percent signs that begin no escape")
        return list(map(unquote, texts))
    found, start = [], 0
    for text, count in zip(texts, counts, strict=True):
        end = start + len(text) - 2 * count
        found.append(decoded[start:end])
        start = end + 1
    return found


def _pieces(text: bytes) -> Iterator[bytes]:
    """Cut a text into pieces, none of which ends inside an escape."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        if end < len(text):
            cut = text.rfind(b"%", end - 2, end)
            end = end if cut < 0 else cut
        yield text[start:end]
        start = end


def _unquote_piece(piece: bytes) -> bytes:
    """Decode escapes with decoders written in C: those of hexadecimal and of quoted-printable."""
    if b"%" not in piece:
        return piece.translate(_BLANKS) if b"+" in piece else piece
    escapes = piece.count(b"%")
    if escapes <= _FEW_ESCAPES + len(piece) // _BYTES_PER_ESCAPE:
        return unquote_to_bytes(piece.translate(_BLANKS))
    if len(piece) == 3 * escapes and piece[::3] == b"%" * escapes:
        with suppress(ValueError):
            return binascii.unhexlify(piece.translate(None, b"%"))
    equals = piece.count(b"=") if b"=" in piece else 0
    if equals > _MAX_EQUALS:
        raise MalformedRequest("many equals signs among escapes")
    escaped = piece.replace(b"=", b"%3D") if equals else piece
    decoded = binascii.a2b_qp(escaped.translate(_QUOTED_PRINTABLE))
    # A stray percent sign removes less than two bytes, except at the end of a line.
    has_soft_breaks = (b"\n" in piece and b"%\n" in piece) or (b"\r" in piece and b"%\r" in piece)
    if len(escaped) - len(decoded) == 2 * (escapes + equals) and not has_soft_breaks:
        return decoded
    if escapes > _MAX_ODD_ESCAPES:
        raise MalformedRequest("percent signs that begin no escape")
    return unquote_to_bytes(piece.translate(_BLANKS))


def _add(fields: Fields, name: str, value: Part) -> None:
    known = fields.get(name)
    if known is None:
        fields[name] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        fields[name] = [known, value]


def _file(name: bytes, content: bytes) -> Part:
    return {"filename": _decode(name), "data_base64": b64encode(content).decode()}


def _decode_name(name: bytes) -> str:
    if len(name) > MAX_NAME * 4 or len(text := _decode(name)) > MAX_NAME:
        raise MalformedRequest("the name of a field is too long")
    return text


def _decode(text: bytes, *, is_json: bool = False) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        if is_json:
            raise MalformedRequest("the JSON in the form is not UTF-8") from error
        return text.decode("latin-1")
