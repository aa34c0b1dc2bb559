"""Multipart forms (RFC 7578, RFC 2046), split strictly into parts with work that is bounded by the number of bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from gateway.signatures.rejections import MalformedRequest

SEARCH_BYTES = 256 * 1024
"""Bytes that are searched in one call, which holds the interpreter lock."""

_MAX_LOOKALIKES = 1000
"""Lines that begin like some boundary, beside those that the size of the body allows."""

_MAX_BOUNDARY_BYTES = 256
"""Bytes of a boundary. RFC 2046 allows 70."""

_MAX_PADDING = 64
"""Bytes of blanks after a boundary, which RFC 2046 allows without a limit."""

_MAX_PART_HEAD_BYTES = 8 * 1024
"""Bytes of the header of a part, within which its end is searched."""

_MAX_PART_LINES = 10
"""Header fields of a part, each of which is split and compared."""

_MAX_FALSE_ENDS = 1000
"""Lines in a form that begin with its boundary, but go on."""

_BYTES_PER_LINE = 64
"""Average bytes per line above which many lines may begin like a boundary; each such line is slow to search."""

_MAX_OPTIONS = 20
"""Options of a header field, such as ``name`` and ``filename``."""

_PLAIN_HEAD = re.compile(
    rb'content-disposition:[ \t]*+form-data;[ \t]*+name="([^"\\\r\n]*+)"(?:;[ \t]*+filename="([^"\\\r\n]*+)")?(?=\r\n|$)',
    re.IGNORECASE,
)
_OPTION = re.compile(
    rb';[ \t]*+([A-Za-z0-9_*-]++)[ \t]*+=[ \t]*+(?:"((?:[^"\\]|\\.)*+)"|([^;" \t]*+))[ \t]*+|;[ \t]*+',
    re.DOTALL,
)
_QUOTED = re.compile(rb'\\(["\\])')


def split_multipart(body: bytes, content_type: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the head and the content of each part.

    Raises:
        MalformedRequest: The form violates its syntax, has too many parts, or does not end.
    """
    delimiter = b"\r\n--" + boundary_of(content_type)
    at = 2 if body.startswith(b"\r\n") else 0
    if not body.startswith(delimiter[2:], at):
        raise MalformedRequest("the multipart form does not begin")
    if body.count(b"\r\n--") > _MAX_LOOKALIKES + len(body) // _BYTES_PER_LINE:
        raise MalformedRequest("the multipart form has too many lines like its boundary")
    at += len(delimiter) - 2
    false_ends = 0
    for _ in range(limit + 1):
        if body.startswith(b"--", at):
            return
        line_end = _line_end(body, at)
        head_end = body.find(b"\r\n\r\n", line_end, line_end + _MAX_PART_HEAD_BYTES) if line_end >= 0 else -1
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
            false_ends += 1  # a line of the content that begins like the boundary
            if false_ends > _MAX_FALSE_ENDS:
                raise MalformedRequest("the multipart form has too many lines like its boundary")
        yield body[line_end + 2 : head_end], body[content:end]
    raise MalformedRequest("the form has too many fields")


def _line_end(body: bytes, at: int) -> int:
    """Return the end of a line of blanks, or -1 if the line has other content."""
    end = body.find(b"\r\n", at, at + _MAX_PADDING)
    return end if end >= 0 and not body[at:end].strip(b" \t") else -1


def _find(body: bytes, text: bytes, start: int) -> int:
    """Search like bytes.find, in pieces."""
    while start < len(body):
        found = body.find(text, start, start + SEARCH_BYTES + len(text))
        if found >= 0:
            return found
        start += SEARCH_BYTES
    return -1


def boundary_of(content_type: bytes) -> bytes:
    """Return the boundary of a multipart form.

    Raises:
        MalformedRequest: The content type has no boundary, or too long a one.
    """
    boundary = _read_options(content_type).get(b"boundary", b"")
    if not 0 < len(boundary) <= _MAX_BOUNDARY_BYTES:
        raise MalformedRequest("a multipart form without a boundary")
    return boundary


def read_part_head(head: bytes) -> tuple[bytes, bytes | None]:
    """Read the name of a part, and the file name if it is a file."""
    if head.count(b"\r\n") > _MAX_PART_LINES:
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
    if b"filename*" in read:  # RFC 5987; senders use no charset but UTF-8
        return read[b"name"], unquote_to_bytes(read[b"filename*"].rpartition(b"'")[2])
    return read[b"name"], read.get(b"filename")


def _read_options(value: bytes) -> dict[bytes, bytes]:
    """Read the options after the first semicolon of a header field, by lower-case name.

    Raises:
        MalformedRequest: The field violates its syntax, or an option is repeated.
    """
    options: dict[bytes, bytes] = {}
    at = value.find(b";")
    for _ in range(_MAX_OPTIONS):
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
