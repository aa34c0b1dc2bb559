"""What a sender is answered: the one place where outcomes and rejections become HTTP.

Bodies are small JSON objects that echo nothing of the request but, once the sender is verified, the event id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from gateway.adapters.handshake import RefusalSpec, SuccessSpec
from gateway.adapters.handshake_replies import HandshakeReply
from gateway.errors import MethodNotAllowed, Outcome, Unavailable
from gateway.signatures.extractors import most_specific
from gateway.signatures.rejections import Rejection, SignatureRejected

Fields = tuple[tuple[bytes, bytes], ...]

NO_CONTENT = 204
"""The status of answers that have no body, and tell no length."""

RETRY_AFTER = 5
"""Seconds after which a sender is asked to try again."""


_STATUS = {
    Outcome.ACCEPTED: 202,
    Outcome.QUARANTINED: 202,
    Outcome.DUPLICATE: 200,
    Outcome.IGNORED: 200,
    Outcome.HANDSHAKE: 200,
}
"""The answers to senders of which any 2xx is known to count; to the others each of these is a 200."""


class Response:
    """An HTTP answer, ready to be sent.

    Attributes:
        status: the HTTP status.
        outcome: one of :data:`gateway.errors.OUTCOMES`.
        body: its bytes, for webhooks a JSON object.
        fields: the header fields, but for the length of the body.
    """

    __slots__ = ("body", "fields", "outcome", "status")

    def __init__(self, status: int, outcome: str, body: bytes, fields: Fields) -> None:
        self.status = status
        self.outcome = outcome
        self.body = body
        self.fields = fields


_JSON = (b"content-type", b"application/json")
_RETRY_AFTER = (b"retry-after", b"%d" % RETRY_AFTER)

_HEAD = {outcome: b'{"status":"%b","id":' % outcome.encode() for outcome in Outcome}


class _Demanded(NamedTuple):
    """An answer that a sender demands for all that went well.

    Attributes:
        status: the HTTP status.
        body: its bytes.
        fields: the header fields, but for the length of the body.
    """

    status: int
    body: bytes
    fields: Fields


class Success:
    """The answers to the verified events of one sender: ours, or those that it demands.

    Args:
        demanded: what it demands, for all events or by event type.
        accepts_any_2xx: whether its documentation says that any 2xx is a success; 202 may count as a failure elsewhere.
    """

    def __init__(
        self, demanded: SuccessSpec | Mapping[str, SuccessSpec] | None = None, *, accepts_any_2xx: bool = True
    ) -> None:
        by_type = {"*": demanded} if isinstance(demanded, SuccessSpec) else demanded or {}
        self._by_type = {
            event_type: _Demanded(
                spec.status, spec.body.encode(), ((b"content-type", spec.content_type.encode()),)
            )
            for event_type, spec in by_type.items()
        }
        self._default = self._by_type.pop("*", None)
        self._status = _STATUS if accepts_any_2xx else dict.fromkeys(_STATUS, 200)

    def answer(self, outcome: Outcome, event_id: str, event_type: str | None) -> Response:
        """Return the answer to an event, or to a delivery of several, which has no type."""
        demanded = self._default
        if self._by_type and event_type:
            demanded = most_specific(self._by_type, event_type) or demanded
        if demanded:
            return Response(demanded.status, outcome, demanded.body, demanded.fields)
        return Response(
            self._status[outcome], outcome, _HEAD[outcome] + orjson.dumps(event_id) + b"}", (_JSON,)
        )


def greet(greeting: HandshakeReply) -> Response:
    """The answer to a handshake, as its sender expects it."""
    return Response(greeting.status, Outcome.HANDSHAKE, greeting.body, greeting.fields)


def refuse(
    rejection: Rejection, event_id: str | None = None, unproven: RefusalSpec | None = None
) -> Response:
    """The answer to a refused request; all of one reason are the same but for the id.

    ``unproven`` is what the sender wants to see where nobody is proven to be it.
    """
    if unproven and isinstance(rejection, SignatureRejected):
        content_type = ((b"content-type", unproven.content_type.encode()),) if unproven.body else ()
        return Response(rejection.status, rejection.reason, unproven.body.encode(), content_type)
    body = {"status": _status_word(rejection), "reason": rejection.reason}
    if event_id is not None:
        body["id"] = event_id
    fields: Fields = (_JSON,)
    if rejection.retryable:
        fields += (_RETRY_AFTER,)
    if isinstance(rejection, MethodNotAllowed):
        fields += ((b"allow", ", ".join(rejection.allowed).encode()),)
    return Response(rejection.status, rejection.reason, orjson.dumps(body), fields)


def _status_word(rejection: Rejection) -> str:
    if isinstance(rejection, Unavailable):
        return "unavailable"
    return "error" if rejection.status >= 500 else "rejected"
