"""Verify the plain HMAC signatures: one header, over bytes that need no parsing."""

from __future__ import annotations

import hmac

from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import LARGE, StaticVerifier
from gateway.signatures.schemes.encodings import ENCODERS
from gateway.signatures.schemes.hmac_rule import HmacRule
from gateway.signatures.schemes.strict_fields import MAX_CANDIDATES, single, split_elements


class HmacVerifier(StaticVerifier):
    """A scheme bound to its keys, with all that a request does not change worked out.

    For the plain ones, which nearly all are: HMAC, in one header, of what need not be parsed.
    """

    def __init__(self, rule: HmacRule, keys: list[bytes]) -> None:
        spec = rule.spec
        self._keys = keys
        self._render = rule.template.render
        self._pieces = rule.template.pieces
        self._names = [header.lower().encode() for header in spec.headers]
        self._prefix = spec.prefix.encode()
        # Elements are stripped, so that a sender may put a space behind its commas or not.
        self._separator = (spec.separator.strip() or " ").encode() if spec.separator else None
        self._algorithm = spec.algorithm
        self._encode = ENCODERS[spec.encoding]
        self._folds_case = spec.encoding == "hex"
        self._length = len(self._encode(hmac.digest(b"k", b"", spec.algorithm)))
        self._max_candidates = MAX_CANDIDATES * max(1, len(self._names))
        self._timestamp = rule.timestamp
        self._moment_header = self._moment_element = self._moment_position = None
        if spec.timestamp:
            self._moment_header = spec.timestamp.header.lower().encode() if spec.timestamp.header else None
            self._moment_element = spec.timestamp.element.encode() if spec.timestamp.element else None
            self._moment_position = spec.timestamp.position

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        value = single(request.headers, self._names[0], "signature_missing")
        moment = b""
        if self._moment_header:
            moment = single(request.headers, self._moment_header, "timestamp_missing")
        candidates, moment = self._read(value, moment)
        seconds = self._timestamp.read(moment) if self._timestamp else 0.0
        pieces = self._pieces(request, moment) if len(request.body) > LARGE else None
        message = self._render(request, moment) if pieces is None else b""
        matched = -1
        # All keys against all candidates, without an early end: neither how many were tried nor which one
        # matched can be seen from the time that it takes.
        for slot in range(len(self._keys) - 1, -1, -1):
            expected = self._encode(
                hmac.digest(self._keys[slot], message, self._algorithm)
                if pieces is None
                else digest_pieces(self._keys[slot], pieces, self._algorithm)
            )
            for candidate in candidates:
                if hmac.compare_digest(expected, candidate):
                    matched = slot
        if matched < 0:
            raise SignatureRejected("signature_mismatch")
        if self._timestamp:
            self._timestamp.check(seconds, now)
        return matched

    def _read(self, value: bytes, moment: bytes) -> tuple[list[bytes], bytes]:
        """The candidate signatures, and the text of the timestamp, which may stand beside them."""
        if self._separator is None:
            return self._candidates([value]), moment
        elements = split_elements(value, self._separator)
        if b" " in value or b"\t" in value:
            elements = [element.strip(b" \t") for element in elements]
        if self._moment_element:
            moments = [element for element in elements if element.startswith(self._moment_element)]
            if len(moments) != 1:
                raise SignatureRejected("signature_ambiguous" if moments else "timestamp_missing")
            moment = moments[0].removeprefix(self._moment_element)
        elif self._moment_position is not None:
            if len(elements) <= self._moment_position:
                raise SignatureRejected("timestamp_missing")
            moment = elements.pop(self._moment_position)
        return self._candidates(elements), moment

    def _candidates(self, elements: list[bytes]) -> list[bytes]:
        start = len(self._prefix)
        found = [element[start:] for element in elements if element.startswith(self._prefix)]
        if len(found) > self._max_candidates:
            raise SignatureRejected("too_many_signatures")
        whole = [
            candidate.lower() if self._folds_case else candidate
            for candidate in found
            if len(candidate) == self._length
        ]
        if not whole:
            raise SignatureRejected(
                "signature_malformed" if found or not self._separator else "signature_missing"
            )
        return whole


def digest_pieces(key: bytes, pieces: list[bytes], algorithm: str) -> bytes:
    """Return the HMAC of a message in pieces, without joining them."""
    digest = hmac.new(key, digestmod=algorithm)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()
