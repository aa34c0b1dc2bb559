"""Forms as objects of text: urlencoded ones, and multipart ones, whose files are kept in base64.

They are read before their sender is proven where the signature stands in them or is of what they say, so the work is
bounded by the bytes: fields are counted before they are split, no byte is looked at in Python, and of a large form
each step takes a piece, so that other threads get their turn.
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

from gateway.signatures.rejections import MalformedRequest

MAX_FIELDS = 1000
"""Fields of a form; senders have some fifty."""

MAX_PARAMETERS = 100
"""Parameters of an address; senders have five."""

MAX_NAME = 1024
"""Characters of a field's name."""

Pair: TypeAlias = tuple[bytes, bytes]
"""A name and its value, without escapes."""

Part: TypeAlias = str | dict[str, str]
"""The text of a field, or a file: its name and its bytes in base64."""

Fields: TypeAlias = dict[str, Part | list[Part]]
"""What a form holds by name; a list where a field is repeated."""

_PIECE = 256 * 1024  # bytes
_FEW_ESCAPES = 8  # up to here, undoing them one by one is the fastest
_BYTES_FOR_AN_ESCAPE = 64  # of a text; with fewer, a decoder that looks at each byte is faster
_MOST_ODD_ESCAPES = 5000  # in a piece with percent signs that begin none, which are undone one by one
_MOST_EQUALS = 16 * 1024  # in a piece with many escapes; nobody who escapes leaves them
_BLANKS = bytes.maketrans(b"+", b" ")
_QUOTED_PRINTABLE = bytes.maketrans(b"%+", b"= ")

_MOST_BOUNDARY = 256  # bytes; the standard has 70
_MOST_PADDING = 64
_MOST_PART_HEAD = 8 * 1024
_MOST_PART_LINES = 10
_MOST_FALSE_ENDS = 1000
_BYTES_OF_A_LINE = 64  # on average, where so many lines begin like the end of a part
_MOST_NAMED_PARTS = (
    500  # that are looked at for a few fields alone; mails have a hundred, with their attachments
)
_MOST_OPTIONS = 20
_PLAIN_HEAD = re.compile(
    rb'content-disposition:[ \t]*+form-data;[ \t]*+name="([^"\\\r\n]*+)"(?:;[ \t]*+filename="([^"\\\r\n]*+)")?(?=\r\n|$)',
    re.IGNORECASE,
)
_OPTION = re.compile(
    rb';[ \t]*+([A-Za-z0-9_*-]++)[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^;" \t]*+))[ \t]*+|;[ \t]*+',
    re.DOTALL,
)


_IS_NO_FORM = re.compile(
    rb"[\x00-\x20\xef\xbb\xbf\xfe\xff]*+"  # white space, and marks of byte order
    rb"(?:[{\[\"<]"  # objects, lists, texts, XML
    rb"|(?:-?[0-9][0-9.eE+-]*+|true|false|null|[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_-]*+)\s*+\Z"
    rb"|--[^\r\n]*+\r\n)"  # a form in parts, whose boundary may have signs of the others in it
)
"""How bodies begin that are read in another way under another media type. Forms escape all but one of these letters,
and no form is a number, a word or a token without a name, so that nothing that can be a form is refused."""


def read_pairs(text: bytes, most: int = MAX_FIELDS, names: Collection[bytes] | None = None) -> list[Pair]:
    """Read the names and values in a query or an urlencoded form, in their order; empty values count.

    Only those called ``names`` where these are given: what else there is costs next to nothing.

    Raises:
        MalformedRequest: there are more than ``most``, or many odd escapes.
    """
    found = _split(text, most)
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
    """Read the parameters of an address; the many readers of one request share them.

    Raises:
        MalformedRequest: there are more than :data:`MAX_PARAMETERS`.
    """
    return tuple(read_pairs(query, MAX_PARAMETERS))


def unquote(text: bytes) -> bytes:
    """Undo the escapes of a text, ``%41`` and ``+``; a percent sign that begins none stays.

    Raises:
        MalformedRequest: there are thousands of percent signs, and some begin no escape.
    """
    if len(text) <= _PIECE or (b"%" not in text and b"+" not in text):
        return _unquote_piece(text)
    return b"".join(map(_unquote_piece, _pieces(text)))


