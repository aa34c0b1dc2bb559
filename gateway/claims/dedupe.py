"""Deduplication: which request publishes an event, which waits, and which is a duplicate.

The store of claims decides between gateways. While it is away, the hashes of the bodies that this process published
last still recognise most retries.
"""

from __future__ import annotations

import asyncio
import itertools
import os

import msgspec
import structlog

from gateway.claims import Claims, ClaimsUnavailable, ForeignValue, Standing, claim_key, content_key
from gateway.claims.event_key import EventKey
from gateway.errors import DedupeUnavailable, InFlight
from gateway.observability.counters import ProviderMetrics

MAX_WAIT = 1.5
"""Seconds to wait for another attempt at the same event; longer would only hold the provider's connection."""

_POLL_INTERVAL = 0.05
"""Seconds between two claims while another attempt holds the event."""

_OTHER = {Standing.OTHER_IN_FLIGHT, Standing.OTHER_DONE}
"""The answers of the store that another event has the key."""

_UNDER_WAY = {Standing.IN_FLIGHT, Standing.OTHER_IN_FLIGHT}
"""The answers of the store that another attempt holds the key."""

_LOG_INTERVAL = 60.0
"""Seconds between two log lines about a store that refuses claims."""

GENERATION_SIZE = 2048
"""The number of bodies after which the older of the two generations is dropped: memory is bounded."""

log = structlog.get_logger()


class Claim(msgspec.Struct):
    """An event that this request publishes.

    Attributes:
        key: The key in the store.
        token: The token of this attempt, which holds the key.
        content: Identifies the event together with the key; empty if the key is enough.
        body_hash: Tells another body under the same event id; valid in this process only.
        retention: Seconds that the event is remembered; None for the default of the store.
        is_id_enough: Whether the event's id alone identifies it.
        is_held: False if the store was away and the event is published unchecked.
        is_replay_suspected: Whether the content came before under another id, or the id with other content.
    """

    key: str
    token: str
    content: str
    body_hash: int
    retention: float | None = None
    is_id_enough: bool = True
    is_held: bool = True
    is_replay_suspected: bool = False

    @property
    def dedupe_key(self) -> str | None:
        """Return what identifies the event if its id does not; None if it does."""
        return None if self.is_id_enough else self.key.rpartition(":")[2]

    def suspect_replay(self) -> None:
        """Note that the same content came before under another id."""
        self.is_replay_suspected = True

    def yield_key(self, provider: str, text: str) -> None:
        """Leave the key to the event that has it, and use a key that includes the content."""
        self.key = claim_key(provider, f"{text}\n\n{self.content}")
        self.is_id_enough = False
        self.is_replay_suspected = True


