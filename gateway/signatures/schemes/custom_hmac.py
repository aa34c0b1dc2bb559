"""The common part of the HMAC schemes of single senders.

Such a scheme says what is signed and where the signature is. This module handles keys, comparison and timestamp.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from pydantic import Field
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, StaticVerifier, TimedSchemeSpec
from gateway.signatures.schemes.encodings import ENCODERS, Encoding
from gateway.signatures.schemes.strict_fields import MAX_CANDIDATES, check_tolerance, split_elements
from gateway.signatures.secrets import decode_secret
from gateway.signatures.units import Duration


class Content(NamedTuple):
    """The signed content of a request.

    Attributes:
        messages: the bytes that may be signed; more than one if the documentation of the sender is ambiguous.
        signed: the part that belongs to the event (:attr:`gateway.signatures.request.RawRequest.signed`).
    """

    messages: list[bytes]
    signed: bytes | None = None


class SignedField(NamedTuple):
    """The signatures that a request carries.

    Attributes:
        candidates: the signatures.
        compose: makes the signed content; it is called only if a candidate has the form of a signature.
        algorithm: the digest.
        moment: the signed timestamp in Unix seconds; None if no timestamp is signed.
    """

    candidates: list[bytes]
    compose: Callable[[], Content]
    algorithm: str = "sha256"
    moment: float | None = None


class FieldVerifier(StaticVerifier):
    """A verifier of the signatures that ``read`` finds. ``read`` raises SignatureRejected if there is none."""

    def __init__(
        self,
        keys: Sequence[bytes],
        read: Callable[[RawRequest], SignedField],
        encoding: Encoding,
        tolerance: float = 0.0,
    ) -> None:
        self._keys = keys
        self._read = read
        self._encoding: Encoding = encoding
        self._tolerance = tolerance

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        field = self._read(request)
        if len(field.candidates) > MAX_CANDIDATES:
            raise SignatureRejected("too_many_signatures")
        length = _length(field.algorithm, self._encoding)
        candidates = [candidate for candidate in field.candidates if len(candidate) == length]
        if not candidates:
            raise SignatureRejected("signature_malformed")
        if self._encoding == "hex":
            candidates = [candidate.lower() for candidate in candidates]
        messages, signed = field.compose()
        matched = -1
        for slot in range(len(self._keys) - 1, -1, -1):
            for message in messages:
                expected = write_hmac(self._keys[slot], message, field.algorithm, self._encoding)
                for candidate in candidates:
                    if hmac.compare_digest(expected, candidate):
                        matched = slot
        if matched < 0:
            raise SignatureRejected("signature_mismatch")
        if field.moment is not None:
            check_tolerance(field.moment, now, self._tolerance)
            request.signed_at = field.moment
        request.signed = signed
        return matched


class TimedSpec(TimedSchemeSpec):
    """The description of a sender that signs a timestamp, with the text of the secret as key, in hexadecimal."""

    tolerance: Duration = Field(
        300.0, description="The tolerated difference between the timestamp and the clock, before or after."
    )


class TimedScheme(Scheme):
    """The scheme of a :class:`TimedSpec`. ``read`` finds the signatures of a request."""

    def __init__(self, spec: TimedSpec, read: Callable[[RawRequest], SignedField]) -> None:
        self._tolerance = spec.tolerance
        self._read = read

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> FieldVerifier:
        keys = [decode_secret(secret, "raw") for secret in secrets]
        return FieldVerifier(keys, self._read, "hex", self._tolerance)


def write_hmac(key: bytes, message: bytes, algorithm: str, encoding: Encoding) -> bytes:
    """Return an HMAC in the encoding of the request."""
    return ENCODERS[encoding](hmac.digest(key, message, algorithm))


@cache
def _length(algorithm: str, encoding: Encoding) -> int:
    return len(write_hmac(b"k", b"", algorithm, encoding))


def read_elements(value: bytes, names: Sequence[bytes]) -> list[bytes]:
    """Return the values of the elements ``name=value`` in a list with commas, each of which must occur once.

    Raises:
        SignatureRejected: An element is missing or repeated, or there are too many.
    """
    pairs = [element.strip(b" \t").partition(b"=") for element in split_elements(value, b",")]
    values = []
    for name in names:
        found = [text for key, _, text in pairs if key == name]
        if len(found) != 1:
            raise SignatureRejected("signature_ambiguous" if found else "signature_malformed")
        values.append(found[0])
    return values


def with_headers(request: RawRequest, added: dict[str, str]) -> RawRequest:
    """Return a copy of the request with header fields added or replaced."""
    new = [(name.lower().encode(), value.encode("latin-1")) for name, value in added.items()]
    names = {name for name, _ in new}
    kept = [field for field in request.headers.fields if field[0] not in names]
    return RawRequest(
        body=request.body,
        headers=Headers([*kept, *new]),
        method=request.method,
        path=request.path,
        query=request.query,
        url=request.url,
    )
