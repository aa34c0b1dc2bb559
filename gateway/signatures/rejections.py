"""Reasons to refuse a request: the root of the tree of rejections, and the leaves that an adapter can raise.

    Rejection
    ├── MalformedRequest     400 malformed_request
    └── SignatureRejected    401 invalid_signature   (the precise reason only for log and metric)
        └── HandshakeRefused     401, or 403 or 404 where the sender demands it

The gateway's own leaves are in :mod:`gateway.errors`. ``reason`` is the same word in the response, the log line,
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
"""The precise reasons why a signature fails: a closed set, because they label a metric."""

SIGNATURE_FAULTS: tuple[SignatureFault, ...] = get_args(SignatureFault)


class Rejection(Exception):
    """Raised to refuse a request.

    Attributes:
        status: the HTTP status of the response.
        reason: a stable snake_case word.
        retryable: whether the same request can succeed later; the response then has ``Retry-After``.
    """

    status: int
    reason: ClassVar[str]
    retryable: ClassVar[bool] = False

    @property
    def detail(self) -> str:
        """The detail for the log. It is never sent to the client."""
        return str(self.args[0]) if self.args else ""


class MalformedRequest(Rejection):
    """Raised for a request that no well-behaved sender makes."""

    status = 400
    reason = "malformed_request"


class SignatureRejected(Rejection):
    """Raised when the sender is not proven. Every fault gets the same response, so that nothing can be probed."""

    status = 401
    reason = "invalid_signature"

    def __init__(self, fault: SignatureFault) -> None:
        super().__init__(fault)
        self.fault = fault


class HandshakeRefused(SignatureRejected):
    """Raised for a handshake that its sender does not make, or that offers a secret nobody waits for."""

    def __init__(self, fault: SignatureFault, status: int = 401) -> None:
        super().__init__(fault)
        self.status = status