class Dedupe:
    """Decides which request publishes an event.

    Args:
        claims: The store.
        accepts_unchecked: Whether events are published without a claim while the store is away. A consumer can handle
            a duplicate; nobody can handle an event that was refused and never sent again.
    """

    def __init__(self, claims: Claims, *, accepts_unchecked: bool) -> None:
        self.claims = claims
        self.accepts_unchecked = accepts_unchecked
        self._tokens = itertools.count()
        self._process = os.urandom(8).hex()
        self._bodies = _RecentBodies()
        self._refusal_logged_at = -_LOG_INTERVAL

    async def acquire(
        self,
        provider: str,
        key: EventKey,
        body: bytes,
        metrics: ProviderMetrics,
        *,
        max_wait: float = MAX_WAIT,
    ) -> Claim | None:
        """Claim the event of this ``key``; return None if it was published before.

        If the signature does not cover the id, anyone who saw one delivery can resend it under a new id. Known
        content under a new id is accepted, but flagged as a suspected replay. So is new content under a known id:
        otherwise a forged id could make the gateway drop a genuine event.

        Args:
            provider: The provider's name.
            key: What identifies the event.
            body: The body of the request, or the event's part of it.
            metrics: The provider's counters.
            max_wait: Seconds to wait for another attempt at the event.

        Raises:
            InFlight: Another attempt held the event all the time. It may still fail, so this is no duplicate.
            DedupeUnavailable: The store is away, and events are not published without it.
        """
        content = key.content
        token = f"{self._process}{next(self._tokens)}"
        claim = Claim(
            claim_key(provider, key.text),
            f"{content}/{token}" if content else token,
            content,
            hash(content or body),
            key.retention,
            key.is_id_enough,
        )
        if key.mark:
            event = claim.key.rpartition(":")[2].encode()
            self.claims.mark(
                content_key(provider, key.mark), event, claim.suspect_replay, retention=key.retention
            )
        try:
            standing = await self.claims.claim(claim.key, claim.token)
            if standing in _UNDER_WAY:
                standing = await self._wait(claim, standing, max_wait)
            if standing in _OTHER:
                claim.yield_key(provider, key.text)
                standing = await self.claims.claim(claim.key, claim.token)
                standing = await self._wait(claim, standing, max_wait)
        except ClaimsUnavailable as error:
            self._log(error, claim.key)
            if content and self._bodies.differs(claim.key, claim.body_hash):
                claim.yield_key(provider, key.text)
            if not self._bodies.has(claim.key):
                if not self.accepts_unchecked:
                    raise DedupeUnavailable(str(error)) from error
                claim.is_held = False
                return claim
            standing = Standing.DONE  # this process published it, not long ago
        if standing is Standing.CLAIMED:
            return claim
        # With a content the store has compared it already; only without one can the bodies differ unnoticed.
        if not content and self._bodies.differs(claim.key, claim.body_hash):
            metrics.count("id_body_mismatch")
            log.info("duplicate with another body", provider=provider, event_id=key.event_id)
        return None

    def commit(self, claim: Claim, metrics: ProviderMetrics) -> None:
        """Record that the event is published: from now on, retries of it are duplicates."""
        if not claim.is_held:
            metrics.count("unchecked")
        if claim.is_replay_suspected:
            metrics.count("replay_suspected")
        self._bodies.remember(claim.key, claim.body_hash)
        self.claims.commit(
            claim.key,
            lambda: metrics.count("commit_failure"),
            content=claim.content,
            retention=claim.retention,
        )

    def release(self, claim: Claim) -> None:
        """Give the claim back, because the event was not published: the next attempt can take it."""
        if claim.is_held:
            self.claims.release(claim.key, claim.token)

    async def _wait(self, claim: Claim, standing: Standing, max_wait: float) -> Standing:
        """Claim the key again and again while another attempt holds it.

        An attempt at other content under the key is waited for as well: if it fails the key is free for this event,
        and if it succeeds the key is known to be taken.

        Raises:
            InFlight: Another attempt at the same event held it for ``max_wait`` seconds.
            ClaimsUnavailable: The store did not answer.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + max_wait
        while standing in _UNDER_WAY and loop.time() < give_up_at:
            await asyncio.sleep(_POLL_INTERVAL)
            standing = await self.claims.claim(claim.key, claim.token)
        if standing is Standing.IN_FLIGHT:
            raise InFlight
        return standing

    def _log(self, error: ClaimsUnavailable, key: str) -> None:
        """Log a store that answers with errors; the connection logs a store that is away."""
        if isinstance(error, ForeignValue):
            log.warning("claim value not recognised", key=key, cause=str(error))
            return
        now = asyncio.get_running_loop().time()
        if not self.claims.unavailable_reason and now - self._refusal_logged_at >= _LOG_INTERVAL:
            self._refusal_logged_at = now
            log.warning("claims refused", cause=str(error))


class _RecentBodies:
    """The hashes of the last few thousand bodies by claim key, in two generations."""

    def __init__(self) -> None:
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def remember(self, key: str, body_hash: int) -> None:
        self._young[key] = body_hash
        if len(self._young) >= GENERATION_SIZE:
            self._young, self._old = {}, self._young

    def has(self, key: str) -> bool:
        """Return whether a body is known under ``key``."""
        return key in self._young or key in self._old

    def differs(self, key: str, body_hash: int) -> bool:
        """Return whether another body is known under ``key``."""
        return body_hash != self._young.get(key, self._old.get(key, body_hash))
