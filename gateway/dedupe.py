"""The policy over claims: who waits, who is a duplicate, and what happens when the store is away."""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import dataclass

from gateway.claims import Claims, ClaimsUnavailable, Standing, claim_key
from gateway.counting import ProviderMetrics
from gateway.errors import DedupeUnavailable, InFlight

_LONGEST_WAIT = 1.5
_POLL_EVERY = 0.05


@dataclass(slots=True)
class Claim:
    """An event that is ours to publish.

    Attributes:
        key: under which the store knows it.
        token: under which we hold it.
        is_held: False when the store was away and the event goes out unchecked.
    """

    key: str
    token: str
    is_held: bool


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

    async def acquire(self, provider: str, event_id: str) -> Claim | None:
        """Our claim to the event; None when it is already done.

        Raises:
            InFlight: somebody else was handling it for all of the time that we wait. It may still fail there, so
                this is no duplicate.
            DedupeUnavailable: the store is away, and events are not to be published without it.
        """
        claim = Claim(claim_key(provider, event_id), f"{self._process}{next(self._tokens)}", is_held=True)
        try:
            standing = await self.claims.claim(claim.key, claim.token)
            if standing is Standing.IN_FLIGHT:
                standing = await self._wait(claim)
        except ClaimsUnavailable as error:
            if not self.accepts_unchecked:
                raise DedupeUnavailable(str(error)) from error
            claim.is_held = False
            return claim
        return claim if standing is Standing.CLAIMED else None

    def commit(self, claim: Claim, metrics: ProviderMetrics) -> None:
        """The event is published: repetitions are duplicates from now on."""
        if not claim.is_held:
            metrics.count("unchecked")
        self.claims.commit(claim.key, lambda: metrics.count("commit_failure"))

    def release(self, claim: Claim) -> None:
        """The event was not published: whoever has it may try."""
        if claim.is_held:
            self.claims.release(claim.key, claim.token)

    async def _wait(self, claim: Claim) -> Standing:
        """Ask again until the holder is done, or has let go and the claim is ours."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + _LONGEST_WAIT
        while loop.time() < give_up_at:
            await asyncio.sleep(_POLL_EVERY)
            standing = await self.claims.claim(claim.key, claim.token)
            if standing is not Standing.IN_FLIGHT:
                return standing
        raise InFlight
