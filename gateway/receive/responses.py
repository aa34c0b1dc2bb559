"""Responses: the one place where outcomes and rejections become HTTP.

Bodies are small JSON objects. They echo nothing of the request but the event id, once the request is verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import orjson

from gateway.adapters.handshake import RefusalSpec, SuccessSpec
from gateway.adapters.handshake_replies import HandshakeReply
from gateway.errors import MethodNotAllowed, Outcome, Unavailable
from gateway.signatures.extractors import most_specific
from gateway.signatures.rejections import Rejection, SignatureRejected

Fields = tuple[tuple[bytes, bytes], ...]

NO_CONTENT = 204
"""The status of responses that have no body and no content length."""

RETRY_AFTER = 5
"""Seconds after which a provider is asked to retry."""


_STATUS = {
    Outcome.ACCEPTED: 202,
    Outcome.QUARANTINED: 202,
    Outcome.DUPLICATE: 200,
    Outcome.IGNORED: 200,
    Outcome.HANDSHAKE: 200,
}
"""The status for providers that take any 2xx for a success; the others get a 200 for each of these."""


class Response(msgspec.Struct, eq=False):
    """An HTTP response, ready to be sent.

    Attributes:
        status: the HTTP status.
        outcome: one of :data:`gateway.errors.OUTCOMES`.
        body: its bytes; a JSON object for webhooks.
        fields: the header fields without the content length.
    """

    status: int
    outcome: str
    body: bytes
    fields: Fields


_JSON = (b"content-type", b"application/json")
_RETRY_AFTER = (b"retry-after", b"%d" % RETRY_AFTER)

_HEAD = {outcome: b'{"status":"%b","id":' % outcome.encode() for outcome in Outcome}


class _Prescribed(NamedTuple):
    """The response that a provider prescribes for success.

    Attributes:
        status: the HTTP status.
        body: its bytes.
        fields: the header fields without the content length.
    """

    status: int
    body: bytes
    fields: Fields


class Success:
    """Makes the responses to verified events of one provider: ours, or those that it prescribes.

    Args:
        prescribed: what it prescribes, for all events or by event type.
        accepts_any_2xx: whether its documentation says that any 2xx is a success; others may take a 202 for a failure.
    """

    def __init__(
        self,
        prescribed: SuccessSpec | Mapping[str, SuccessSpec] | None = None,
        *,
        accepts_any_2xx: bool = True,
    ) -> None:
        by_type = {"*": prescribed} if isinstance(prescribed, SuccessSpec) else prescribed or {}
        self._by_type = {
            event_type: _Prescribed(
                spec.status, spec.body.encode(), ((b"content-type", spec.content_type.encode()),)
            )
            for event_type, spec in by_type.items()
        }
        self._default = self._by_type.pop("*", None)
        self._status = _STATUS if accepts_any_2xx else dict.fromkeys(_STATUS, 200)

    def respond(self, outcome: Outcome, event_id: str, event_type: str | None) -> Response:
        """Return the response to an event, or to a batch, which has no type."""
        prescribed = self._default
        if self._by_type and event_type:
            prescribed = most_specific(self._by_type, event_type) or prescribed
        if prescribed:
            return Response(prescribed.status, outcome, prescribed.body, prescribed.fields)
        return Response(
            self._status[outcome], outcome, _HEAD[outcome] + orjson.dumps(event_id) + b"}", (_JSON,)
        )


def handshake_response(reply: HandshakeReply) -> Response:
    """Return the response to a handshake, as the provider expects it."""
    return Response(reply.status, Outcome.HANDSHAKE, reply.body, reply.fields)


def rejection_response(
    rejection: Rejection, event_id: str | None = None, refusal: RefusalSpec | None = None
) -> Response:
    """Return the response to a refused request; for one reason it is always the same, except for the id.

    ``refusal`` replaces the body of a 401 for providers that prescribe one.
    """
    if refusal and isinstance(rejection, SignatureRejected):
        content_type = ((b"content-type", refusal.content_type.encode()),) if refusal.body else ()
        return Response(rejection.status, rejection.reason, refusal.body.encode(), content_type)
    if event_id is None and type(rejection) is SignatureRejected:
        return _UNPROVEN
    body = {"status": _status_word(rejection), "reason": rejection.reason}
    if event_id is not None:
        body["id"] = event_id
    fields: Fields = (_JSON,)
    if rejection.retryable:
        fields += (_RETRY_AFTER,)
    if isinstance(rejection, MethodNotAllowed):
        fields += ((b"allow", ", ".join(rejection.allowed).encode()),)
    return Response(rejection.status, rejection.reason, orjson.dumps(body), fields)


_UNPROVEN = Response(
    SignatureRejected.status,
    SignatureRejected.reason,
    orjson.dumps({"status": "rejected", "reason": SignatureRejected.reason}),
    (_JSON,),
)
"""The response to a forgery, made once because anybody can ask for it."""


def _status_word(rejection: Rejection) -> str:
    if isinstance(rejection, Unavailable):
        return "unavailable"
    return "error" if rejection.status >= 500 else "rejected"
