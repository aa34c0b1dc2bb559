"""Parameters of addresses and fields of forms, as the bytes that a signature is about."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.signatures import forms
from gateway.signatures.forms import Pair
from gateway.signatures.media import content_type_of
from gateway.signatures.rejections import MalformedRequest, SignatureFault, SignatureRejected
from gateway.signatures.request import Headers, RawRequest

FORM = "application/x-www-form-urlencoded"
MAX_SIGNED_FIELDS = 250
"""Fields of a form of which each is signed; senders of such have some thirty, and strangers can send any number."""

MAX_SIGNED_FORM = 256 * 1024
"""Bytes of a form of which each field is signed, but for senders that have whole documents in one."""


def read_query(query: bytes) -> Sequence[Pair]:
    """Read the parameters of an address, decoded, in their order; empty values count.

    Raises:
        SignatureRejected: there are more than addresses have.
    """
    try:
        return forms.read_query(query)
    except MalformedRequest:
        raise SignatureRejected("signature_malformed") from None


def read_form(request: RawRequest, *names: bytes, most_bytes: int | None = None) -> list[Pair]:
    """Read the fields of a request that says it is a form; only those called ``names`` where some are given.

    Raises:
        SignatureRejected: It does not, and a reader that goes by its type would read something else; or it has more
            than forms have, or more than ``most_bytes``.
    """
    if media_type(request.headers) != FORM or (most_bytes is not None and len(request.body) > most_bytes):
        raise SignatureRejected("signature_malformed")
    try:
        if names:
            return forms.read_pairs(request.body, names=names)
        return forms.read_pairs(request.body, MAX_SIGNED_FIELDS)
    except MalformedRequest:
        raise SignatureRejected("signature_malformed") from None


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
