"""What is judged, and whether it is proven: one request, one way of signing, some secrets."""

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

_MOMENTS = range(4 * 10**12)
"""Unix seconds within which a signed moment is looked for: also one that counts milliseconds."""

_PLAUSIBLE_SINCE = 10**9
"""The year 2001. No webhook is older: a moment before that is one that was read in the wrong unit."""

_PLAUSIBLE_AHEAD = 366 * 86_400
_SIDES = {"timestamp_in_future": -1, "timestamp_too_old": 1}


@dataclass(frozen=True)
class Case:
    """A request and what it is to be verified with.

    Attributes:
        adapter: what its sender does.
        secrets: the configured ones.
        request: as the gateway would have it.
        parameters: those of the provider.
        neighbours: the secrets of the other providers, by their names.
    """

    adapter: Adapter
    secrets: Sequence[str] = field(repr=False)
    request: RawRequest
    parameters: Mapping[str, str] = field(default_factory=dict)
    neighbours: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)

    @property
    def signature(self) -> SignatureSpec:
        """How the sender signs."""
        return self.adapter.spec.signature

    def with_request(self, **changes: Any) -> Case:
        """The same with another body, other headers or another address."""
        request = self.request
        kept = {
            name: getattr(request, name) for name in ("method", "path", "query", "url", "headers", "body")
        }
        return replace(self, request=RawRequest(**(kept | changes)))

    def with_field(self, name: bytes, value: bytes) -> Case:
        """The same with one header field, in place of all of that name."""
        fields = [each for each in self.request.headers.fields if each[0] != name]
        return self.with_request(headers=Headers([*fields, (name, value)]))

    def with_secrets(self, *secrets: str) -> Case:
        """The same with other secrets."""
        return replace(self, secrets=secrets)

    def with_signature(self, **changes: Any) -> Case:
        """The same with another way of signing.

        Raises:
            ValueError: that way makes no sense.
        """
        signature = self.signature
        changed = type(signature).model_validate(signature.model_dump() | changes)
        spec = self.adapter.spec.model_copy(update={"signature": changed})
        return replace(self, adapter=Adapter(self.adapter.name, spec))


@dataclass(frozen=True, slots=True)
class Proof:
    """A signature that is right.

    Attributes:
        slot: which secret it was made with, from 0.
        since: when it began to be accepted, in Unix seconds; None where it always was.
        until: when that ended; None where it never does.
    """

    slot: int
    since: int | None
    until: int | None

    @property
    def moment(self) -> int | None:
        """When it was made, as far as that can be told; None where it carries no time."""
        if self.since is None or self.until is None:
            return self.until if self.since is None else self.since
        return (self.since + self.until) // 2

    def is_current(self, now: float) -> bool:
        """Whether it is accepted at ``now``."""
        return (self.since is None or self.since <= now) and (self.until is None or now < self.until + 1)


def judge(case: Case, now: float) -> Proof | str:
    """The proof that a request comes from its sender, whenever that was; or why there is none, in a word.

    Raises:
        SecretFormatError: a secret is not in the format of the scheme.
        KeyNeeded: a key has to be fetched for it, which is not done here.
    """
    verifier = case.adapter.scheme.bind(case.secrets, case.parameters)

    def side(moment: float) -> int:
        try:
            verifier.verify(case.request, moment)
        except SignatureRejected as rejection:
            if rejection.fault in _SIDES:
                return _SIDES[rejection.fault]
            raise
        return 0

    try:
        side(now)
        since, end = bisect_left(_MOMENTS, 0, key=side), bisect_right(_MOMENTS, 0, key=side)
        if since >= end:
            return "timestamp_malformed"
        slot = verifier.verify(case.request, (since + end) // 2)
    except SignatureRejected as rejection:
        return rejection.fault
    except Rejection as rejection:
        return rejection.reason
    proof = Proof(slot, since or None, end - 1 if end < len(_MOMENTS) else None)
    is_plausible = proof.moment is None or _PLAUSIBLE_SINCE < proof.moment < now + _PLAUSIBLE_AHEAD
    return proof if is_plausible else "timestamp_malformed"


def is_proven(case: Case, now: float) -> bool:
    """Whether :func:`judge` finds a proof; a case that cannot even be put together has none."""
    try:
        return isinstance(judge(case, now), Proof)
    except (KeyNeeded, ValueError):
        return False
