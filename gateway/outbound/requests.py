"""The request of an attempt: the same body each time, signed at the moment of the attempt."""

from __future__ import annotations

from gateway import __version__
from gateway.outbound.client import OutboundRequest
from gateway.outbound.envelope import NoSuchFormat
from gateway.outbound.models import Endpoint, Format, OutboundMessage
from gateway.outbound.original import Senders, bundled_sender, make_original
from gateway.outbound.signing import Signer, Unsignable

USER_AGENT = f"webhook-gateway/{__version__}"

_CONTENT_TYPES = {
    Format.JSON: "application/json; charset=utf-8",
    Format.CLOUDEVENTS: "application/cloudevents+json; charset=utf-8",
}


class RequestMaker:
    """Makes the requests to one endpoint, as long as it does not change.

    Args:
        endpoint: The endpoint.
        senders: The adapters for the format `original`.

    Raises:
        ValueError: A secret or key of the endpoint is not in the format of its signature.
    """

    def __init__(self, endpoint: Endpoint, senders: Senders = bundled_sender) -> None:
        self._endpoint = endpoint
        self._senders = senders
        self._signer = (
            None
            if endpoint.format == Format.ORIGINAL
            else Signer(endpoint.signature, endpoint.secrets, endpoint.private_key)
        )
        self._headers = {"user-agent": USER_AGENT, **endpoint.headers}

    def make(self, message: OutboundMessage, now: float) -> OutboundRequest:
        """Return the request for a message, signed at ``now`` (Unix seconds).

        Raises:
            NoSuchFormat: The message has no body of the endpoint's format, or there is nothing to sign with.
        """
        endpoint, body = self._endpoint, message.body
        if body is None:
            raise NoSuchFormat("was forgotten")
        headers = dict(self._headers)
        if message.traceparent:
            headers["traceparent"] = message.traceparent
        if self._signer is None:
            original = make_original(
                body, endpoint.url, self._secret(now), now, self._senders, endpoint.sign_as
            )
            return OutboundRequest(original.url, headers | original.headers, original.body, endpoint.timeout)
        headers["content-type"] = _CONTENT_TYPES[endpoint.format]
        try:
            headers |= self._signer.sign(message.id, now, body)
        except Unsignable:
            raise NoSuchFormat("cannot be signed, since the endpoint has no secret that is valid") from None
        return OutboundRequest(endpoint.url, headers, body, endpoint.timeout)

    def _secret(self, now: float) -> str:
        """Return the newest secret that is valid: providers sign with one."""
        for secret in self._endpoint.secrets:
            if secret.expires_at is None or secret.expires_at > now:
                return secret.value
        raise NoSuchFormat("cannot be signed, since the endpoint has no secret that is valid")
