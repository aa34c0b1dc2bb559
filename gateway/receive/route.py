"""One configured provider: its adapter bound to its secrets, its schemas, and the choices of its operator."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.adapters.adapter import BoundAdapter
from gateway.adapters.handshake_replies import HandshakeReply
from gateway.claims.event_key import EventKeys
from gateway.events.body import Reader
from gateway.events.envelope import Envelope
from gateway.events.schemas import AdapterSchemas
from gateway.observability.counters import ProviderMetrics
from gateway.receive.access import AccessControl
from gateway.receive.enrolment import Enrolment
from gateway.receive.responses import Success
from gateway.signatures.rejections import HandshakeRefused, Rejection
from gateway.signatures.request import RawRequest, VerifiedRequest
from gateway.transport.topic_patterns import matches


@dataclass(frozen=True, slots=True)
class Route:
    """What ``POST /webhooks/<name>`` leads to.

    Attributes:
        name: its key in the configuration.
        adapter: who may send here, and what they send.
        reader: reads their bodies.
        schemas: what its events are held to.
        envelope: makes its events.
        keys: tells its events apart.
        metrics: its counters.
        events: patterns of the event types to publish, as routing keys spell them; empty for all.
        rejects_invalid: whether a genuine event that is against its schema is refused, not quarantined.
        max_body: the largest body, in bytes.
        deadline: seconds from the head of a request to its answer.
        body_deadline: seconds of them for the body to arrive.
        longest_wait: seconds of them for another attempt at the same event to end.
        admission: who is let in, and how often.
        public_url: its address as senders see it, where that differs from what arrives here.
        enrolment: takes the secret that its sender tells; None while it is not to tell one.
        success: the answers to what went well.
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

    def answer_unsigned(self, request: RawRequest, client: str) -> HandshakeReply | None:
        """Answer a handshake that is not signed; None if ``request`` is to be verified as a delivery.

        Raises:
            RateLimited: ``client`` has sent too many that prove nothing.
            HandshakeRefused: it is none as its sender makes them, or tells a secret that is not waited for.
            MalformedRequest: something that it depends on stands there twice.
        """
        greeter = self.adapter.handshake_responder
        try:
            greeting = greeter.answer_unsigned(request) if greeter else None
        except Rejection:
            self.admission.note_handshake(client)
            raise
        if greeting is None:
            return None
        if greeting.is_proven:
            self.admission.note_proven_handshake()
        else:
            self.admission.note_handshake(client)
        return self._welcome(greeting)

    def answer_signed(self, request: VerifiedRequest, payload: object) -> HandshakeReply | None:
        """Answer a handshake that is signed; None if ``request`` is a delivery.

        Raises:
            RateLimited: there were too many.
            HandshakeRefused: it is none as its sender makes them, or tells a secret that is not waited for.
            MalformedRequest: something that it depends on stands there twice.
        """
        greeter = self.adapter.handshake_responder
        greeting = greeter.answer_signed(request, payload) if greeter else None
        if greeting is None:
            return None
        self.admission.note_proven_handshake()
        return self._welcome(greeting)

    def _welcome(self, greeting: HandshakeReply) -> HandshakeReply:
        if greeting.enrol is not None:
            if self.enrolment is None:
                raise HandshakeRefused("enrolment_closed")
            self.enrolment.take(greeting.enrol)
        return greeting

    def wants(self, event_type: str) -> bool:
        """Whether events of this type, spelt as in routing keys, are to be published."""
        return not self.events or any(matches(pattern, event_type) for pattern in self.events)
