"""The outcomes of requests, the gateway's part of the one tree of rejections, and the errors for operators.

    Rejection                        (gateway.signatures.rejections)
    ├── MalformedRequest             400 malformed_request
    ├── SignatureRejected            401 invalid_signature
    │   └── HandshakeRefused         401, 403 or 404, as its sender demands
    ├── MalformedJson                400 malformed_json
    ├── IpNotAllowed                 403 ip_not_allowed
    ├── UnknownProvider              404 unknown_provider
    ├── MethodNotAllowed             405 method_not_allowed
    ├── RequestTimeout               408 request_timeout
    ├── BodyTooLarge                 413 body_too_large
    ├── UnsupportedMediaType         415 unsupported_media_type
    ├── SchemaMismatch               422 schema_mismatch
    ├── RateLimited                  429 rate_limited, retryable
    ├── HeadersTooLarge              431 headers_too_large
    ├── Internal                     500 internal               a bug, and only a bug
    └── Unavailable                  503, retryable: every transient cause of ours
        ├── InFlight                     in_flight
        ├── BrokerUnavailable            broker_unavailable
        ├── DedupeUnavailable            dedupe_unavailable
        ├── KeyUnavailable               key_unavailable
        ├── ConfirmationFailed           confirmation_failed
        ├── Overloaded                   overloaded
        └── ShuttingDown                 shutting_down

A rejection is raised where the reason is known, and turned into HTTP in one place (:mod:`gateway.receive.responses`).

The module has slightly more than 200 lines because the whole tree is to be seen in one place.
"""

from __future__ import annotations

from enum import StrEnum

from gateway.signatures.rejections import MalformedRequest, Rejection, SignatureRejected


class MalformedJson(Rejection):
    """Raised when the verified body is not JSON (RFC 8259), or is nested deeper than any event."""

    status = 400
    reason = "malformed_json"


class IpNotAllowed(Rejection):
    """Raised when a request comes from an address outside the provider's ``allow_ips``."""

    status = 403
    reason = "ip_not_allowed"


class UnknownProvider(Rejection):
    """Raised when the path names no configured provider."""

    status = 404
    reason = "unknown_provider"


class MethodNotAllowed(Rejection):
    """Raised when the method is neither POST nor used by a handshake of the provider.

    Attributes:
        allowed: The methods that the provider may use.
    """

    status = 405
    reason = "method_not_allowed"

    def __init__(self, *allowed: str) -> None:
        super().__init__()
        self.allowed = ("POST", *allowed)


class RequestTimeout(Rejection):
    """Raised when the body did not arrive within the deadline."""

    status = 408
    reason = "request_timeout"


class BodyTooLarge(Rejection):
    """Raised when the body, or its stated length, exceeds the limit."""

    status = 413
    reason = "body_too_large"


class UnsupportedMediaType(Rejection):
    """Raised when the adapter does not read the body's media type, charset or encoding."""

    status = 415
    reason = "unsupported_media_type"


class SchemaMismatch(Rejection):
    """Raised when a genuine event violates its schema and the provider's setting is to reject."""

    status = 422
    reason = "schema_mismatch"


class RateLimited(Rejection):
    """Raised when a provider exceeds its ``rate_limit``, or repeats handshakes too often."""

    status = 429
    reason = "rate_limited"
    retryable = True


class HeadersTooLarge(Rejection):
    """Raised when there are more header fields, or larger ones, than any provider sends."""

    status = 431
    reason = "headers_too_large"


class Internal(Rejection):
    """Raised for a bug in the gateway."""

    status = 500
    reason = "internal"
    retryable = True


class Unavailable(Rejection):
    """Raised for a transient fault on our side; the provider should retry."""

    status = 503
    retryable = True


class InFlight(Unavailable):
    """Raised when another attempt at the same event is still under way after the wait for it."""

    reason = "in_flight"


class BrokerUnavailable(Unavailable):
    """Raised when the broker did not confirm the event."""

    reason = "broker_unavailable"


class DedupeUnavailable(Unavailable):
    """Raised when the deduplication store does not answer."""

    reason = "dedupe_unavailable"


class KeyUnavailable(Unavailable):
    """Raised when the provider's public key could not be fetched, which proves nothing."""

    reason = "key_unavailable"


class ConfirmationFailed(Unavailable):
    """Raised when the URL that confirms a subscription did not respond as it should."""

    reason = "confirmation_failed"


class Overloaded(Unavailable):
    """Raised for too many connections, requests or buffered bytes, or a missed deadline."""

    reason = "overloaded"


class ShuttingDown(Unavailable):
    """Raised when a request arrives after the gateway has begun to shut down."""

    reason = "shutting_down"


REJECTIONS: tuple[type[Rejection], ...] = (
    MalformedRequest,
    MalformedJson,
    SignatureRejected,
    IpNotAllowed,
    UnknownProvider,
    MethodNotAllowed,
    RequestTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    SchemaMismatch,
    RateLimited,
    HeadersTooLarge,
    Internal,
    InFlight,
    BrokerUnavailable,
    DedupeUnavailable,
    KeyUnavailable,
    ConfirmationFailed,
    Overloaded,
    ShuttingDown,
)
"""Every rejection, in the order of the documentation."""


class Outcome(StrEnum):
    """The outcomes of a request that are not rejections."""

    __hash__ = (
        str.__hash__
    )  # equal to that of Enum, which is a function in Python; each event looks up several tables

    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    HANDSHAKE = "handshake"


CLIENT_DISCONNECTED = "client_disconnected"
"""The outcome of a request whose client left before the body was complete; no response is sent."""

OUTCOMES: tuple[str, ...] = (*Outcome, *(rejection.reason for rejection in REJECTIONS), CLIENT_DISCONNECTED)
"""Every outcome of a request: the closed set of values of a label of the metrics."""


class OperatorError(Exception):
    """Raised for a mistake that the operator can correct; the text says where, and how."""

    exit_code = 1


class AddressInUse(OperatorError):
    """Raised when another program listens where the gateway should.

    Attributes:
        bind: The address, ``host:port``.
    """

    def __init__(self, bind: str, text: str) -> None:
        super().__init__(text)
        self.bind = bind


class QueueNotFound(OperatorError):
    """Raised when a queue does not exist.

    Attributes:
        queue: Its name.
    """

    def __init__(self, queue: str, text: str = "") -> None:
        super().__init__(text or f"there is no queue {queue}")
        self.queue = queue


class EventNotFound(OperatorError):
    """Raised when no event has the id that was asked for, where it was looked for."""


class ConfigurationError(OperatorError):
    """Raised when the configuration cannot be used; each argument is a problem and its place."""

    exit_code = 3

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.args)
