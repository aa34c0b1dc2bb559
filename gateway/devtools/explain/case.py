"""A case: one request, one signature scheme and some secrets; and whether the request verifies with them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.adapters.adapter import Adapter
from gateway.signatures.rejections import Rejection, SignatureRejected
from gateway.signatures.request import Headers, RawRequest
from gateway.signatures.schemes import SignatureSpec
from gateway.signatures.schemes.fetched_keys import KeyNeeded

_TIMES = range(4 * 10**12)
"""Unix seconds in which to search for a signed timestamp, including one in milliseconds that is read as seconds."""

_MIN_PLAUSIBLE_TIME = 10**9
"""Unix seconds, in 2001. No webhook is older: an earlier timestamp was read in the wrong unit."""

_MAX_PLAUSIBLE_LEAD = 366 * 86_400
"""Seconds that a timestamp may be ahead of the clock: a larger lead is a wrong unit, not a wrong clock."""

_SIDES = {"timestamp_in_future": -1, "timestamp_too_old": 1}


@dataclass(frozen=True)
class Case:
    """A request and what to verify it with.

    Attributes:
        adapter: The provider's adapter.
        secrets: The configured secrets.
        request: The request as the gateway sees it.
        parameters: The provider's parameters.
        other_secrets: The secrets of the other providers, by their names.
    """

    adapter: Adapter
    secrets: Sequence[str] = field(repr=False)
    request: RawRequest
    parameters: Mapping[str, str] = field(default_factory=dict)
    other_secrets: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)

    @property
    def signature(self) -> SignatureSpec:
        """Return the description of the signature."""
        return self.adapter.spec.signature

    def with_request(self, **changes: Any) -> Case:
        """Return the case with another body, other headers or another URL."""
        request = self.request
        kept = {
            name: getattr(request, name) for name in ("method", "path", "query", "url", "headers", "body")
        }
        return replace(self, request=RawRequest(**(kept | changes)))

    def with_field(self, name: bytes, value: bytes) -> Case:
        """Return the case with one header, which replaces all of that name."""
        fields = [each for each in self.request.headers.fields if each[0] != name]
        return self.with_request(headers=Headers([*fields, (name, value)]))

    def with_secrets(self, *secrets: str) -> Case:
        """Return the case with other secrets."""
        return replace(self, secrets=secrets)

    def with_signature(self, **changes: Any) -> Case:
        """Return the case with changes to the description of the signature.

        Raises:
            ValueError: The changed description is invalid.
        """
        signature = self.signature
        changed = type(signature).model_validate(signature.model_dump() | changes)
        spec = self.adapter.spec.model_copy(update={"signature": changed})
        return replace(self, adapter=Adapter(self.adapter.name, spec))


@dataclass(frozen=True, slots=True)
class Proof:
    """A valid signature.

    Attributes:
        slot: The index of the secret that it was made with.
        since: The first time at which it is accepted, in Unix seconds; None if there is no such limit.
        until: The last time at which it is accepted; None if there is no such limit.
    """

    slot: int
    since: int | None
    until: int | None

    @property
    def signed_at(self) -> int | None:
        """Return when it was made, in Unix seconds, as far as that can be inferred; None if it has no timestamp."""
        if self.since is None or self.until is None:
            return self.until if self.since is None else self.since
        return (self.since + self.until) // 2

    def is_current(self, now: float) -> bool:
        """Return whether the signature is accepted at ``now``."""
        return (self.since is None or self.since <= now) and (self.until is None or now < self.until + 1)


def verify(case: Case, now: float) -> Proof | str:
    """Verify a request, whatever its age. Return the proof, or the fault as a word.

    Raises:
        SecretFormatError: A secret does not have the format of the scheme.
        KeyNeeded: The request can only be verified with a key that has to be fetched.
    """
    verifier = case.adapter.scheme.bind(case.secrets, case.parameters)

    def side(time: float) -> int:
        try:
            verifier.verify(case.request, time)
        except SignatureRejected as rejection:
            if rejection.fault in _SIDES:
                return _SIDES[rejection.fault]
            raise
        return 0

    try:
        side(now)
        since, end = bisect_left(_TIMES, 0, key=side), bisect_right(_TIMES, 0, key=side)
        if since >= end:
            return "timestamp_malformed"
        slot = verifier.verify(case.request, (since + end) // 2)
    except SignatureRejected as rejection:
        return rejection.fault
    except Rejection as rejection:
        return rejection.reason
    proof = Proof(slot, since or None, end - 1 if end < len(_TIMES) else None)
    is_plausible = (
        proof.signed_at is None or _MIN_PLAUSIBLE_TIME < proof.signed_at < now + _MAX_PLAUSIBLE_LEAD
    )
    return proof if is_plausible else "timestamp_malformed"


def is_proven(case: Case, now: float) -> bool:
    """Return whether :func:`verify` finds a proof; false for a case that is invalid."""
    try:
        return isinstance(verify(case, now), Proof)
    except (KeyNeeded, ValueError):
        return False
