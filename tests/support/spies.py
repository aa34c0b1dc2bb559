"""Collaborators of a gateway in memory, which record their calls and fail on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache

from typing_extensions import override

from gateway.claims import DONE, ClaimsUnavailable, Standing, claim_key
from gateway.claims.memory import MemoryClaims
from gateway.events.message import Message
from gateway.events.schemas import Catalogue
from gateway.publishers.memory import MemoryPublisher

SECRET = "a secret of the sender"

bundled_schemas = cache(Catalogue.bundled)
"""The schemas, compiled once for all tests."""


class SpyClaims(MemoryClaims):
    """Claims that can be away or break, and record their calls."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self.events = events
        self.is_away = False
        self.bug: Exception | None = None

    @override
    async def claim(self, key: str, token: str) -> Standing:
        self.events.append("claim")
        if self.bug:
            raise self.bug
        if self.is_away:
            raise ClaimsUnavailable("Redis is on holiday")
        return await super().claim(key, token)

    @override
    def commit(
        self,
        key: str,
        on_failure: Callable[[], None],
        *,
        content: str = "",
        retention: float | None = None,
    ) -> None:
        self.events.append("commit")
        if self.is_away:
            on_failure()
        else:
            super().commit(key, on_failure, content=content, retention=retention)

    @override
    def release(self, key: str, token: str) -> None:
        self.events.append("release")
        super().release(key, token)

    def stored(self, key: str) -> bytes | None:
        """Return the value of a key."""
        return self._get(key)

    def value(self, event_id: str) -> bytes | None:
        """Return the claim of an event, without the digest of its content."""
        value = self.stored(claim_key("github", event_id))
        return DONE if value and value.startswith(DONE) else value


class SpyPublisher(MemoryPublisher):
    """A broker whose confirms a test can hold back."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self.events = events
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.bug: BaseException | None = None

    @override
    async def publish(self, message: Message) -> None:
        self.events.append("publish")
        self.waiting += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting -= 1
        if self.bug:
            raise self.bug
        await super().publish(message)
        self.events.append("confirm")
