"""What is signed, written as a template: literal text, and fields in braces that stand for parts of the request.

{body} {timestamp} {id} {method} {path} {query} {header:NAME}
{url}                  the address that the sender called, with its query
{url:decoded}          the same with : / ? @ ! $ ' ( ) * , ; in clear
{query:NAME}           a parameter of the query, decoded
{form}                 all fields of a form, sorted by name: names and values with nothing in between
{json:NAME}            the JSON: the body or, of a form, what its field of that name holds
{body:/json/pointer}   a value in the body, or in the event of a batch (item:/…); empty when it is absent
{secret}               the key itself, for a digest that is no HMAC
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

from providers.rejections import SignatureRejected
from providers.request import RawRequest
from providers.schemes.forms import FORM, media_type, only, read_form, read_query
from providers.schemes.layout import read_text
from providers.schemes.scheme import single
from providers.sources import Delivery, pointer_steps

_FIELD = re.compile(
    r"\{(body|timestamp|id|method|url|url:decoded|path|query|form|secret"
    r"|header:[A-Za-z0-9-]{1,64}|(?:query|json):[A-Za-z0-9_.-]{1,64}|(?:body|item):/[^\s{}]{1,255})\}"
)
_CLEAR = [
    (spelling, bytes([byte])) for byte in b":/?@!$'()*,;" for spelling in (b"%%%02X" % byte, b"%%%02x" % byte)
]

_Part = Callable[[RawRequest, bytes, bytes, Delivery | None], bytes]


class Render(Protocol):
    """What makes the bytes that are signed."""

    def __call__(
        self,
        request: RawRequest,
        moment: bytes = ...,
        secret: bytes = ...,
        delivery: Delivery | None = ...,
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
            "{path} {query} {form} {json:NAME} {secret} {header:NAME} {query:NAME} {body:/json/pointer} {item:/json/pointer}"
        )
    return _FIELD.findall(text)


def places_in(text: str) -> list[str]:
    """List the places in the body that a template names."""
    return [field for field in template_fields(text) if field.startswith(("body:", "item:"))]


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


class Template:
    """A template, split once into literal pieces and the functions that fill in the others.

    Args:
        text: the template.
        id_header: the header field (lower case) that ``{id}`` stands for.

    Attributes:
        render: makes the bytes that are signed.
        needs_payload: whether the parsed body is needed to render it.
        is_itemwise: whether it differs from event to event of a batch.
    """

    def __init__(self, text: str, id_header: bytes | None = None) -> None:
        fields = template_fields(text)
        self.is_itemwise = any(field.startswith("item:") for field in fields)
        self.needs_payload = self.is_itemwise or any(field.startswith("body:") for field in fields)
        self._pieces: list[bytes | _Part] = [
            _filler(piece, id_header) if position % 2 else piece.encode()
            for position, piece in enumerate(_FIELD.split(text))
            if piece
        ]
        self.render: Render = _COMMON.get(text, self._join)

    def _join(
        self,
        request: RawRequest,
        moment: bytes = b"",
        secret: bytes = b"",
        delivery: Delivery | None = None,
        /,
    ) -> bytes:
        return b"".join(self.pieces(request, moment, secret, delivery))

    def pieces(
        self, request: RawRequest, moment: bytes, secret: bytes = b"", delivery: Delivery | None = None
    ) -> list[bytes]:
        """Return what is signed without joining it, as :meth:`Render.__call__` does; large bodies are not copied."""
        return [
            piece if isinstance(piece, bytes) else piece(request, moment, secret, delivery)
            for piece in self._pieces
        ]


def _body(
    request: RawRequest, _moment: bytes = b"", _secret: bytes = b"", _: Delivery | None = None, /
) -> bytes:
    return request.body


def _moment_and_body(
    request: RawRequest, moment: bytes = b"", _secret: bytes = b"", _: Delivery | None = None, /
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
    if kind in ("body", "item"):
        steps = pointer_steps(field)
        return lambda _, __, ___, delivery: read_text(delivery, kind, steps)
    header = name.lower().encode() if kind == "header" else id_header
    if header is None:
        raise ValueError(
            "{id} in signed needs event_id: header:…, since nothing is parsed before it is verified"
        )
    return lambda request, *_: single(request.headers, header, "signed_header_missing")


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
