"""Verify the HMAC signatures that need more than a header: places in the body or the query, groups, and plain digests."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from typing_extensions import override

from gateway.signatures.extractors import SourceContext
from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.request import RawRequest
from gateway.signatures.schemes.hmac_rule import HmacRule
from gateway.signatures.schemes.hmac_verifier import HmacVerifier
from gateway.signatures.schemes.layout import PlaceReader, is_in_body, place_reader
from gateway.signatures.schemes.strict_fields import join_signed, single, split_elements

MAX_GROUPS = 2
"""Groups of timestamp and signatures in one header. Each costs a digest of the body."""


class GeneralHmacVerifier(HmacVerifier):
    """The same for the others: signatures elsewhere or in several headers or groups, of parts of the body, or no HMAC."""

    def __init__(self, rule: HmacRule, keys: list[bytes]) -> None:
        super().__init__(rule, keys)
        spec = rule.spec
        self._digest = rule.digest
        self._signs_secret = spec.signs_secret
        self._layout = rule.layout
        self._excerpt = rule.layout.excerpt(rule.places)
        self._signs_parts = bool(spec.signed_places) and not spec.binds_body
        self._is_shown_in_body = is_in_body(spec.place)
        self._needs_payload = rule.needs_payload
        self._is_itemwise = rule.is_itemwise
        self._tells_signed = not spec.signs_body_as_it_came
        # A moment in the body is one of the event; one beside it is of the attempt.
        self._keeps_moment = rule.has_moment_in_body or spec.signs_attempts_alone
        is_told_as_rendered = self._keeps_moment or "{timestamp}" not in spec.signed
        self._tells_message = is_told_as_rendered and not spec.signs_secret
        self._is_moment_late = rule.has_moment_in_body and not rule.needs_payload
        self._group_separator = spec.group_separator.encode() if spec.group_separator else None
        self._read_place = place_reader(spec.place, "signature_missing") if spec.place else None
        self._read_moment: Callable[[RawRequest, SourceContext | None], bytes] = lambda *_: b""
        if spec.timestamp and spec.timestamp.place:
            self._read_moment = place_reader(spec.timestamp.place, "timestamp_missing")
            if spec.timestamp.header:
                self._read_moment = _with_header(self._read_moment, spec.timestamp.header)
        elif self._moment_header:
            name = self._moment_header
            self._read_moment = lambda request, _: single(request.headers, name, "timestamp_missing")

    @override
    def verify(self, request: RawRequest, now: float) -> int:
        if self._needs_payload:
            if not self._is_shown_in_body:
                self._readings(request, None, b"")  # junk is refused before the body is looked at
            content = self._layout.content_of(request, self._excerpt)
            found = self._layout.deliveries(request, self._excerpt, content)
            proofs = [self._prove(request, delivery, now) for delivery in found]
            if not proofs:
                raise SignatureRejected("signature_missing")
            if self._signs_parts:
                self._excerpt.check_unrepeated(content)
            self._tell_signed(request, [signed for _, signed in proofs])
            return proofs[0][0]
        matched, signed = self._prove(request, None, now)
        self._tell_signed(request, [signed])
        if self._timestamp and self._is_moment_late:
            # The body is proven by now, so that nothing forged is parsed for the moment in it.
            for delivery in self._layout.deliveries(request, self._excerpt):
                self._timestamp.check(self._timestamp.read(self._read_moment(request, delivery)), now)
        return matched

    def _tell_signed(self, request: RawRequest, parts: list[bytes]) -> None:
        if self._tells_signed:
            request.signed = join_signed(parts)
            request.signed_items = parts if self._is_itemwise else None

    def _prove(self, request: RawRequest, delivery: SourceContext | None, now: float) -> tuple[int, bytes]:
        """Return the slot of the secret that matched, and what it has signed but for the moment."""
        timestamp = None if self._is_moment_late else self._timestamp
        matched, matched_at, signed = -1, 0.0, b""
        beside = b"" if self._is_moment_late else self._read_moment(request, delivery)
        for candidates, moment in self._readings(request, delivery, beside):
            seconds = timestamp.read(moment) if timestamp else 0.0
            slot, message = self._match(request, delivery, candidates, moment)
            if slot >= 0:
                matched, matched_at = slot, seconds
                if self._tells_message:
                    signed = message
                elif self._tells_signed:  # without the secret
                    kept = moment if self._keeps_moment else b""
                    signed = self._render(request, kept, b"", delivery)
        if matched < 0:
            raise SignatureRejected("signature_mismatch")
        if timestamp:
            timestamp.check(matched_at, now)
        return matched, signed

    def _match(
        self, request: RawRequest, delivery: SourceContext | None, candidates: list[bytes], moment: bytes
    ) -> tuple[int, bytes]:
        """Return the slot of the secret that fits, -1 for none, and what is signed, where no secret is in it."""
        message = b"" if self._signs_secret else self._render(request, moment, b"", delivery)
        found = -1
        for slot in range(len(self._keys) - 1, -1, -1):
            key = self._keys[slot]
            text = self._render(request, moment, key, delivery) if self._signs_secret else message
            expected = self._encode(self._digest(key, text))
            for candidate in candidates:
                if hmac.compare_digest(expected, candidate):
                    found = slot
        return found, message

    def _readings(
        self, request: RawRequest, delivery: SourceContext | None, moment: bytes
    ) -> list[tuple[list[bytes], bytes]]:
        """Candidate signatures and the timestamp that they belong to, once for each group of them.

        The timestamp is ``moment`` where it is in none of them.
        """
        if self._read_place:
            return [self._read(self._read_place(request, delivery), moment)]
        names = [name for name in self._names if name in request.headers] or self._names[:1]
        values = [single(request.headers, name, "signature_missing") for name in names]
        if self._separator is None:
            return [(self._candidates(values), moment)]
        value = self._separator.join(values)
        groups = [value]
        if self._group_separator:
            groups = [group for group in split_elements(value, self._group_separator) if group]
        if len(groups) > MAX_GROUPS:
            raise SignatureRejected("too_many_signatures")
        return [self._read(group, moment) for group in groups]


def _with_header(read_place: PlaceReader, header: str) -> PlaceReader:
    """Read a moment from the body, or from a header where there is none; only the first of them is signed."""
    name = header.lower().encode()

    def read(request: RawRequest, delivery: SourceContext | None) -> bytes:
        try:
            return read_place(request, delivery)
        except SignatureRejected as rejection:
            if rejection.fault != "timestamp_missing":
                raise
        return single(request.headers, name, "timestamp_missing")

    return read
