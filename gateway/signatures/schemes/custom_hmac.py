"""What the schemes of single senders share: a request claims to be signed, and HMAC tells whether it is.

Such a scheme says what was signed and where the signature stands; keys, comparison and moment are dealt with here.
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
from gateway.signatures.schemes.base import NO_PARAMETERS, Scheme, SchemeSpec, StaticVerifier
from gateway.signatures.schemes.encodings import ENCODERS, Encoding
from gateway.signatures.schemes.strict_fields import MAX_CANDIDATES, check_tolerance, split_elements
from gateway.signatures.secrets import decode_secret
from gateway.signatures.units import Duration


class Content(NamedTuple):
    """What a request has to be signed.

    Attributes:
        messages: what may have been signed; more than one where the sender leaves a doubt.
        signed: what of it tells of the event (:attr:`gateway.signatures.request.RawRequest.signed`).
    """

    messages: list[bytes]
    signed: bytes | None = None


class SignedField(NamedTuple):
    """What a request says of its signature.

    Attributes:
        candidates: the signatures that are shown.
        compose: finds what may have been signed; it is not called for what cannot be a signature.
        algorithm: the digest.
        moment: when it was signed, in Unix seconds, where that is signed.
    """

    candidates: list[bytes]
    compose: Callable[[], Content]
    algorithm: str = "sha256"
    moment: float | None = None


class ClaimVerifier(StaticVerifier):
    """A verifier for requests whose claim ``read`` tells; it raises SignatureRejected where there is none."""

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
        claim = self._read(request)
        if len(claim.candidates) > MAX_CANDIDATES:
            raise SignatureRejected("too_many_signatures")
        length = _length(claim.algorithm, self._encoding)
        candidates = [candidate for candidate in claim.candidates if len(candidate) == length]
        if not candidates:
            raise SignatureRejected("signature_malformed")
        if self._encoding == "hex":
            candidates = [candidate.lower() for candidate in candidates]
        messages, signed = claim.compose()
        matched = -1
        for slot in range(len(self._keys) - 1, -1, -1):
            for message in messages:
                expected = write_hmac(self._keys[slot], message, claim.algorithm, self._encoding)
                for candidate in candidates:
                    if hmac.compare_digest(expected, candidate):
                        matched = slot
        if matched < 0:
            raise SignatureRejected("signature_mismatch")
        if claim.moment is not None:
            check_tolerance(claim.moment, now, self._tolerance)
        request.signed = signed
        return matched


class TimedSpec(SchemeSpec):
    """A sender that signs with the text of the secret, in hexadecimal, and a moment that is among what it signs."""

    tolerance: Duration = Field(
        300.0, description="How far the timestamp may be from our clock, before or after."
    )

    @property
    @override
    def has_moment(self) -> bool:
        return True


class TimedScheme(Scheme):
    """The scheme of a :class:`TimedSpec`; ``read`` tells what a request claims."""

    def __init__(self, spec: TimedSpec, read: Callable[[RawRequest], SignedField]) -> None:
        self._tolerance = spec.tolerance
        self._read = read

    @override
    def bind(self, secrets: Sequence[str], parameters: Mapping[str, str] = NO_PARAMETERS) -> ClaimVerifier:
        keys = [decode_secret(secret, "raw") for secret in secrets]
        return ClaimVerifier(keys, self._read, "hex", self._tolerance)


def write_hmac(key: bytes, message: bytes, algorithm: str, encoding: Encoding) -> bytes:
    """An HMAC as it stands in a request."""
    return ENCODERS[encoding](hmac.digest(key, message, algorithm))


@cache
def _length(algorithm: str, encoding: Encoding) -> int:
    return len(write_hmac(b"k", b"", algorithm, encoding))


def read_elements(value: bytes, names: Sequence[bytes]) -> list[bytes]:
    """The values of the elements ``name=value`` of a list with commas, each of which must stand there once.

    Raises:
        SignatureRejected: one is missing or stands there twice, or there are too many.
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
    """The same request with header fields added, or put in the stead of those that are there."""
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
