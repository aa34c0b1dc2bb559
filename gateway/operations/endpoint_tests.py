"""Test events, the proof that an endpoint's owner wants requests, and enabling: what sends a request to an endpoint at once.

A test event takes the way of every other: the same signature, the same client, the same record of the attempt. It is no
delivery, and is not tried again.

The module has slightly more than 200 lines because the three share one attempt and its limit.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

import msgspec
import orjson

from gateway.config import Config
from gateway.operations.delivery_models import AttemptView, attempt_view
from gateway.operations.endpoint_models import EndpointView
from gateway.operations.endpoints import UNVERIFIED, view_of
from gateway.operations.outbound import Refused, find_endpoint, new_id, senders_of
from gateway.operations.outbound_samples import VERIFICATION, make_challenge, make_test
from gateway.outbound.client import OutboundRequest, Result
from gateway.outbound.configured import client_of, rules_of
from gateway.outbound.envelope import NoSuchFormat
from gateway.outbound.models import Attempt, Endpoint, EndpointState, Health, OutboundMessage, Trigger
from gateway.outbound.outcomes import Outcome
from gateway.outbound.requests import RequestMaker
from gateway.outbound.store import Store
from gateway.signatures.units import EventRate
from gateway.transport.token_bucket import TokenBucket

MAX_TESTS = EventRate(10, 60.0)
"""Test events to one endpoint: each is a request that somebody else has to answer."""

_MAX_LIMITS = 1000
"""Endpoints whose tests are counted at a time."""

_CHALLENGE_SIZE = 32
"""Bytes of a challenge."""

Way = Literal["handshake", "challenge", ""]


class Verified(msgspec.Struct, frozen=True):
    """Whether an endpoint's owner wants requests.

    Attributes:
        is_verified: Whether they do.
        way: How they said so: the `handshake` of CloudEvents, or the echo of a `challenge`; empty if they did not.
        detail: What the endpoint answered, as a sentence.
        endpoint: The endpoint as it is now.
    """

    is_verified: bool
    way: Way
    detail: str
    endpoint: EndpointView


class TestLimit:
    """Counts the requests that people cause at each endpoint.

    Args:
        clock: Returns seconds that only grow.
    """

    __test__ = False  # pytest takes it for a class of tests

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, endpoint: str) -> None:
        """Take one.

        Raises:
            Refused: There were too many within a minute.
        """
        bucket = self._buckets.pop(endpoint, None) or TokenBucket(MAX_TESTS, self._clock)
        if len(self._buckets) >= _MAX_LIMITS:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[endpoint] = bucket
        if bucket.is_empty():
            raise Refused("rate_limited", f"{MAX_TESTS.events} tests of an endpoint are sent in a minute", 6)
        bucket.take()


async def send_test(
    config: Config,
    store: Store,
    endpoint_name: str,
    event_type: str = "",
    *,
    now: float,
    tenant: str = "",
    limit: TestLimit | None = None,
) -> AttemptView:
    """Send an endpoint a signed test event, and return the attempt.

    Args:
        config: The configuration.
        store: The store.
        endpoint_name: The endpoint's id or name.
        event_type: `<provider>.<event type>` of one of the samples, or any other type; empty for one that the endpoint wants.
        now: The time, in Unix seconds.
        tenant: The only tenant that is seen; empty for all.
        limit: Counts test events; None to count none.

    Raises:
        Refused: There is no such endpoint or sample, or there were too many tests.
    """
    endpoint, _ = await find_endpoint(store, endpoint_name, tenant)
    message = make_test(config, endpoint, event_type, now)
    if limit:
        limit.take(endpoint.id)
    attempt, _ = await _attempt(config, store, endpoint, message, now)
    return attempt_view(attempt, has_excerpt=not endpoint.is_by_tenant or endpoint.is_verified)


async def enable(
    config: Config,
    store: Store,
    endpoint_name: str,
    *,
    since: float | None = 0.0,
    is_tested: bool = True,
    now: float,
    tenant: str = "",
) -> EndpointView:
    """Send an endpoint events from now on, with its failures forgotten.

    Args:
        config: The configuration.
        store: The store.
        endpoint_name: The endpoint's id or name.
        since: Held deliveries that were accepted at this moment or later are made; None for none. The others are cancelled.
        is_tested: Whether an endpoint that was disabled first has to take a test event.
        now: The time, in Unix seconds.
        tenant: The only tenant that is seen; empty for all.

    Raises:
        Refused: There is none, its owner has not proved that they want requests, or it does not take the test event.
    """
    endpoint, health = await find_endpoint(store, endpoint_name, tenant)
    if endpoint.is_by_tenant and not endpoint.is_verified:
        raise Refused("not_verified", "the endpoint has to be verified first; see `verify`")
    if health.state is EndpointState.DISABLED and is_tested:
        attempt, _ = await _attempt(config, store, endpoint, make_test(config, endpoint, "", now), now)
        if attempt.outcome != Outcome.DELIVERED:
            raise Refused(
                "test_failed",
                f"the endpoint does not take a test event: {described(attempt.outcome, attempt.status)}; it stays disabled",
            )
    was_disabled = health.state is EndpointState.DISABLED
    renewed = Health(
        endpoint=endpoint.id, succeeded_at=now if was_disabled and is_tested else health.succeeded_at
    )
    await store.put_health(renewed, by_person=True)
    await store.resume(endpoint.id, since=since)
    return await view_of(store, endpoint, renewed, now)


async def verify(
    config: Config,
    store: Store,
    endpoint_name: str,
    *,
    now: float,
    tenant: str = "",
    limit: TestLimit | None = None,
) -> Verified:
    """Ask an endpoint whether it wants requests: first by the handshake of CloudEvents, then by a challenge that it has to echo.

    The handshake: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection

    Args:
        config: The configuration.
        store: The store.
        endpoint_name: The endpoint's id or name.
        now: The time, in Unix seconds.
        tenant: The only tenant that is seen; empty for all.
        limit: Counts the requests; None to count none.

    Raises:
        Refused: There is no such endpoint, or there were too many requests.
    """
    endpoint, health = await find_endpoint(store, endpoint_name, tenant)
    if limit:
        limit.take(endpoint.id)
    way, rate = await _by_handshake(config, endpoint)
    detail = "It grants the handshake of CloudEvents."
    if not way:
        way, detail = await _by_challenge(config, store, endpoint, now)
    if way:
        endpoint = await store.put_endpoint(
            msgspec.structs.replace(
                endpoint, is_verified=True, rate=endpoint.rate if rate is None else rate, changed_at=now
            ),
            endpoint.version,
        )
        if health.reason == UNVERIFIED:
            health = Health(endpoint=endpoint.id)
            await store.put_health(health, by_person=True)
            await store.resume(endpoint.id, since=0.0)
    return Verified(bool(way), way, detail, await view_of(store, endpoint, health, now))


def described(outcome: str, status: int | None) -> str:
    """Return how an attempt ended, in a few words."""
    word = outcome.replace("_", " ")
    return f"{word} {status}" if status is not None else word


async def _by_handshake(config: Config, endpoint: Endpoint) -> tuple[Way, float | None]:
    origin = _origin(config)
    headers = {"webhook-request-origin": origin}
    request = OutboundRequest(endpoint.url, headers, b"", endpoint.timeout, "OPTIONS")
    answer = await _send(config, endpoint, request)
    granted = answer.headers.get("webhook-allowed-origin", "").strip()
    if answer.outcome != Outcome.DELIVERED or granted not in {"*", origin}:
        return "", None
    allowed = answer.headers.get("webhook-allowed-rate", "").strip()
    return "handshake", int(allowed) / 60 if allowed.isdigit() and 0 < int(allowed) < 10**7 else None


async def _by_challenge(config: Config, store: Store, endpoint: Endpoint, now: float) -> tuple[Way, str]:
    challenge = secrets.token_urlsafe(_CHALLENGE_SIZE)
    attempt, excerpt = await _attempt(config, store, endpoint, make_challenge(endpoint, challenge, now), now)
    try:
        echo = orjson.loads(excerpt)
    except orjson.JSONDecodeError:
        echo = None
    if attempt.outcome == Outcome.DELIVERED and isinstance(echo, dict) and echo.get("challenge") == challenge:
        return "challenge", "It echoes the challenge."
    return "", (
        f"It neither grants the handshake of CloudEvents nor answers {VERIFICATION} with its challenge: "
        f"{described(attempt.outcome, attempt.status)}."
    )


async def _attempt(
    config: Config, store: Store, endpoint: Endpoint, message: OutboundMessage, now: float
) -> tuple[Attempt, bytes]:
    """Send a message that is no delivery, keep the attempt, and return it with the beginning of the answer."""
    try:
        answer = await _send(config, endpoint, RequestMaker(endpoint, senders_of(config)).make(message, now))
    except NoSuchFormat as error:
        answer = Result(Outcome.FORMAT, str(error))
    attempt = Attempt(
        id=new_id("att", now),
        delivery="",
        endpoint=endpoint.id,
        message=message.id,
        trigger=Trigger.TEST,
        number=1,
        at=now,
        outcome=answer.outcome,
        status=answer.status,
        ms=answer.ms,
        phases=dict(answer.phases),
        address=answer.address,
        excerpt=answer.excerpt,
    )
    await store.add_attempt(attempt)
    return attempt, answer.excerpt


async def _send(config: Config, endpoint: Endpoint, request: OutboundRequest) -> Result:
    client = client_of(config)
    await client.start()
    try:
        return await client.send(request, rules_of(config, endpoint))
    finally:
        await client.stop()


def _origin(config: Config) -> str:
    """Return the name by which the gateway asks: that of a public address, if one is configured."""
    for provider in config.providers.values():
        if provider.public_url and (host := urlsplit(provider.public_url).hostname):
            return host
    return "webhook-gateway"
