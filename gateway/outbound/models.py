"""What the way out keeps: endpoints, their secrets, messages, deliveries and attempts.

Moments are Unix seconds, spans are seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

SHARDS = 256
"""Each endpoint belongs to one of so many shards, and each shard to one process at a time."""


class Format(StrEnum):
    """What a request to an endpoint carries."""

    JSON = "json"
    """The CloudEvent, as `application/json`."""
    CLOUDEVENTS = "cloudevents"
    """The same bytes, as `application/cloudevents+json`."""
    ORIGINAL = "original"
    """The provider's body and content type, signed anew as the provider signs. For events of providers alone."""


class SignatureKind(StrEnum):
    """How requests to an endpoint are signed, unless its format is `original`."""

    STANDARD = "standard"
    """`v1` of Standard Webhooks, one signature for each secret that has not expired."""
    ED25519 = "ed25519"
    """`v1a`, after the signatures of `standard`."""
    ED25519_ONLY = "ed25519_only"
    """`v1a` alone."""
    TIMESTAMP = "timestamp"
    """`X-Webhook-Signature: t=<unix>,v1=<hex>`, as Stripe signs."""


class EndpointState(StrEnum):
    """Whether an endpoint is sent anything."""

    ENABLED = "enabled"
    PAUSED = "paused"
    """By a person. Deliveries stay pending and wait."""
    DISABLED = "disabled"
    """By a person, by a 410 response, or after three days without a success. New deliveries are held."""


class DeliveryState(StrEnum):
    """What has become of a delivery."""

    PENDING = "pending"
    HELD = "held"
    """Accepted while its endpoint was disabled or full; waits for somebody to decide."""
    DELIVERED = "delivered"
    DEAD = "dead"
    """All attempts failed, or it became too old."""
    CANCELLED = "cancelled"


class Trigger(StrEnum):
    """Why an attempt was made."""

    AUTO = "auto"
    MANUAL = "manual"
    REPLAY = "replay"
    TEST = "test"