def parse_form(
    body: bytes, content_type: bytes, json_field: str | None = None, *, names: Collection[str] | None = None
) -> Fields:
    """Parse a form of either kind; only the fields called ``names`` where these are given.

    ``json_field`` holds JSON, which is UTF-8 in any case. What else is not UTF-8 is Latin-1, whatever is declared: what
    the same bytes mean never depends on a header that is not signed.

    Raises:
        MalformedRequest: it is no form of this kind, or is beyond the bounds of other forms.
    """
    fields: Fields = {}
    if content_type.lower().startswith(b"multipart/"):
        most = MAX_FIELDS if names is None else _MOST_NAMED_PARTS
        for head, content in _split_multipart(body, content_type, most):
            label, file_name = _read_part_head(head)
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
    """A form of either kind that has these fields."""
    if not content_type.lower().startswith(b"multipart/"):
        return urlencode(fields, doseq=True).encode()
    boundary = _boundary_of(content_type)
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


def _split(text: bytes, most: int) -> list[Pair]:
    """Split an urlencoded form into names and values, with their escapes."""
    if b"&" in text and text.count(b"&") >= most:
        raise MalformedRequest("the form has too many fields")
    fields = (field.partition(b"=") for field in text.split(b"&") if field)
    return [(name, value) for name, _, value in fields]


def _unquote_all(texts: list[bytes]) -> list[bytes]:
    """Undo the escapes of several texts at once: of a thousand, a call for each costs more than the work in it.

    Raises:
        MalformedRequest: there are thousands of percent signs, and some begin no escape.
    """
    if len(texts) < 2:
        return list(map(unquote, texts))
    joined = b"&".join(texts)  # no escape goes on in the next text
    if b"%" not in joined and b"+" not in joined:
        return texts
    counts = [text.count(b"%") for text in texts]
    escapes = sum(counts)
    decoded = unquote(joined)
    if len(joined) - len(decoded) != 2 * escapes:
        if escapes > _MOST_ODD_ESCAPES:
            raise MalformedRequest("percent signs that begin no escape")
        return list(map(unquote, texts))
    found, start = [], 0
    for text, count in zip(texts, counts, strict=True):
        end = start + len(text) - 2 * count
        found.append(decoded[start:end])
        start = end + 1
    return found


def _pieces(text: bytes) -> Iterator[bytes]:
    """Cut a text in pieces, none of which ends within an escape."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        if end < len(text):
            cut = text.rfind(b"%", end - 2, end)
            end = end if cut < 0 else cut
        yield text[start:end]
        start = end


def _unquote_piece(piece: bytes) -> bytes:
    """Undo escapes by decoders that are not in Python: of hexadecimal, and of quoted-printable."""
    if b"%" not in piece:
        return piece.translate(_BLANKS) if b"+" in piece else piece
    escapes = piece.count(b"%")
    if escapes <= _FEW_ESCAPES + len(piece) // _BYTES_FOR_AN_ESCAPE:
        return unquote_to_bytes(piece.translate(_BLANKS))
    if len(piece) == 3 * escapes and piece[::3] == b"%" * escapes:
        with suppress(ValueError):
            return binascii.unhexlify(piece.translate(None, b"%"))
    equals = piece.count(b"=") if b"=" in piece else 0
    if equals > _MOST_EQUALS:
        raise MalformedRequest("many equals signs among escapes")
    escaped = piece.replace(b"=", b"%3D") if equals else piece
    decoded = binascii.a2b_qp(escaped.translate(_QUOTED_PRINTABLE))
    # Whatever begins no escape gives less than two bytes, but for the end of a line.
    has_soft_breaks = (b"\n" in piece and b"%\n" in piece) or (b"\r" in piece and b"%\r" in piece)
    if len(escaped) - len(decoded) == 2 * (escapes + equals) and not has_soft_breaks:
        return decoded
    if escapes > _MOST_ODD_ESCAPES:
        raise MalformedRequest("percent signs that begin no escape")
    return unquote_to_bytes(piece.translate(_BLANKS))


def _split_multipart(body: bytes, content_type: bytes, most: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the head and the content of each part.

    Raises:
        MalformedRequest: it does not hold to its syntax, has too many parts, or does not end.
    """
    delimiter = b"\r\n--" + _boundary_of(content_type)
    at = 2 if body.startswith(b"\r\n") else 0
    if not body.startswith(delimiter[2:], at):
        raise MalformedRequest("the multipart form does not begin")
    if body.count(b"\r\n--") > MAX_FIELDS + len(body) // _BYTES_OF_A_LINE:  # each of which is slow to search
        raise MalformedRequest("the multipart form has too many lines like its boundary")
    at += len(delimiter) - 2
    false_ends = 0
    for _ in range(most + 1):
        if body.startswith(b"--", at):
            return
        line_end = _line_end(body, at)
        head_end = body.find(b"\r\n\r\n", line_end, line_end + _MOST_PART_HEAD) if line_end >= 0 else -1
        if head_end < 0:
            raise MalformedRequest("a part of the form has no head")
        content = head_end + 4
        at = content
        while True:
            end = _find(body, delimiter, at)
            if end < 0:
                raise MalformedRequest("the multipart form does not end")
            at = end + len(delimiter)
            if body.startswith(b"--", at) or _line_end(body, at) >= 0:
                break
            false_ends += 1  # a line of the content that goes on
            if false_ends > _MOST_FALSE_ENDS:
                raise MalformedRequest("the multipart form has too many lines like its boundary")
        yield body[line_end + 2 : head_end], body[content:end]
    raise MalformedRequest("the form has too many fields")


