"""The policy over claims: who waits, who is a duplicate, and what happens when the store is away."""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import dataclass

import structlog

from gateway.claims import Claims, ClaimsUnavailable, ForeignValue, Standing, claim_key, content_key
from gateway.claims.event_key import EventKey
from gateway.errors import DedupeUnavailable, InFlight
from gateway.observability.counters import ProviderMetrics

LONGEST_WAIT = 1.5
"""Seconds to wait for another attempt at the same event; longer would only hold the sender's connection."""

_POLL_EVERY = 0.05
_OTHER = {Standing.OTHER_IN_FLIGHT, Standing.OTHER_DONE}
_UNDER_WAY = {Standing.IN_FLIGHT, Standing.OTHER_IN_FLIGHT}
_TELL_AGAIN_AFTER = 60.0
_REMEMBERED_BODIES = 2048  # in each of two generations

log = structlog.get_logger()


@dataclass(slots=True)
class Claim:
    """An event that is ours to publish.

    Attributes:
        key: under which the store knows it.
        token: under which we hold it.
        content: what tells it from another event that has the key; empty where the key says all.
        body_hash: by which another body under the same event id is told apart; means nothing to other processes.
        retention: seconds that it is remembered; None for as long as the store remembers by itself.
        is_id_enough: whether the event's id alone names it.
        is_held: False when the store was away and the event goes out unchecked.
        is_replay_suspected: whether what was sent came under another id, or the id with other content.
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
        """What names the event where its id does not."""
        return None if self.is_id_enough else self.key.rpartition(":")[2]

    def suspect_replay(self) -> None:
        """Note that what was sent has come under another id."""
        self.is_replay_suspected = True

    def yield_key(self, provider: str, text: str) -> None:
        """Leave the key to the event that has it: this one has the id, and other content."""
        self.key = claim_key(provider, f"{text}\n\n{self.content}")
        self.is_id_enough = False
        self.is_replay_suspected = True


class Dedupe:
    """Decides who publishes an event.

    Args:
        claims: the store.
        accepts_unchecked: whether events are published without a claim while the store is away. A duplicate can
            be repaired by its consumer, an event that was refused and never sent again cannot.
    """

    def __init__(self, claims: Claims, *, accepts_unchecked: bool) -> None:
        self.claims = claims
        self.accepts_unchecked = accepts_unchecked
        self._tokens = itertools.count()
        self._process = os.urandom(8).hex()
        self._bodies = _RecentBodies()
        self._refusal_told_at = -_TELL_AGAIN_AFTER

    async def acquire(
        self,
        provider: str,
        key: EventKey,
        body: bytes,
        metrics: ProviderMetrics,
        *,
        longest_wait: float = LONGEST_WAIT,
    ) -> Claim | None:
        """Claim the event of this ``key``; return None if it was published before.

        Another holder is waited for, ``longest_wait`` seconds at most. Where the signature does not cover the id,
        whoever has seen one delivery can send it under any other id: the known content under another id is ours all
        the same, but suspect, and so is other content under a known id, which must not be lost to it.

        Raises:
            InFlight: somebody else was handling it for all of the time that we wait. It may still fail there, so
                this is no duplicate.
            DedupeUnavailable: the store is away, and events are not to be published without it.
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
            standing = await self._claim(claim, longest_wait)
            if standing in _OTHER:
                claim.yield_key(provider, key.text)
                standing = await self._claim(claim, longest_wait)
        except ClaimsUnavailable as error:
            self._note(error, claim.key)
            if content and self._bodies.differs(claim.key, claim.body_hash):
                claim.yield_key(provider, key.text)
            if not self._bodies.has(claim.key):
                if not self.accepts_unchecked:
                    raise DedupeUnavailable(str(error)) from error
                claim.is_held = False
                return claim
            standing = Standing.DONE  # by ourselves, and not long ago
        if standing is Standing.CLAIMED:
            return claim
        # A claim that says its content is of no other, whatever had the key here before the store forgot it.
        if not content and self._bodies.differs(claim.key, claim.body_hash):
            metrics.count("id_body_mismatch")
            log.info("a duplicate has another body", provider=provider, event_id=key.event_id)
        return None

    def commit(self, claim: Claim, metrics: ProviderMetrics) -> None:
        """The event is published: repetitions are duplicates from now on."""
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
        """The event was not published: whoever has it may try."""
        if claim.is_held:
            self.claims.release(claim.key, claim.token)

    async def _claim(self, claim: Claim, longest_wait: float) -> Standing:
        """Ask for the claim, again and again while somebody holds it.

        Whoever holds it with other content is waited for as well: if that is not published, the key is free for this
        event, and otherwise known to be taken.

        Raises:
            InFlight: another attempt at the same event held it for all of ``longest_wait`` seconds.
            ClaimsUnavailable: the store did not answer.
        """
        standing = await self.claims.claim(claim.key, claim.token)
        if standing in _UNDER_WAY:
            loop = asyncio.get_running_loop()
            give_up_at = loop.time() + longest_wait
            while standing in _UNDER_WAY and loop.time() < give_up_at:
                await asyncio.sleep(_POLL_EVERY)
                standing = await self.claims.claim(claim.key, claim.token)
        if standing is Standing.IN_FLIGHT:
            raise InFlight
        return standing

    def _note(self, error: ClaimsUnavailable, key: str) -> None:
        """Log a store that is there and refuses; one that is not there is told of by its link."""
        if isinstance(error, ForeignValue):
            log.warning("not a claim", key=key, cause=str(error))
            return
        now = asyncio.get_running_loop().time()
        if not self.claims.unavailable_reason and now - self._refusal_told_at >= _TELL_AGAIN_AFTER:
            self._refusal_told_at = now
            log.warning("claims are refused", cause=str(error))


class _RecentBodies:
    """The hashes of the last few thousand bodies by claim key; the oldest generation goes at once."""

    def __init__(self) -> None:
        self._young: dict[str, int] = {}
        self._old: dict[str, int] = {}

    def remember(self, key: str, body_hash: int) -> None:
        self._young[key] = body_hash
        if len(self._young) >= _REMEMBERED_BODIES:
            self._young, self._old = {}, self._young

    def has(self, key: str) -> bool:
        """Whether a body is known under ``key``."""
        return key in self._young or key in self._old

    def differs(self, key: str, body_hash: int) -> bool:
        """Whether another body is known under ``key``."""
        return body_hash != self._young.get(key, self._old.get(key, body_hash))
