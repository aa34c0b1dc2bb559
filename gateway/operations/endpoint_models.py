"""Endpoints as pages, API and commands show them: never with a secret, nor with the value of a header.

The module has slightly more than 200 lines because it is one table of declarations.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from gateway.outbound.circuit import CircuitState, circuit_state
from gateway.outbound.labels import host_of, title_from
from gateway.outbound.models import Endpoint, EndpointState, Format, Health, Secret, SignatureKind
from gateway.outbound.secrets import public_key_of
from gateway.outbound.store.answers import Waiting


class SubscriptionView(msgspec.Struct, frozen=True):
    """The events that an endpoint wants.

    Attributes:
        events: Patterns over routing keys, such as `stripe.invoice.*`; any of them.
        where: Alternatives of conditions on the event, by JSON pointer; all events if there are none.
    """

    events: list[str]
    where: list[dict[str, dict[str, Any]]] = []


class SecretView(msgspec.Struct, frozen=True):
    """A secret of an endpoint as it is shown: never the secret itself.

    Attributes:
        id: Names it.
        fingerprint: Eight hexadecimal digits of its SHA-256.
        created_at: When it was added, in Unix seconds.
        expires_at: When it stops signing, in Unix seconds; null if never.
    """

    id: str
    fingerprint: str
    created_at: float
    expires_at: float | None


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, how it is, and what waits for it.

    Attributes:
        id: Names it.
        name: The name in the configuration, or the one that it was given; may be empty.
        tenant: Whose events it gets.
        url: Where requests go.
        subscriptions: What it wants; the first that matches decides.
        is_configured: Whether it is in the configuration file, and so cannot be changed here.
        description: For people.
        header_names: The names of the further headers of each request. Their values are not shown.
        format: What a request carries.
        signature: How a request is signed.
        sign_as: With the format `original`, the adapter whose signature is made; empty for that of each event.
        secrets: Its secrets, newest first, without their text.
        public_key: The Ed25519 key that receivers verify with; empty unless the signature has one.
        rate: Attempts a second; null for no limit.
        concurrency: Attempts at a time.
        ordering: `none`, `subject`, or a JSON pointer: deliveries with the same value go one after another.
        on_dead: With an order, whether the next delivery of a key goes on after a dead one: `skip` or `hold`.
        timeout: Seconds for one attempt.
        give_up_on: Statuses that end a delivery at once.
        max_pending: Deliveries that may wait; further ones are held.
        is_verified: Whether its owner has proved that they want requests there.
        state: Whether it is sent anything.
        reason: Why it is disabled: `manual`, `gone`, `asked` or `failing`; else empty.
        circuit: Whether attempts are made at the moment.
        closed_until: Until when no attempt is made, in Unix seconds; null if they are.
        failures: Failures in a row.
        failing_since: The first of them, in Unix seconds; null if the last attempt was a success.
        succeeded_at: The last success, in Unix seconds; null if there was none.
        pending: Deliveries that wait for their attempt; at most 100,000 are counted, here and in the next two.
        held: Deliveries that wait for somebody to enable the endpoint.
        dead: Deliveries whose attempts all failed.
        oldest_pending: When the oldest pending delivery was accepted, in Unix seconds; null if there is none.
        created_at: When it was made, in Unix seconds.
        changed_at: When it was last changed, in Unix seconds.
        etag: Its version, for `If-Match`.
    """

    id: str
    name: str
    tenant: str
    url: str
    subscriptions: list[SubscriptionView]
    is_configured: bool
    description: str
    header_names: list[str]
    format: Format
    signature: SignatureKind
    sign_as: str
    secrets: list[SecretView]
    public_key: str
    rate: float | None
    concurrency: int
    ordering: str
    on_dead: str
    timeout: float
    give_up_on: list[int]
    max_pending: int
    is_verified: bool
    state: EndpointState
    reason: str
    circuit: CircuitState
    closed_until: float | None
    failures: int
    failing_since: float | None
    succeeded_at: float | None
    pending: int
    held: int
    dead: int
    oldest_pending: float | None
    created_at: float
    changed_at: float
    etag: str

    @property
    def title(self) -> str:
        """What people call it: its name, a short description, or the host that it is on."""
        return title_from(self.name, self.description, self.url) or self.id

    @property
    def host(self) -> str:
        """The host of its URL: the path and the query may hold a token."""
        return host_of(self.url)


def etag_of(endpoint: Endpoint) -> str:
    """Return the entity tag of an endpoint as headers have it."""
    return f'"{endpoint.version}"'


def secret_view(secret: Secret) -> SecretView:
    """Return a secret as it is shown."""
    digest = hashlib.sha256(secret.value.encode("utf-8", "surrogatepass")).hexdigest()
    return SecretView(secret.id, digest[:8], secret.created_at, secret.expires_at)


def endpoint_view(endpoint: Endpoint, health: Health, waiting: Waiting, now: float) -> EndpointView:
    """Return an endpoint as it is shown."""
    return EndpointView(
        id=endpoint.id,
        name=endpoint.name,
        tenant=endpoint.tenant,
        url=endpoint.url,
        subscriptions=[
            SubscriptionView(list(each.events), list(each.where)) for each in endpoint.subscriptions
        ],
        is_configured=endpoint.is_configured,
        description=endpoint.description,
        header_names=sorted(endpoint.headers),
        format=endpoint.format,
        signature=endpoint.signature,
        sign_as=endpoint.sign_as,
        secrets=[secret_view(each) for each in endpoint.secrets],
        public_key=public_key_of(endpoint.private_key) if endpoint.private_key else "",
        rate=endpoint.rate,
        concurrency=endpoint.concurrency,
        ordering=endpoint.order,
        on_dead=endpoint.on_dead,
        timeout=endpoint.timeout,
        give_up_on=list(endpoint.give_up_on),
        max_pending=endpoint.max_pending,
        is_verified=endpoint.is_verified,
        state=health.state,
        reason=health.reason,
        circuit=circuit_state(health, now),
        closed_until=health.closed_until,
        failures=health.failures,
        failing_since=health.failing_since,
        succeeded_at=health.succeeded_at,
        pending=waiting.pending,
        held=waiting.held,
        dead=waiting.dead,
        oldest_pending=waiting.oldest,
        created_at=endpoint.created_at,
        changed_at=endpoint.changed_at,
        etag=etag_of(endpoint),
    )
