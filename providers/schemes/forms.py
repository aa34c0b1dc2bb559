"""Parameters of addresses and fields of forms, as the bytes that a signature is about."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl

from providers.media import content_type_of
from providers.rejections import MalformedRequest, SignatureFault, SignatureRejected
from providers.request import Headers, RawRequest

FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 1000
"""Fields in one form or query that are looked at; senders of forms send some thirty."""

Pair = tuple[bytes, bytes]


def read_pairs(text: bytes) -> list[Pair]:
    """The names and values in a query or the body of a form, decoded, in their order; empty values count.

    Raises:
        SignatureRejected: there are more than :data:`MAX_FIELDS`.
    """
    try:
        pairs = parse_qsl(
            text.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise SignatureRejected("signature_malformed") from None
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def read_form(request: RawRequest) -> list[Pair]:
    """The fields of a request that says it is a form.

    Raises:
        SignatureRejected: it does not, and whoever reads the body by its type would read something else; or it
            has more than :data:`MAX_FIELDS`.
    """
    if media_type(request.headers) != FORM:
        raise SignatureRejected("signature_malformed")
    return read_pairs(request.body)


def media_type(headers: Headers) -> str:
    """What a request says that its body is, lower case and without parameters; empty when it does not say.

    Raises:
        SignatureRejected: it says two things.
    """
    try:
        stated = content_type_of(headers)
    except MalformedRequest:
        raise SignatureRejected("signature_ambiguous") from None
    return (stated or b"").partition(b";")[0].strip().lower().decode("latin-1")


def only(pairs: Sequence[Pair], name: bytes, missing: SignatureFault) -> bytes:
    """The value of a parameter or field that the verdict depends on.

    Raises:
        SignatureRejected: it is absent or empty (``missing``), or stands there twice.
    """
    values = [value for key, value in pairs if key == name]
    if len(values) > 1:
        raise SignatureRejected("signature_ambiguous")
    if not values or not values[0]:
        raise SignatureRejected(missing)
    return values[0]
