"""The policy over claims: who waits, who is a duplicate, and what happens when the store is away."""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import dataclass

import structlog

from gateway.claims import Claims, ClaimsUnavailable, ForeignValue, Standing, body_key, claim_key
from gateway.counting import ProviderMetrics
from gateway.errors import DedupeUnavailable, InFlight

LONGEST_WAIT = 1.5
"""Seconds to wait for another attempt at the same event; longer would only hold the sender's connection."""

_POLL_EVERY = 0.05
_TELL_AGAIN_AFTER = 60.0
_REMEMBERED_BODIES = 2048  # in each of two generations

log = structlog.get_logger()


@dataclass(slots=True)
class Claim:
    """An event that is ours to publish.

    Attributes:
        key: under which the store knows it.
        token: under which we hold it.
        body_hash: by which another body under the same event id is told apart; means nothing to other processes.
        is_held: False when the store was away and the event goes out unchecked.
        is_replay_suspected: whether the same body has come under another id that the signature does not cover.
    """

    key: str
    token: str
    body_hash: int
    is_held: bool = True
    is_replay_suspected: bool = False

    def suspect_replay(self) -> None:
        """The same body has come under another id."""
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
        event_id: str,
        body: bytes,
        metrics: ProviderMetrics,
        *,
        is_id_signed: bool,
        signed: bytes | None = None,
        longest_wait: float = LONGEST_WAIT,
    ) -> Claim | None:
        """Our claim to the event; None when it is already done. Who else has it is waited for, so many seconds.

        ``is_id_signed`` tells whether the signature covers ``event_id`` as it does ``body``. Where it does not, who
        has seen one delivery can send it again under any other id; such a one is ours all the same, but suspect.
        ``signed`` is what it covers instead of the body, where it does not cover that.

        Raises:
            InFlight: somebody else was handling it for all of the time that we wait. It may still fail there, so
                this is no duplicate.
            DedupeUnavailable: the store is away, and events are not to be published without it.
        """
        claim = Claim(claim_key(provider, event_id), f"{self._process}{next(self._tokens)}", hash(body))
        if not is_id_signed:
            event = claim.key.rpartition(":")[2].encode()
            self.claims.mark(
                body_key(provider, body if signed is None else signed), event, claim.suspect_replay
            )
        try:
            standing = await self.claims.claim(claim.key, claim.token)
            if standing is Standing.IN_FLIGHT:
                standing = await self._wait(claim, longest_wait)
        except ClaimsUnavailable as error:
            self._note(error, claim.key)
            if not self._bodies.has(claim.key):
                if not self.accepts_unchecked:
                    raise DedupeUnavailable(str(error)) from error
                claim.is_held = False
                return claim
            standing = Standing.DONE  # by ourselves, and not long ago
        if standing is Standing.CLAIMED:
            return claim
        if self._bodies.differs(claim.key, claim.body_hash):
            metrics.count("id_body_mismatch")
        return None

    def commit(self, claim: Claim, metrics: ProviderMetrics) -> None:
        """The event is published: repetitions are duplicates from now on."""
        if not claim.is_held:
            metrics.count("unchecked")
        if claim.is_replay_suspected:
            metrics.count("replay_suspected")
        self._bodies.remember(claim.key, claim.body_hash)
        self.claims.commit(claim.key, lambda: metrics.count("commit_failure"))

    def release(self, claim: Claim) -> None:
        """The event was not published: whoever has it may try."""
        if claim.is_held:
            self.claims.release(claim.key, claim.token)

    async def _wait(self, claim: Claim, longest_wait: float) -> Standing:
        """Ask again until the holder is done, or has let go and the claim is ours."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + longest_wait
        while loop.time() < give_up_at:
            await asyncio.sleep(_POLL_EVERY)
            standing = await self.claims.claim(claim.key, claim.token)
            if standing is not Standing.IN_FLIGHT:
                return standing
        raise InFlight

    def _note(self, error: ClaimsUnavailable, key: str) -> None:
        """Log a store that is there and refuses; one that is not there is told of by its link."""
        if isinstance(error, ForeignValue):
            log.warning("not a claim", key=key, cause=str(error))
            return
        now = asyncio.get_running_loop().time()
        if not self.claims.trouble and now - self._refusal_told_at >= _TELL_AGAIN_AFTER:
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
