"""What goes wrong with a request to the console, as one exception: pages show it, and the API answers problem+json.

RFC 9457 has the form. `type` is a link to the page of the documentation that explains the `reason`; a program decides by
the `reason`.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.responses import Response

DOCUMENTATION = "https://webhook-gateway.github.io/webhook-gateway/reference/api/#"
"""The page that explains each reason."""

MEDIA_TYPE = "application/problem+json"

REASONS: dict[str, tuple[int, str]] = {
    "malformed_request": (400, "The request cannot be understood"),
    "malformed_json": (400, "The body is not JSON"),
    "invalid_query": (400, "The query cannot be understood"),
    "invalid_cursor": (400, "The cursor was not made for this list"),
    "not_authenticated": (401, "Nobody is logged in"),
    "forbidden": (403, "The role does not allow it"),
    "cross_site": (403, "Another site caused the request"),
    "not_found": (404, "There is no such thing"),
    "method_not_allowed": (405, "The method does not exist here"),
    "request_timeout": (408, "The body did not arrive in time"),
    "conflict": (409, "Something else is under way"),
    "endpoint_configured": (409, "The endpoint is in the configuration file"),
    "in_flight": (409, "An attempt is under way"),
    "limit_reached": (409, "There are as many as there may be"),
    "not_verified": (409, "The endpoint's owner has not proved that they want requests"),
    "secret_already_shown": (409, "A secret is shown once"),
    "test_failed": (409, "The endpoint does not take the test event"),
    "data_gone": (410, "The event's body was forgotten"),
    "version_changed": (412, "Somebody else has changed it meanwhile"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body is not of a type that is read here"),
    "host_not_allowed": (421, "The console does not answer to this name"),
    "invalid_body": (422, "The body does not fit"),
    "secret_invalid": (422, "The secret cannot be used"),
    "url_refused": (422, "Endpoints must not have this address"),
    "operation_failed": (422, "It could not be done"),
    "idempotency_key_reused": (422, "The Idempotency-Key belongs to another request"),
    "rate_limited": (429, "Too many attempts"),
    "internal": (500, "A bug in the gateway"),
    "overloaded": (503, "Too many at a time"),
    "journal_unavailable": (503, "The journal cannot be read"),
    "storage_unavailable": (503, "The console's own database cannot be used"),
    "deliveries_unavailable": (503, "The database of endpoints and deliveries cannot be used"),
    "broker_unavailable": (503, "The broker cannot be reached"),
}
"""Each reason with its status and title, in the order of the documentation."""


class Problem(Exception):
    """Raised when a request to the console is not answered as it was asked.

    Args:
        reason: One of :data:`REASONS`.
        detail: What happened, and what to do, in a sentence; may quote the request.
        headers: Further fields of the response.

    Attributes:
        reason: The reason.
        status: The HTTP status.
        title: The reason in words.
        detail: As above.
        headers: As above.
    """

    def __init__(self, reason: str, detail: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail or reason)
        self.reason = reason
        self.status, self.title = REASONS[reason]
        self.detail = detail
        self.headers = dict(headers or {})


class ProblemDetails(msgspec.Struct, omit_defaults=True):
    """The body of every answer of the API that is an error (RFC 9457).

    Attributes:
        type: The address of the reason's documentation.
        title: The reason in words.
        status: The HTTP status.
        reason: What a program decides by.
        detail: What happened this time.
        instance: The path of the request.
    """

    type: str
    title: str
    status: int
    reason: str
    detail: str = ""
    instance: str = ""


def details_of(problem: Problem, instance: str) -> ProblemDetails:
    """Return the body of an answer for a problem of the request for the path ``instance``."""
    link = DOCUMENTATION + problem.reason
    return ProblemDetails(link, problem.title, problem.status, problem.reason, problem.detail, instance)


def problem_response(problem: Problem, instance: str) -> Response:
    """Return the answer of the API for a problem."""
    content = msgspec.json.encode(details_of(problem, instance))
    return Response(content, problem.status, problem.headers, MEDIA_TYPE)
