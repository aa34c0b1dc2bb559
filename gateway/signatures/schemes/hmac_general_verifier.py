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
    """A verifier of signatures in other places, in several headers or groups, over parts of the body, or without HMAC."""

    def __init__(self, rule: HmacRule, keys: list[bytes]) -> None:
        super().__init__(rule, keys)
        spec = rule.spec
        self._keys = keys
        self._render = rule.template.render
        self._signs_secret = spec.signs_secret
        self._layout = rule.layout
        self._excerpt = rule.layout.excerpt(rule.places)
        self._signs_parts = bool(spec.signed_places) and not spec.binds_body
        self._is_signature_in_body = is_in_body(spec.place)
        self._needs_payload = rule.needs_payload
        self._is_itemwise = rule.is_itemwise
        self._reports_signed = not spec.signs_body_as_it_came
        # A timestamp in the body belongs to the event; one beside it belongs to the attempt.
        self._keeps_moment = rule.has_timestamp_in_body or spec.signs_attempts_alone
        is_reported_as_rendered = self._keeps_moment or "{timestamp}" not in spec.signed
        self._reports_message = is_reported_as_rendered and not spec.signs_secret
        self._is_moment_late = rule.has_timestamp_in_body and not rule.needs_payload
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
            if not self._is_signature_in_body:
                self._readings(request, None, b"")  # refuse junk before reading the body
            content = self._layout.content_of(request, self._excerpt)
            found = self._layout.contexts(request, self._excerpt, content)
            proofs = [self._prove(request, context, now) for context in found]
            if not proofs:
                raise SignatureRejected("signature_missing")
            if self._signs_parts:
                self._excerpt.check_unrepeated(content)
            self._report_signed(request, [signed for _, signed in proofs])
            return proofs[0][0]
        matched, signed = self._prove(request, None, now)
        self._report_signed(request, [signed])
        if self._timestamp and self._is_moment_late:
            # The body is proven now, so that no forged body is parsed for its timestamp.
            for context in self._layout.contexts(request, self._excerpt):
                request.signed_at = self._timestamp.read(self._read_moment(request, context))
                self._timestamp.check(request.signed_at, now)
        return matched

    def _report_signed(self, request: RawRequest, parts: list[bytes]) -> None:
        if self._reports_signed:
            request.signed = join_signed(parts)
            request.signed_items = parts if self._is_itemwise else None

    def _prove(self, request: RawRequest, context: SourceContext | None, now: float) -> tuple[int, bytes]:
        """Return the slot of the secret that matched, and the signed content without the timestamp."""
        timestamp = None if self._is_moment_late else self._timestamp
        matched, matched_at, signed = -1, 0.0, b""
        beside = b"" if self._is_moment_late else self._read_moment(request, context)
        for candidates, moment in self._readings(request, context, beside):
            seconds = timestamp.read(moment) if timestamp else 0.0
            slot, message = self._match(request, context, candidates, moment)
            if slot >= 0:
                matched, matched_at = slot, seconds
                if self._reports_message:
                    signed = message
                elif self._reports_signed:  # rendered without the secret
                    kept = moment if self._keeps_moment else b""
                    signed = self._render(request, kept, b"", context)
        if matched < 0:
            raise SignatureRejected("signature_mismatch")
        if timestamp:
            timestamp.check(matched_at, now)
            request.signed_at = matched_at
        return matched, signed

    def _match(
        self, request: RawRequest, context: SourceContext | None, candidates: list[bytes], moment: bytes
    ) -> tuple[int, bytes]:
        """Return the slot of the matching secret (-1 for none) and the signed bytes, unless they contain the secret."""
        message = b"" if self._signs_secret else self._render(request, moment, b"", context)
        found = -1
        for slot, digest in self._slots:
            text = message
            if self._signs_secret:
                text = self._render(request, moment, self._keys[slot], context)
            expected = self._encode(digest([text]))
            for candidate in candidates:
                if hmac.compare_digest(expected, candidate):
                    found = slot
        return found, message

    def _readings(
        self, request: RawRequest, context: SourceContext | None, moment: bytes
    ) -> list[tuple[list[bytes], bytes]]:
        """Return each group of candidate signatures with its timestamp.

        The timestamp is ``moment`` if the groups contain none.
        """
        if self._read_place:
            return [self._read(self._read_place(request, context), moment)]
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
    """Read a timestamp from the body, or from a header if the body has none. Only the one in the body is signed."""
    name = header.lower().encode()

    def read(request: RawRequest, context: SourceContext | None) -> bytes:
        try:
            return read_place(request, context)
        except SignatureRejected as rejection:
            if rejection.fault != "timestamp_missing":
                raise
        return single(request.headers, name, "timestamp_missing")

    return read
