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

Raised where the reason is known, turned into HTTP in one place (:mod:`gateway.receive.responses`).
"""

from __future__ import annotations

from enum import StrEnum

from gateway.signatures.rejections import MalformedRequest, Rejection, SignatureRejected


class MalformedJson(Rejection):
    """The verified body is not JSON as RFC 8259 has it, or nests deeper than any event does."""

    status = 400
    reason = "malformed_json"


class IpNotAllowed(Rejection):
    """The provider has ``allow_ips``, and the request comes from elsewhere."""

    status = 403
    reason = "ip_not_allowed"


class UnknownProvider(Rejection):
    """The path names no configured provider."""

    status = 404
    reason = "unknown_provider"


class MethodNotAllowed(Rejection):
    """Webhooks are POSTed, and few senders greet by another method; ``allowed`` are those of the provider."""

    status = 405
    reason = "method_not_allowed"

    def __init__(self, *allowed: str) -> None:
        super().__init__()
        self.allowed = ("POST", *allowed)


class RequestTimeout(Rejection):
    """The body did not arrive within the deadline."""

    status = 408
    reason = "request_timeout"


class BodyTooLarge(Rejection):
    """The body is larger than the limit, or says that it will be."""

    status = 413
    reason = "body_too_large"


class UnsupportedMediaType(Rejection):
    """The body is in a media type, charset or encoding that the adapter does not read."""

    status = 415
    reason = "unsupported_media_type"


class SchemaMismatch(Rejection):
    """The event is genuine but against its schema, and its provider is set to reject such events."""

    status = 422
    reason = "schema_mismatch"


class RateLimited(Rejection):
    """The provider has sent more verified events than its ``rate_limit``, or more handshakes than any has reason for."""

    status = 429
    reason = "rate_limited"
    retryable = True


class HeadersTooLarge(Rejection):
    """There are more header fields, or larger ones, than any sender has reason for."""

    status = 431
    reason = "headers_too_large"


class Internal(Rejection):
    """A bug of ours."""

    status = 500
    reason = "internal"
    retryable = True


class Unavailable(Rejection):
    """A transient cause of ours; the sender shall repeat the delivery."""

    status = 503
    retryable = True


class InFlight(Unavailable):
    """The same event is being handled right now and did not end within the time that we wait."""

    reason = "in_flight"


class BrokerUnavailable(Unavailable):
    """The broker did not confirm the event."""

    reason = "broker_unavailable"


class DedupeUnavailable(Unavailable):
    """The claim store does not answer."""

    reason = "dedupe_unavailable"


class KeyUnavailable(Unavailable):
    """The key that the sender signs with could not be fetched; neither a proof nor a reason to refuse."""

    reason = "key_unavailable"


class ConfirmationFailed(Unavailable):
    """The address by which a subscription is confirmed did not answer as it should."""

    reason = "confirmation_failed"


class Overloaded(Unavailable):
    """There are more connections, requests or bytes than we are to hold, or a request took too long here."""

    reason = "overloaded"


class ShuttingDown(Unavailable):
    """The gateway is ending, and this request came after the signal."""

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
"""Every way to be refused, in the order of the documentation."""


class Outcome(StrEnum):
    """The outcomes of a request that are not rejections."""

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
    """A mistake that whoever runs the program can mend; its text says where it is and what to do."""

    exit_code = 1


class ConfigurationError(OperatorError):
    """The configuration cannot be used; each argument is one problem, with its place."""

    exit_code = 3

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.args)
