"""Why a request is refused: the root of the one tree of rejections, and the leaves that a provider can raise.

    Rejection
    ├── MalformedRequest     400 malformed_request
    └── SignatureRejected    401 invalid_signature   (the precise reason only for log and metric)
        └── HandshakeRefused     401, or 403 or 404 where the sender demands it

The gateway's own leaves are in :mod:`gateway.errors`. ``reason`` is one word in the answer, the log line,
the metric label and the documentation.
"""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

SignatureFault = Literal[
    "signature_missing",
    "signature_ambiguous",
    "signature_malformed",
    "signature_mismatch",
    "too_many_signatures",
    "signed_header_missing",
    "timestamp_missing",
    "timestamp_malformed",
    "timestamp_too_old",
    "timestamp_in_future",
    "claim_mismatch",
    "unknown_key",
    "address_unknown",
    "handshake_refused",
    "handshake_token_mismatch",
    "enrolment_closed",
]
"""Every precise way in which a signature can fail; a closed set, because it labels a metric."""

SIGNATURE_FAULTS: tuple[SignatureFault, ...] = get_args(SignatureFault)


class Rejection(Exception):
    """A request that is refused, with the answer that its sender gets.

    Attributes:
        status: the HTTP status of the answer.
        reason: a stable snake_case word.
        retryable: whether the same request can succeed later; answered with ``Retry-After``.
    """

    status: int
    reason: ClassVar[str]
    retryable: ClassVar[bool] = False

    @property
    def detail(self) -> str:
        """What the log may say beyond the reason; never sent to the client."""
        return str(self.args[0]) if self.args else ""


class MalformedRequest(Rejection):
    """The request as HTTP carries something that no well-behaved sender sends."""

    status = 400
    reason = "malformed_request"


class SignatureRejected(Rejection):
    """The sender is not proven. Every fault gets the same answer, so that nothing can be probed."""

    status = 401
    reason = "invalid_signature"

    def __init__(self, fault: SignatureFault) -> None:
        super().__init__(fault)
        self.fault = fault


class HandshakeRefused(SignatureRejected):
    """A greeting that is not as its sender makes them, or that tells a secret which nobody waits for."""

    def __init__(self, fault: SignatureFault, status: int = 401) -> None:
        super().__init__(fault)
        self.status = status