def _line_end(body: bytes, at: int) -> int:
    """Find where a line ends that has nothing more but blanks; -1 when it has more."""
    end = body.find(b"\r\n", at, at + _MOST_PADDING)
    return end if end >= 0 and not body[at:end].strip(b" \t") else -1


def _find(body: bytes, text: bytes, start: int) -> int:
    """Search as bytes.find does, in pieces."""
    while start < len(body):
        found = body.find(text, start, start + _PIECE + len(text))
        if found >= 0:
            return found
        start += _PIECE
    return -1


def _boundary_of(content_type: bytes) -> bytes:
    boundary = _read_options(content_type).get(b"boundary", b"")
    if not 0 < len(boundary) <= _MOST_BOUNDARY:
        raise MalformedRequest("a multipart form without a boundary")
    return boundary


def _read_part_head(head: bytes) -> tuple[bytes, bytes | None]:
    """Read the name of a part, and of the file in it where it is one."""
    if head.count(b"\r\n") > _MOST_PART_LINES:
        raise MalformedRequest("a part of the form has too many header fields")
    plain = _PLAIN_HEAD.match(head)
    if plain and head.lower().count(b"content-disposition") == 1:
        return plain[1], plain[2]
    found = [
        value
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))
        if name.lower() == b"content-disposition"
    ]
    kind, separator, options = found[0].partition(b";") if len(found) == 1 else (b"", b"", b"")
    read = _read_options(separator + options)
    if kind.strip().lower() != b"form-data" or b"name" not in read:
        raise MalformedRequest("a part of the form has no name")
    if b"filename*" in read:  # RFC 5987; nobody uses another charset than UTF-8
        return read[b"name"], unquote_to_bytes(read[b"filename*"].rpartition(b"'")[2])
    return read[b"name"], read.get(b"filename")


def _read_options(value: bytes) -> dict[bytes, bytes]:
    """Read what follows the first semicolon of a header field, by lower-case name.

    Raises:
        MalformedRequest: it does not hold to its syntax, or an option stands there twice.
    """
    options: dict[bytes, bytes] = {}
    at = value.find(b";")
    for _ in range(_MOST_OPTIONS):
        if at in (-1, len(value)):
            return options
        match = _OPTION.match(value, at)
        name = (match[1] or b"").lower() if match else b""
        if match is None or name in options:
            break
        at = match.end()
        if name:
            quoted = match[2]
            options[name] = match[3] if quoted is None else _QUOTED.sub(rb"\1", quoted)
    raise MalformedRequest("a header field with odd options")


_QUOTED = re.compile(rb'\\(["\\])')


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
