"""Variants of a body: the usual changes to its bytes on the way, undone."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from gateway.errors import MalformedJson
from gateway.events.strict_json import parse_json

_BOM = b"\xef\xbb\xbf"
_MAX_INDENTATION = 256 * 1024**2
"""Bytes of indentation in one variant. Without a bound, a deeply nested megabyte would become gigabytes."""

_LAYOUTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("without spaces", {"separators": (",", ":")}),
    ("with a space after each comma and colon", {}),
    ("indented by two spaces", {"indent": 2}),
    ("indented by four spaces", {"indent": 4}),
    ("indented by tabs", {"indent": "\t"}),
)


def bodies(body: bytes, content_length: int | None, form_field: str | None) -> Iterator[tuple[str, bytes]]:
    """Yield bodies that the provider may have signed, each with what is wrong with ``body`` in that case."""
    for what, variant in itertools.chain(
        _ends(body, content_length), _lines(body), _texts(body), _forms(body, form_field), _json_forms(body)
    ):
        if variant != body:
            yield what, variant


def _ends(body: bytes, content_length: int | None) -> Iterator[tuple[str, bytes]]:
    yield "it ends with a line feed that was not signed", body.removesuffix(b"\n")
    yield "it ends with white space that was not signed", body.rstrip(b" \t\r\n")
    yield "the line feed at its end is missing", body + b"\n"
    yield "the CR LF at its end is missing", body + b"\r\n"
    yield "it starts with a byte order mark that was not signed", body.removeprefix(_BOM)
    yield "the byte order mark at its start is missing", _BOM + body
    if content_length is not None and content_length < len(body):
        yield "it is longer than its Content-Length", body[:content_length]


def _lines(body: bytes) -> Iterator[tuple[str, bytes]]:
    unix = body.replace(b"\r\n", b"\n")
    yield "its lines end with CR LF, but were signed with LF", unix
    yield "its lines end with LF, but were signed with CR LF", unix.replace(b"\n", b"\r\n")


def _texts(body: bytes) -> Iterator[tuple[str, bytes]]:
    with suppress(ValueError):
        yield "it is base64-encoded, but was signed decoded", base64.b64decode(body, validate=True)
    yield "it is decoded, but was signed base64-encoded", base64.b64encode(body)
    with suppress(UnicodeError):
        yield "it has been encoded as UTF-8 twice", body.decode().encode("latin-1")
    with suppress(UnicodeError):
        yield "it is in Latin-1, but was signed in UTF-8", body.decode("latin-1").encode()
    with suppress(ValueError):
        if body.startswith(b'"') and isinstance(text := json.loads(body), str):
            yield "it is wrapped in a JSON string", text.encode()


def _forms(body: bytes, form_field: str | None) -> Iterator[tuple[str, bytes]]:
    with suppress(UnicodeError):
        text = body.decode()
        yield "it is percent-encoded, but was signed decoded", unquote_plus(text).encode()
        for name in dict.fromkeys([form_field or "payload", "payload"]):
            yield (
                f"it is the decoded field {name} of the form that was signed",
                f"{name}={quote_plus(text)}".encode(),
            )


def _json_forms(body: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        value = parse_json(body) and json.loads(body)  # parse_json refuses what is nested too deeply
    except (MalformedJson, ValueError):
        return
    is_plain = json.dumps(value, ensure_ascii=False).isascii()
    spaces = _max_indentation(body)
    spellings = (
        ("",)
        if is_plain
        else (", with non-ASCII characters escaped", ", with non-ASCII characters unescaped")
    )
    for (layout, options), order, spelling in itertools.product(
        _LAYOUTS, ("", ", with sorted keys"), spellings
    ):
        indent = options.get("indent", 0)
        if spaces * (indent if isinstance(indent, int) else len(indent)) > _MAX_INDENTATION:
            continue
        text = json.dumps(
            value,
            sort_keys=bool(order),
            ensure_ascii=spelling != ", with non-ASCII characters unescaped",
            **options,
        )
        what = f"its JSON has been re-serialized; it was signed {layout}{order}{spelling}"
        for escaping, escaped in (
            ("", text),
            (", with slashes escaped", text.replace("/", "\\/")),
            (", with <, > and & escaped", _escape_html(text)),
        ):
            with suppress(UnicodeError):  # an unpaired surrogate
                yield what + escaping, escaped.encode()


def _max_indentation(body: bytes) -> int:
    """Return an upper bound of the indentation with one space per level. Brackets in strings count as levels too."""
    depth = deepest = 0
    for bracket in re.finditer(rb"[\[{]+|[\]}]+", body):
        depth += len(bracket[0]) if bracket[0][:1] in b"[{" else -len(bracket[0])
        deepest = max(deepest, depth)
    return deepest * sum(map(body.count, (b",", b"[", b"{", b"]", b"}")))


def _escape_html(text: str) -> str:
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
