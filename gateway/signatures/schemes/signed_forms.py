"""Query parameters and form fields, as the bytes that a signature covers."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.signatures import forms
from gateway.signatures.forms import Pair
from gateway.signatures.media import content_type_of
from gateway.signatures.rejections import MalformedRequest, SignatureFault, SignatureRejected
from gateway.signatures.request import Headers, RawRequest

FORM = "application/x-www-form-urlencoded"
"""The media type of the forms that senders sign."""

MAX_SIGNED_FIELDS = 250
"""Maximum fields of a form whose fields are all signed. Senders use about thirty, anybody could send any number."""

MAX_SIGNED_FORM = 256 * 1024
"""Maximum bytes of a form whose fields are all signed. Senders with whole documents in a field have no such limit."""


def read_query(query: bytes) -> Sequence[Pair]:
    """Read the parameters of a query, decoded, in their order; empty values count.

    Raises:
        SignatureRejected: The query has too many parameters.
    """
    try:
        return forms.read_query(query)
    except MalformedRequest:
        raise SignatureRejected("signature_malformed") from None


def read_form(request: RawRequest, *names: bytes, max_bytes: int | None = None) -> list[Pair]:
    """Read the fields of a form, or only the fields ``names`` if some are given.

    Raises:
        SignatureRejected: The request declares another media type, so that a reader that trusts it would read something
            else; or the form has too many fields, or more than ``max_bytes``.
    """
    if media_type(request.headers) != FORM or (max_bytes is not None and len(request.body) > max_bytes):
        raise SignatureRejected("signature_malformed")
    try:
        if names:
            return forms.read_pairs(request.body, names=names)
        return forms.read_pairs(request.body, MAX_SIGNED_FIELDS)
    except MalformedRequest:
        raise SignatureRejected("signature_malformed") from None


def media_type(headers: Headers) -> str:
    """Return the declared media type, lower case and without parameters; empty if none is declared.

    Raises:
        SignatureRejected: The request declares two different types.
    """
    try:
        stated = content_type_of(headers)
    except MalformedRequest:
        raise SignatureRejected("signature_ambiguous") from None
    return (stated or b"").partition(b";")[0].strip().lower().decode("latin-1")


def only(pairs: Sequence[Pair], name: bytes, missing: SignatureFault) -> bytes:
    """Return the value of a parameter or field that must be present exactly once.

    Raises:
        SignatureRejected: It is absent or empty (``missing``), or it is repeated.
    """
    values = [value for key, value in pairs if key == name]
    if len(values) > 1:
        raise SignatureRejected("signature_ambiguous")
    if not values or not values[0]:
        raise SignatureRejected(missing)
    return values[0]
