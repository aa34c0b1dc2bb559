"""A route: one configured provider, with its adapter bound to its secrets, its schemas and its limits."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.adapters.adapter import BoundAdapter
from gateway.adapters.handshake import RefusalSpec
from gateway.adapters.handshake_replies import HandshakeReply
from gateway.claims.event_key import EventKeys
from gateway.events.body import Reader
from gateway.events.envelope import Envelope
from gateway.events.schemas import AdapterSchemas
from gateway.observability.counters import ProviderMetrics
from gateway.receive.access import AccessControl
from gateway.receive.credentials import CredentialMask
from gateway.receive.handshakes import Enrolment
from gateway.receive.ignored_types import IgnoredTypes
from gateway.receive.responses import Success
from gateway.signatures.rejections import HandshakeRefused, Rejection
from gateway.signatures.request import RawRequest, VerifiedRequest
from gateway.transport.topic_patterns import matches


@dataclass(frozen=True, slots=True)
class Route:
    """What ``POST /webhooks/<name>`` leads to.

    Attributes:
        name: the provider's name in the configuration.
        adapter: verifies the provider's requests and identifies its events.
        reader: reads their bodies.
        schemas: validate its events.
        envelope: makes CloudEvents of them.
        keys: make the keys by which its events are deduplicated.
        metrics: its counters.
        events: patterns of the event types to publish, spelled as in routing keys; empty for all.
        rejects_invalid: whether a genuine event that breaks its schema is refused rather than quarantined.
        max_body: bytes of the largest body.
        deadline: seconds from the head of a request to its response.
        body_deadline: seconds from the head of a request to the end of its body.
        longest_wait: seconds to wait for another attempt at the same event.
        admission: the provider's access control.
        public_url: its address as the provider calls it, if that differs from what arrives here.
        enrolment: keeps the secret that the provider sends in a handshake; None while it may not send one.
        success: makes the responses to verified requests.
        refusal: the response that the provider prescribes for a request that is not proven; None for ours.
        ignored: reports the types of events that are not published.
        mask: masks the credentials in refused requests that are kept.
        paths: further paths that lead here.
    """

    name: str
    adapter: BoundAdapter
    reader: Reader
    schemas: AdapterSchemas
    envelope: Envelope
    keys: EventKeys
    metrics: ProviderMetrics
    events: tuple[str, ...]
    rejects_invalid: bool
    max_body: int
    deadline: float
    body_deadline: float
    longest_wait: float
    admission: AccessControl
    public_url: str | None
    enrolment: Enrolment | None
    success: Success
    refusal: RefusalSpec | None
    ignored: IgnoredTypes
    mask: CredentialMask
    paths: tuple[bytes, ...] = ()

    def answer_unsigned(self, request: RawRequest, client: str) -> HandshakeReply | None:
        """Answer a handshake that is not signed; return None if the request has to be verified.

        Raises:
            RateLimited: ``client`` has sent too many handshakes that prove nothing.
            HandshakeRefused: the handshake is not as the provider makes it, or carries a secret while none is expected.
            MalformedRequest: a part that the answer depends on occurs twice.
        """
        responder = self.adapter.handshake_responder
        try:
            reply = responder.answer_unsigned(request) if responder else None
        except Rejection:
            self.admission.count_handshake(client)
            raise
        if reply is None:
            return None
        if reply.is_proven:
            self.admission.count_proven_handshake()
        else:
            self.admission.count_handshake(client)
        return self._accept_handshake(reply)

    def answer_signed(self, request: VerifiedRequest, payload: object) -> HandshakeReply | None:
        """Answer a handshake that is signed; return None if the request carries events.

        Raises:
            RateLimited: the provider has sent too many.
            HandshakeRefused: the handshake is not as the provider makes it, or carries a secret while none is expected.
            MalformedRequest: a part that the answer depends on occurs twice.
        """
        responder = self.adapter.handshake_responder
        reply = responder.answer_signed(request, payload) if responder else None
        if reply is None:
            return None
        self.admission.count_proven_handshake()
        return self._accept_handshake(reply)

    def _accept_handshake(self, reply: HandshakeReply) -> HandshakeReply:
        if reply.enrol is not None:
            if self.enrolment is None:
                raise HandshakeRefused("enrolment_closed")
            self.enrolment.keep(reply.enrol)
        return reply

    def accepts(self, event_type: str) -> bool:
        """Return whether events of this type, spelled as in routing keys, are published; report the first that is not."""
        if not self.events or any(matches(pattern, event_type) for pattern in self.events):
            return True
        self.ignored.note(event_type)
        return False
