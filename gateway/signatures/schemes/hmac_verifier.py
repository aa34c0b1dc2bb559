"""Verify the plain HMAC signatures: one header, over bytes that need no parsing."""

from __future__ import annotations

import hmac

from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.base import StaticVerifier
from gateway.signatures.schemes.encodings import ENCODERS
from gateway.signatures.schemes.hmac_rule import HmacRule
from gateway.signatures.schemes.strict_fields import (
    MAX_CANDIDATES,
    check_tolerance,
    single,
    split_elements,
)


class HmacVerifier(StaticVerifier):
    """A verifier of plain HMACs, with everything computed in advance that does not depend on the request."""

    def __init__(self, rule: HmacRule, keys: list[bytes]) -> None:
        spec = rule.spec
        # The first of several matching secrets counts, so it is tried last.
        self._slots = [(slot, rule.prepare(key)) for slot, key in enumerate(keys)][::-1]
        self._pieces = rule.template.pieces
        self._names = [header.lower().encode() for header in spec.headers]
        self._prefix = spec.prefix.encode()
        # Elements are stripped: a sender may put a space after its commas or not.
        self._separator = (spec.separator.strip() or " ").encode() if spec.separator else None
        self._encode = ENCODERS[spec.encoding]
        self._folds_case = spec.encoding == "hex"
        self._length = len(self._prefix) + len(self._encode(rule.prepare(b"")([])))
        self._max_candidates = MAX_CANDIDATES * max(1, len(self._names))
        self._timestamp = rule.timestamp
        self._tolerance = spec.timestamp.tolerance if spec.timestamp else 0.0
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
        pieces = self._pieces(request, moment)
        matched = -1
        # All keys are compared with all candidates, without an early end, so that the time reveals neither how many
        # were tried nor which one matched.
        for slot, digest in self._slots:
            expected = self._encode(digest(pieces))
            for candidate in candidates:
                if hmac.compare_digest(expected, candidate):
                    matched = slot
        if matched < 0:
            raise SignatureRejected("signature_mismatch")
        if self._timestamp:
            check_tolerance(seconds, now, self._tolerance)
            request.signed_at = seconds
        return matched

    def _read(self, value: bytes, moment: bytes) -> tuple[list[bytes], bytes]:
        """Return the candidate signatures and the text of the timestamp, which may be an element beside them."""
        if self._separator is None:
            if len(value) != self._length or not value.startswith(self._prefix):
                raise SignatureRejected("signature_malformed")
            value = value[len(self._prefix) :]
            return [value.lower() if self._folds_case else value], moment
        elements = [element.strip(b" \t") for element in split_elements(value, self._separator)]
        if name := self._moment_element:
            moments = [element for element in elements if element.startswith(name)]
            if len(moments) != 1:
                raise SignatureRejected("signature_ambiguous" if moments else "timestamp_missing")
            moment = moments[0].removeprefix(name)
        elif self._moment_position is not None:
            if len(elements) <= self._moment_position:
                raise SignatureRejected("timestamp_missing")
            moment = elements.pop(self._moment_position)
        return self._candidates(elements), moment

    def _candidates(self, elements: list[bytes]) -> list[bytes]:
        prefix, found, whole = self._prefix, 0, []
        for element in elements:
            if element.startswith(prefix):
                found += 1
                if len(element) == self._length:
                    candidate = element.removeprefix(prefix)
                    whole.append(candidate.lower() if self._folds_case else candidate)
        if found > self._max_candidates:
            raise SignatureRejected("too_many_signatures")
        if not whole:
            raise SignatureRejected("signature_malformed" if found else "signature_missing")
        return whole
