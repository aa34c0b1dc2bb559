"""Templates of the signed bytes: literal text, and fields in braces for parts of the request.

{body} {timestamp} {id} {method} {path} {query} {header:NAME}
{url}                  the URL that the sender called, with its query
{url:decoded}          the same with : / ? @ ! $ ' ( ) * , ; in clear
{query:NAME}           a parameter of the query, decoded
{form}                 all fields of a form, sorted by name: names and values without separators
{json:NAME}            the JSON: the body or, in a form, the field of that name
{json_sorted}          the JSON of the body, rewritten as Python's json.dumps(body, sort_keys=True) does
{json_sorted_compact}  the same with separators=(",", ":")
{json_canonical}       the same by RFC 8785 (JSON Canonicalization Scheme)
{body:/json/pointer}   a value in the body, or in the event of a batch (item:/…); empty if it is absent; of several
                       places, separated by |, the first that holds a value
{secret}               the key itself, for a digest that is not an HMAC

This module has more than 200 lines because it holds the grammar and, for each field, the function that fills it in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Protocol, cast

from pydantic import AfterValidator, StringConstraints

from gateway.signatures.extractors import SourceContext, pointer_steps
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.canonical_json import Style, rewrite
from gateway.signatures.schemes.layout import read_text
from gateway.signatures.schemes.signed_forms import FORM, media_type, only, read_form, read_query
from gateway.signatures.schemes.strict_fields import single

_FIELD = re.compile(
    r"\{(body|timestamp|id|method|url|url:decoded|path|query|form|secret|json_sorted|json_sorted_compact|json_canonical"
    r"|header:[A-Za-z0-9-]{1,64}|(?:query|json):[A-Za-z0-9_.-]{1,64}|(?:body|item):/[^\s{}]{1,255})\}"
)
REWRITTEN = "json_"
"""The prefix of the fields that stand for rewritten JSON."""

_UNESCAPED = [
    (spelling, bytes([byte])) for byte in b":/?@!$'()*,;" for spelling in (b"%%%02X" % byte, b"%%%02x" % byte)
]


def _check_class(text: str) -> str:
    try:
        re.compile(f"[{text}]")
    except re.error:
        raise ValueError("is not a class of characters; write it like A-Za-z0-9_- or ^.") from None
    return text


_Part = Callable[[RawRequest, bytes, bytes, SourceContext | None], bytes]

CharacterClass = Annotated[
    str, StringConstraints(pattern=r"^\^?[ !#-Z_a-z|~-]{1,64}$"), AfterValidator(_check_class)
]
"""The text between the brackets of a character class in a regular expression."""

Alphabets = dict[Annotated[str, StringConstraints(max_length=255)], CharacterClass]
"""Fields of a template, and the characters that their values consist of."""

_NO_ALPHABETS: Mapping[str, str] = {}


class Pieces(Protocol):
    """A function that returns the signed bytes in pieces, so that a body is not copied."""

    def __call__(
        self,
        request: RawRequest,
        moment: bytes = ...,
        secret: bytes = ...,
        context: SourceContext | None = ...,
        /,
    ) -> Sequence[bytes]:
        """Return the signed bytes in pieces.

        Args:
            request: the request.
            moment: the text of its timestamp.
            secret: the key.
            context: the parsed body, if the template needs it.

        Raises:
            SignatureRejected: A signed part is missing, is repeated, or has a value that cannot be signed.
        """


def template_fields(text: str) -> list[str]:
    """Return the fields of a template, without their braces.

    Raises:
        ValueError: The template has an unknown field, or a single brace.
    """
    if re.search(r"[{}]", _FIELD.sub("", text)):
        raise ValueError(
            "signed has an unknown field in braces; there are {body} {timestamp} {id} {method} {url} {url:decoded} "
            "{path} {query} {form} {json:NAME} {json_sorted} {json_sorted_compact} {json_canonical} {secret} "
            "{header:NAME} {query:NAME} {body:/json/pointer} {item:/json/pointer}"
        )
    return _FIELD.findall(text)


def split_template(text: str) -> list[str]:
    """Split a template into literal texts and, at the odd positions, the fields between them."""
    return _FIELD.split(text)


def covers_body(text: str) -> bool:
    """Return whether a template contains the body, as received or rewritten."""
    return any(
        field in {"body", "form"} or field.startswith(("json:", REWRITTEN)) for field in template_fields(text)
    )


def rewrites_json(text: str) -> bool:
    """Return whether a template contains JSON that has to be rewritten before the signature can be checked."""
    return any(field.startswith(REWRITTEN) for field in template_fields(text))


def places_in(text: str) -> list[str]:
    """Return the places in the body that a template names."""
    named = (field.partition(":") for field in template_fields(text) if field.startswith(("body:", "item:")))
    return [f"{kind}:{pointer}" for kind, _, pointers in named for pointer in pointers.split("|")]


def covers_url(text: str) -> bool:
    """Return whether a template contains the URL that the sender called."""
    return not {"url", "url:decoded"}.isdisjoint(template_fields(text))


def covers_headers(text: str, names: Sequence[bytes]) -> bool:
    """Return whether a template contains the first of these header fields (lower case) that is present.

    ``{id}`` stands for the first of them. No request verifies without all signed fields, so that another field cannot
    replace a signed first one.
    """
    fields = template_fields(text)
    signed = {
        field.removeprefix("header:").lower().encode() for field in fields if field.startswith("header:")
    }
    return not names or "id" in fields or names[0] in signed


class SignedTemplate:
    """A template, compiled into literal pieces and functions that fill in the fields.

    Args:
        text: the template.
        id_header: the header field (lower case) that ``{id}`` stands for.
        alphabets: fields, and the characters that their values consist of, as a character class.

    Attributes:
        pieces: returns the signed bytes in pieces.
        needs_payload: whether rendering needs the parsed body.
        is_itemwise: whether the signed bytes differ between the events of a batch.
    """

    def __init__(
        self, text: str, id_header: bytes | None = None, alphabets: Mapping[str, str] = _NO_ALPHABETS
    ) -> None:
        fields = template_fields(text)
        self.is_itemwise = any(field.startswith("item:") for field in fields)
        self.needs_payload = self.is_itemwise or any(field.startswith("body:") for field in fields)
        pieces = split_template(text)
        self._pieces: list[bytes | _Part] = []
        for position, piece in enumerate(pieces):
            if not position % 2:
                self._pieces += [piece.encode()] if piece else []
                continue
            part = _filler(piece, id_header)
            if piece in alphabets:
                part = _held_to(part, re.compile(f"[{alphabets[piece]}]*".encode()))
            if piece == "id" and pieces[position + 1]:
                part = _without(part, pieces[position + 1].encode())
            self._pieces.append(part)
        self.pieces: Pieces = _COMMON.get(text, self._render_each)

    def render(
        self,
        request: RawRequest,
        moment: bytes = b"",
        secret: bytes = b"",
        context: SourceContext | None = None,
    ) -> bytes:
        """Return the signed bytes as one. See :class:`Pieces`."""
        return b"".join(self.pieces(request, moment, secret, context))

    def _render_each(
        self,
        request: RawRequest,
        moment: bytes = b"",
        secret: bytes = b"",
        context: SourceContext | None = None,
        /,
    ) -> Sequence[bytes]:
        return [
            piece if isinstance(piece, bytes) else piece(request, moment, secret, context)
            for piece in self._pieces
        ]


def _body(
    request: RawRequest, _moment: bytes = b"", _secret: bytes = b"", _: SourceContext | None = None, /
) -> Sequence[bytes]:
    return (request.body,)


def _moment_and_body(
    request: RawRequest, moment: bytes = b"", _secret: bytes = b"", _: SourceContext | None = None, /
) -> Sequence[bytes]:
    return moment, b".", request.body


_COMMON: dict[str, Pieces] = {"{body}": _body, "{timestamp}.{body}": _moment_and_body}
"""The templates of most senders, rendered without a function for each piece."""

_PARTS: dict[str, _Part] = {
    "body": lambda request, *_: request.body,
    "timestamp": lambda _, moment, *__: moment,
    "method": lambda request, *_: request.method.encode(),
    "path": lambda request, *_: request.path.encode("latin-1"),
    "query": lambda request, *_: request.query,
    "url": lambda request, *_: _url(request),
    "url:decoded": lambda request, *_: _decoded_url(request),
    "form": lambda request, *_: _sorted_form(request),
    "secret": lambda _, __, secret, ___: secret,
}


def _filler(field: str, id_header: bytes | None) -> _Part:
    if field in _PARTS:
        return _PARTS[field]
    kind, _, name = field.partition(":")
    if kind == "query":
        parameter = name.encode()
        return lambda request, *_: only(read_query(request.query), parameter, "signed_header_missing")
    if kind == "json":
        field_name = name.encode()
        return lambda request, *_: _json(request, field_name)
    if field.startswith(REWRITTEN):
        style = cast("Style", field.removeprefix(REWRITTEN))
        return lambda request, *_: _rewritten(request, style)
    if kind in ("body", "item"):
        places = [pointer_steps(place) for place in places_in(f"{{{field}}}")]
        return lambda _, __, ___, context: _first_text(context, kind, places)
    header = name.lower().encode() if kind == "header" else id_header
    if header is None:
        raise ValueError(
            "{id} in signed needs event_id: header:…, since nothing is parsed before it is verified"
        )
    return lambda request, *_: single(request.headers, header, "signed_header_missing")


def _held_to(part: _Part, alphabet: re.Pattern[bytes]) -> _Part:
    """Refuse values with other characters, which the next field could begin with."""

    def fill(request: RawRequest, moment: bytes, secret: bytes, context: SourceContext | None) -> bytes:
        value = part(request, moment, secret, context)
        if not alphabet.fullmatch(value):
            raise SignatureRejected("signature_malformed")
        return value

    return fill


def _without(part: _Part, literal: bytes) -> _Part:
    """Refuse values that contain the literal after them: "a.b" + "1" and "a" + "b.1" give the same signed bytes."""

    def fill(request: RawRequest, moment: bytes, secret: bytes, context: SourceContext | None) -> bytes:
        value = part(request, moment, secret, context)
        if literal in value:
            raise SignatureRejected("signature_malformed")
        return value

    return fill


def _first_text(context: SourceContext | None, kind: str, places: Sequence[list[str]]) -> bytes:
    for steps in places:
        if text := read_text(context, kind, steps):
            return text
    return b""


def _rewritten(request: RawRequest, style: Style) -> bytes:
    """Rewrite the JSON of a body. The signature covers that text instead of the received bytes."""
    request.rewritten = request.rewritten or {}
    if style not in request.rewritten:
        request.rewritten[style] = rewrite(request.body, style)
    return request.rewritten[style]


def _url(request: RawRequest) -> bytes:
    return request.url.encode("latin-1")


def _decoded_url(request: RawRequest) -> bytes:
    url = _url(request)
    for escape, byte in _UNESCAPED:
        url = url.replace(escape, byte)
    return url


def _json(request: RawRequest, name: bytes) -> bytes:
    if media_type(request.headers) == FORM:
        return only(read_form(request, name), name, "signed_header_missing")
    return request.body


def _sorted_form(request: RawRequest) -> bytes:
    """Join all fields of a form. A repeated one is refused: in which order its values are signed is undocumented."""
    fields = sorted(read_form(request))
    if len({name for name, _ in fields}) != len(fields):
        raise SignatureRejected("signature_ambiguous")
    return b"".join([name + value for name, value in fields])
