"""What is signed, written as a template: literal text, and fields in braces that stand for parts of the request.

{body} {timestamp} {id} {method} {path} {query} {header:NAME}
{url}                  the address that the sender called, with its query
{url:decoded}          the same with : / ? @ ! $ ' ( ) * , ; in clear
{query:NAME}           a parameter of the query, decoded
{form}                 all fields of a form, sorted by name: names and values with nothing in between
{json:NAME}            the JSON: the body or, of a form, what its field of that name holds
{json_sorted}          the JSON of the body written anew, as Python's json.dumps(body, sort_keys=True) writes it
{json_sorted_compact}  the same with separators=(",", ":")
{json_canonical}       the same as RFC 8785 has it
{body:/json/pointer}   a value in the body, or in the event of a batch (item:/…); empty when it is absent; of several
                       places, divided by |, the first where something stands
{secret}               the key itself, for a digest that is no HMAC
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
"""How the fields begin that stand for JSON that is written anew."""

_CLEAR = [
    (spelling, bytes([byte])) for byte in b":/?@!$'()*,;" for spelling in (b"%%%02X" % byte, b"%%%02x" % byte)
]


def _check_class(text: str) -> str:
    try:
        re.compile(f"[{text}]")
    except re.error:
        raise ValueError("is no class of characters; write it like A-Za-z0-9_- or ^.") from None
    return text


_Part = Callable[[RawRequest, bytes, bytes, SourceContext | None], bytes]

CharacterClass = Annotated[
    str, StringConstraints(pattern=r"^\^?[ !#-Z_a-z|~-]{1,64}$"), AfterValidator(_check_class)
]
"""What stands between the brackets of a character class of a regular expression."""

Alphabets = dict[Annotated[str, StringConstraints(max_length=255)], CharacterClass]
"""Fields of a template, and the characters that their values are made of."""

_NO_ALPHABETS: Mapping[str, str] = {}


class Render(Protocol):
    """What makes the bytes that are signed."""

    def __call__(
        self,
        request: RawRequest,
        moment: bytes = ...,
        secret: bytes = ...,
        delivery: SourceContext | None = ...,
        /,
    ) -> bytes:
        """The bytes that are signed.

        Args:
            request: the request.
            moment: the text of its timestamp.
            secret: the key.
            delivery: its parsed body, where the template needs it.

        Raises:
            SignatureRejected: a part that is signed is missing, stands there twice, or is not of the kind that
                can be signed.
        """


def template_fields(text: str) -> list[str]:
    """The fields of a template, without their braces.

    Raises:
        ValueError: there is an unknown one, or a brace that belongs to none.
    """
    if re.search(r"[{}]", _FIELD.sub("", text)):
        raise ValueError(
            "signed has an unknown field in braces; there are {body} {timestamp} {id} {method} {url} {url:decoded} "
            "{path} {query} {form} {json:NAME} {json_sorted} {json_sorted_compact} {json_canonical} {secret} "
            "{header:NAME} {query:NAME} {body:/json/pointer} {item:/json/pointer}"
        )
    return _FIELD.findall(text)


def split_template(text: str) -> list[str]:
    """Split a template into literal texts and, at the odd positions, the fields that stand between them."""
    return _FIELD.split(text)


def covers_body(text: str) -> bool:
    """Whether a template contains the body, as it came or written anew."""
    return any(
        field in {"body", "form"} or field.startswith(("json:", REWRITTEN)) for field in template_fields(text)
    )


def rewrites_json(text: str) -> bool:
    """Whether a template contains JSON that has to be read and written again before a signature can be checked."""
    return any(field.startswith(REWRITTEN) for field in template_fields(text))


def places_in(text: str) -> list[str]:
    """List the places in the body that a template names."""
    named = (field.partition(":") for field in template_fields(text) if field.startswith(("body:", "item:")))
    return [f"{kind}:{pointer}" for kind, _, pointers in named for pointer in pointers.split("|")]


def covers_url(text: str) -> bool:
    """Whether a template contains the address that the sender called."""
    return not {"url", "url:decoded"}.isdisjoint(template_fields(text))


def covers_headers(text: str, names: Sequence[bytes]) -> bool:
    """Whether a template contains the first of these fields (lower case) that is present.

    ``{id}`` stands for the first of them. Nothing verifies without the fields that are signed, so no other can
    stand in for a signed first one.
    """
    fields = template_fields(text)
    signed = {
        field.removeprefix("header:").lower().encode() for field in fields if field.startswith("header:")
    }
    return not names or "id" in fields or names[0] in signed


class SignedTemplate:
    """A template, split once into literal pieces and the functions that fill in the others.

    Args:
        text: the template.
        id_header: the header field (lower case) that ``{id}`` stands for.
        alphabets: fields, and the characters that their values are made of, as a character class.

    Attributes:
        render: makes the bytes that are signed.
        needs_payload: whether the parsed body is needed to render it.
        is_itemwise: whether it differs from event to event of a batch.
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
        self.render: Render = _COMMON.get(text, self._join)

    def _join(
        self,
        request: RawRequest,
        moment: bytes = b"",
        secret: bytes = b"",
        delivery: SourceContext | None = None,
        /,
    ) -> bytes:
        return b"".join(self.pieces(request, moment, secret, delivery))

    def pieces(
        self, request: RawRequest, moment: bytes, secret: bytes = b"", delivery: SourceContext | None = None
    ) -> list[bytes]:
        """Return what is signed without joining it, as :meth:`Render.__call__` does; large bodies are not copied."""
        return [
            piece if isinstance(piece, bytes) else piece(request, moment, secret, delivery)
            for piece in self._pieces
        ]