class Subscription(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The events that an endpoint wants. Of several subscriptions of an endpoint the first that matches decides.

    Attributes:
        events: Patterns over routing keys, such as `stripe.invoice.*` or `billing-agent.agent.run.#`; any of them.
        where: Conditions on the CloudEvent: alternatives, of each of which all must hold. The keys are JSON pointers, the values map
            an operator to its operand: `{"/data/status": {"in": ["failed"]}}`. Empty matches everything.
    """

    events: tuple[str, ...]
    where: tuple[dict[str, dict[str, Any]], ...] = ()


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret of an endpoint.

    Attributes:
        id: `sec_` and a ULID; of a configured endpoint `sec_` and the position.
        value: The secret as its owner knows it, such as `whsec_…`.
        created_at: When it was added.
        expires_at: When it stops signing; None if never.
    """

    id: str
    value: str
    created_at: float
    expires_at: float | None = None

    def __repr__(self) -> str:
        """Return a text without the secret."""
        return f"Secret(id={self.id!r})"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An address that wants events, as it was configured or made through the API.

    Attributes:
        id: `ep_` and a ULID; of a configured endpoint `ep_` and its name.
        name: The name in the configuration, or the one given through the API; may be empty.
        tenant: A label, which limits what tokens of that tenant see.
        url: Where requests go.
        subscriptions: What it wants, in order.
        is_configured: Whether it is in the configuration file, and so cannot be changed through the API.
        description: For people.
        headers: Further headers of each request.
        format: What a request carries.
        signature: How a request is signed.
        sign_as: With the format `original`, the adapter whose signature is made; empty for the adapter of each event.
        secrets: The secrets, newest first; at most five.
        private_key: The Ed25519 seed of 32 bytes; empty unless the signature needs it.
        rate: Attempts a second; None for no limit.
        concurrency: Attempts at a time, 1 to 64.
        order: `none`, `subject`, or a JSON pointer into the CloudEvent: deliveries with the same value go one after another.
        on_dead: With an order, whether the next delivery of a key goes on after a dead one: `skip` or `hold`.
        timeout: Seconds for one attempt, 1 to 30.
        give_up_on: Statuses that end a delivery at once.
        max_pending: Deliveries that wait, beyond which new ones are held.
        is_verified: Whether its owner has proved that they want requests there.
        is_by_tenant: Whether a tenant's token made it: private networks stay shut to it, and only tests are sent to it
            until it is verified.
        created_at: When it was made.
        changed_at: When it was last changed.
        version: Counts its changes, from 1; the `ETag` of the API.
    """

    id: str
    name: str = ""
    tenant: str = "default"
    url: str
    subscriptions: tuple[Subscription, ...]
    is_configured: bool = False
    description: str = ""
    headers: dict[str, str] = {}
    format: Format = Format.JSON
    signature: SignatureKind = SignatureKind.STANDARD
    sign_as: str = ""
    secrets: tuple[Secret, ...] = ()
    private_key: bytes = b""
    rate: float | None = None
    concurrency: int = 8
    order: str = "none"
    on_dead: str = "skip"
    timeout: float = 15.0
    give_up_on: tuple[int, ...] = ()
    max_pending: int = 100_000
    is_verified: bool = False
    is_by_tenant: bool = False
    created_at: float = 0.0
    changed_at: float = 0.0
    version: int = 1

    def __repr__(self) -> str:
        """Return a text without secrets; the URL may hold one too."""
        return f"Endpoint(id={self.id!r}, version={self.version})"


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an endpoint's behaviour; changed by its owner, and by people who enable or pause it.

    Attributes:
        endpoint: The endpoint's id.
        state: Whether it is sent anything.
        reason: Why it is disabled: `manual`, `gone` (410), `asked` (webhook-delivery: disable) or `failing`; else empty.
        failures: Failures in a row.
        failing_since: The first of them; None if the last attempt was a success.
        succeeded_at: The last success; None if there was none.
        closed_until: Until when the circuit is open, or the receiver asked for a pause; None if it is closed.
        openings: How often the circuit opened in a row, which decides for how long.
        concurrency: The attempts at a time that the receiver takes at the moment.
        told: The notices that its owner has got and that still hold, such as `failing` or `slow`.
    """

    endpoint: str
    state: EndpointState = EndpointState.ENABLED
    reason: str = ""
    failures: int = 0
    failing_since: float | None = None
    succeeded_at: float | None = None
    closed_until: float | None = None
    openings: int = 0
    concurrency: int = 1
    told: tuple[str, ...] = ()


class OutboundMessage(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted event. It never changes.

    Attributes:
        id: `msg_` and 26 characters of base32 of SHA-256 of tenant, source and event id; see :func:`message_id`.
        tenant: The label of the event.
        key: The routing key, which patterns match.
        event_id: The CloudEvents `id`.
        source: The CloudEvents `source`.
        type: The CloudEvents `type`.
        provider: The provider of an inbound event; empty for an event of an agent.
        subject: The CloudEvents `subject`; may be empty.
        sequence: The CloudEvents `sequence`; may be empty.
        traceparent: The W3C trace context; may be empty.
        accepted_at: When it was accepted.
        body: The CloudEvent in JSON, the bytes of every attempt; None once somebody had them forgotten.
    """

    id: str
    tenant: str = "default"
    key: str
    event_id: str
    source: str
    type: str
    provider: str = ""
    subject: str = ""
    sequence: str = ""
    traceparent: str = ""
    accepted_at: float
    body: bytes | None


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message on its way to an endpoint.

    Attributes:
        id: `dlv_` and a ULID, which orders the deliveries of an endpoint as they were accepted.
        endpoint: The endpoint's id.
        message: The message's id.
        state: What has become of it.
        due_at: When the next attempt may begin, if it is pending.
        attempts: The failed attempts of this round.
        round: How often somebody had it delivered anew, from 0.
        trigger: Why the next attempt is made.
        order_key: Deliveries of an endpoint with the same key go one after another; empty if they need not.
        created_at: When it was accepted.
        ended_at: When it was delivered, died or was cancelled; None before.
        status: The HTTP status of the last attempt; None if there was no response.
        outcome: How the last attempt ended; empty before the first. See :mod:`gateway.outbound.outcomes`.
        made: The attempts of all rounds, those that were interrupted too. The next one has the number after it.
        operation: The bulk replay that it belongs to; empty if none.
        retries: Whether an attempt of this round that fails is followed by another.
        webhook_id: The `webhook-id` of its requests since a replay gave it a new one; empty for the message's id.
    """

    id: str
    endpoint: str
    message: str
    state: DeliveryState = DeliveryState.PENDING
    due_at: float
    attempts: int = 0
    round: int = 0
    trigger: Trigger = Trigger.AUTO
    order_key: str = ""
    created_at: float
    ended_at: float | None = None
    status: int | None = None
    outcome: str = ""
    made: int = 0
    operation: str = ""
    retries: bool = True
    webhook_id: str = ""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request to an endpoint.

    Attributes:
        id: `att_` and a ULID.
        delivery: The delivery's id.
        endpoint: The endpoint's id.
        message: The message's id.
        trigger: Why it was made.
        number: Its number within all rounds, from 1.
        at: When it began.
        outcome: How it ended: `delivered`, or a word of :mod:`gateway.outbound.outcomes`.
        status: The HTTP status; None if there was none.
        ms: How long it took, in milliseconds.
        phases: Milliseconds of each phase that was reached: `dns`, `connect`, `tls`, `head`.
        address: The address that was connected to; empty if none.
        excerpt: The first 1 KiB of the response's body, as it came; hostile.
        retry_after: Seconds that the receiver asked to be spared; None if it did not.
        next_at: When the next attempt is due; None if there is none.
    """

    id: str
    delivery: str
    endpoint: str
    message: str
    trigger: Trigger
    number: int
    at: float
    outcome: str
    status: int | None = None
    ms: float = 0.0
    phases: dict[str, float] = {}
    address: str = ""
    excerpt: bytes = b""
    retry_after: float | None = None
    next_at: float | None = None


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A bulk replay.

    Attributes:
        id: `op_` and a ULID.
        endpoint: The endpoint's id.
        created_at: When somebody asked for it.
        actor: Who asked.
        state: `running`, `done` or `cancelled`.
        total: The deliveries that it covers.
        done: Those that were delivered.
        failed: Those that died again.
    """

    id: str
    endpoint: str
    created_at: float
    actor: str
    state: str
    total: int
    done: int = 0
    failed: int = 0
