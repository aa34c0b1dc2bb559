"""Looking up the names of endpoints: all their addresses, from the name servers alone.

The lookups are those of c-ares. `getaddrinfo` has a few threads, so that a handful of names whose servers do not answer would stop
every lookup; it also reads the hosts file and appends search domains, which would make `https://db/` a name of the own network.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from typing_extensions import override

if TYPE_CHECKING:
    import aiodns

MAX_TTL = 30.0
"""The longest time in seconds for which an answer is kept, whatever its TTL says: names that move are followed."""

_MAX_ANSWERS = 10_000
"""Names whose answers are kept. Beyond that all are dropped, and looked up again."""

_QUERY_TIMEOUT = 0.7
"""Seconds that a name server has for a query. The next try waits longer; the caller's deadline cuts the last one off."""

_TRIES = 2


class LookupFailed(Exception):
    """Raised when a name has no address, or no name server answers."""


class Answer(NamedTuple):
    """The addresses of a name.

    Attributes:
        addresses: All of them, IPv6 first.
        ttl: For how many seconds they may be kept.
    """

    addresses: tuple[str, ...]
    ttl: float


class Resolver(Protocol):
    """Looks up names."""

    async def resolve(self, name: str) -> Answer:
        """Return all addresses of a name.

        Raises:
            LookupFailed: There is none, or nobody knows.
        """

    async def close(self) -> None:
        """Release what the resolver holds."""


class CaresResolver(Resolver):
    """Asks name servers by c-ares.

    Args:
        servers: Their addresses, with ports unless they have 53; those of the system by default.
        clock: Seconds on a monotonic clock.
    """

    def __init__(self, servers: Sequence[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._servers = list(servers)
        self._clock = clock
        self._channel: aiodns.DNSResolver | None = None
        self._made_at = 0.0

    @override
    async def resolve(self, name: str) -> Answer:
        import pycares  # noqa: PLC0415 -- only who sends needs it

        channel = self._current()
        found = await asyncio.gather(
            channel.query_dns(name, "AAAA"), channel.query_dns(name, "A"), return_exceptions=True
        )
        addresses: list[str] = []
        ttl = MAX_TTL
        for result in found:
            # A server that fails for one type must not hide the other: some know nothing of AAAA.
            if isinstance(result, BaseException):
                continue
            ttl = min([ttl, *(record.ttl for record in result.answer)])
            addresses += [
                record.data.addr
                for record in result.answer
                if isinstance(record.data, pycares.ARecordData | pycares.AAAARecordData)
            ]
        if not addresses:
            raise LookupFailed
        return Answer(tuple(addresses), ttl)

    @override
    async def close(self) -> None:
        if self._channel:
            await self._channel.close()

    def _current(self) -> aiodns.DNSResolver:
        """Return a channel that is younger than :data:`MAX_TTL`.

        c-ares keeps answers for as long as their TTL says, up to an hour, and pycares has no way to turn that off. A channel that is
        replaced ends with its last lookup.
        """
        import aiodns  # noqa: PLC0415

        now = self._clock()
        if self._channel is None or now - self._made_at > MAX_TTL:
            self._made_at = now
            self._channel = aiodns.DNSResolver(self._servers or None, timeout=_QUERY_TIMEOUT, tries=_TRIES)
        return self._channel


class CachedResolver(Resolver):
    """Keeps answers for their TTL, and looks a name up once for all who wait for it.

    Args:
        resolver: Looks up what is not kept.
        clock: Seconds on a monotonic clock.
    """

    def __init__(self, resolver: Resolver, clock: Callable[[], float] = time.monotonic) -> None:
        self._resolver = resolver
        self._clock = clock
        self._kept: dict[str, tuple[Answer, float]] = {}
        self._running: dict[str, asyncio.Task[Answer]] = {}

    @override
    async def resolve(self, name: str) -> Answer:
        kept = self._kept.get(name)
        if kept is not None:
            if self._clock() < kept[1]:
                return kept[0]
            del self._kept[name]
        running = self._running.get(name)
        if running is None:
            running = self._running[name] = asyncio.create_task(self._resolver.resolve(name))
            running.add_done_callback(lambda task: self._note(name, task))
        # Shielded: the deadline of one who waits must not end the lookup for the others.
        return await asyncio.shield(running)

    @override
    async def close(self) -> None:
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        await self._resolver.close()

    def _note(self, name: str, task: asyncio.Task[Answer]) -> None:
        del self._running[name]
        if task.cancelled() or task.exception() is not None:
            return
        answer = task.result()
        ttl = min(answer.ttl, MAX_TTL)
        if ttl > 0:
            if len(self._kept) >= _MAX_ANSWERS:
                self._kept.clear()
            self._kept[name] = answer, self._clock() + ttl