def _body(
    request: RawRequest, _moment: bytes = b"", _secret: bytes = b"", _: SourceContext | None = None, /
) -> bytes:
    return request.body


def _moment_and_body(
    request: RawRequest, moment: bytes = b"", _secret: bytes = b"", _: SourceContext | None = None, /
) -> bytes:
    return b"%b.%b" % (moment, request.body)


_COMMON: dict[str, Render] = {"{body}": _body, "{timestamp}.{body}": _moment_and_body}
"""What most senders sign, without the detour over pieces."""

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
        return lambda _, __, ___, delivery: _first_text(delivery, kind, places)
    header = name.lower().encode() if kind == "header" else id_header
    if header is None:
        raise ValueError(
            "{id} in signed needs event_id: header:…, since nothing is parsed before it is verified"
        )
    return lambda request, *_: single(request.headers, header, "signed_header_missing")


def _held_to(part: _Part, alphabet: re.Pattern[bytes]) -> _Part:
    """Refuse values with other characters, which the next field may begin with."""

    def fill(request: RawRequest, moment: bytes, secret: bytes, delivery: SourceContext | None) -> bytes:
        value = part(request, moment, secret, delivery)
        if not alphabet.fullmatch(value):
            raise SignatureRejected("signature_malformed")
        return value

    return fill


def _without(part: _Part, literal: bytes) -> _Part:
    """Refuse values that contain the text that follows: "a.b" + "1" and "a" + "b.1" would be the same signed bytes."""

    def fill(request: RawRequest, moment: bytes, secret: bytes, delivery: SourceContext | None) -> bytes:
        value = part(request, moment, secret, delivery)
        if literal in value:
            raise SignatureRejected("signature_malformed")
        return value

    return fill


def _first_text(delivery: SourceContext | None, kind: str, places: Sequence[list[str]]) -> bytes:
    for steps in places:
        if text := read_text(delivery, kind, steps):
            return text
    return b""


def _rewritten(request: RawRequest, style: Style) -> bytes:
    """Write the JSON of a body anew; that text, and not the bytes of the body, is what the signature covers."""
    request.rewritten = request.rewritten or {}
    if style not in request.rewritten:
        request.rewritten[style] = rewrite(request.body, style)
    return request.rewritten[style]


def _url(request: RawRequest) -> bytes:
    return request.url.encode("latin-1")


def _decoded_url(request: RawRequest) -> bytes:
    url = _url(request)
    for escape, byte in _CLEAR:
        url = url.replace(escape, byte)
    return url


def _json(request: RawRequest, name: bytes) -> bytes:
    if media_type(request.headers) == FORM:
        return only(read_form(request, name), name, "signed_header_missing")
    return request.body


def _sorted_form(request: RawRequest) -> bytes:
    """All fields of a form; a repeated one is refused, since nobody says in which order its values are signed."""
    fields = sorted(read_form(request))
    if len({name for name, _ in fields}) != len(fields):
        raise SignatureRejected("signature_ambiguous")
    return b"".join([name + value for name, value in fields])
