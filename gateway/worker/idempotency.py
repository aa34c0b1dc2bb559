"""Not twice, in order and within limits: what the processes of a worker agree on, over the store that they share.

The lease on an event, and its place in line, are renewed for as long as its handler runs; what dies with its process
ends by itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import structlog

from gateway.claims import KEY_PREFIX, ClaimsUnavailable, Standing, digest
from gateway.worker.errors import Retry
from gateway.worker.rate_limit import RateLimit
from gateway.worker.store import Store
from gateway.worker.worker import GuardMode

T = TypeVar("T")

_ASK_AGAIN_AFTER = 0.5  # seconds, while the store is away
_MAX_PENDING_COMMITS = 10_000

log = structlog.get_logger()


class Lease:
    """One event while a handler has it; the :class:`gateway.worker.event.Steps` of that event, too.

    Attributes:
        key: of the event in the store.
        token: of this attempt.
        line: the line that the event stands in, empty for none.
    """

    __slots__ = ("_guard", "key", "line", "loop", "token")

    def __init__(self, guard: Idempotency, key: str, token: str, line: str) -> None:
        self._guard = guard
        self.key = key
        self.token = token
        self.line = line
        self.loop = asyncio.get_running_loop()

    async def begin(self, step: str) -> bool:
        """See :class:`gateway.worker.event.Steps`.

        Raises:
            Retry: the store is away, or an attempt that died has the step still.
        """
        standing = await self._guard.claim(self.key_of(step), self.token)
        # The step must not be held longer than its event, or the attempt after a crash would find it in flight.
        self._guard.renew(self)
        if standing is Standing.IN_FLIGHT:
            raise Retry
        return standing is Standing.CLAIMED

    def end(self, step: str, *, is_done: bool) -> None:
        """See :class:`gateway.worker.event.Steps`."""
        if is_done:
            self._guard.commit(self.key_of(step))
        else:
            self._guard.release(self.key_of(step), self.token)

    def key_of(self, step: str) -> str:
        """See :class:`gateway.worker.event.Steps`."""
        return f"{self.key}:{digest(step.encode())}"


class Idempotency:
    """What the processes of one queue agree on.

    Args:
        store: where.
        queue: the queue of the worker.
        lease: seconds that the store holds an event for; they have to be the store's.
        guarding: ``strict`` waits for a store that is away, ``lenient`` goes on without it.
    """

    def __init__(self, store: Store, queue: str, lease: float, guarding: GuardMode) -> None:
        self._store = store
        self._prefix = f"{KEY_PREFIX}:worker:{queue}:"
        self._lease = lease
        self._waits = guarding == "strict"
        self._process = os.urandom(8).hex()
        self._attempt = 0
        self._held: set[Lease] = set()
        self._pending_commits: set[str] = set()
        self._is_away = False
        self._renewing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to connect. Does not wait for a server that is not there."""
        await self._store.start()
        self._renewing = asyncio.create_task(self._keep_renewing(), name="renewing the leases")

    async def stop(self) -> None:
        """Let go of the store; what is still held ends with its lease."""
        if self._renewing:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
        self._retry_commits()
        await self._store.stop()

    def lease_for(self, source: str, event_id: str, replay: str = "", subject: str | None = None) -> Lease:
        """A new attempt at an event, or at a forced replay of it; nothing is asked of the store yet.

        Events of one ``subject`` stand in line; of None, none does.
        """
        self._attempt += 1
        # The length keeps apart what ends in the one and begins in the other.
        key = self._prefix + digest(f"{len(source)}:{source}{event_id}".encode()) + replay
        line = "" if subject is None else f"{self._prefix}line:{digest(subject.encode())}"
        return Lease(self, key, f"{self._process}.{self._attempt}", line)

    async def stand(self, hold: Lease) -> float:
        """Stand in line; 0 when it is the event's turn, else seconds until it is worth another look."""
        if not hold.line:
            return 0.0
        return await self._ask(lambda: self._store.stand(hold.line, hold.key), 0.0)

    async def defer(self, hold: Lease, seconds: float | None) -> None:
        """The event keeps its place in line, and comes again in so many seconds."""
        if hold.line:
            with suppress(ClaimsUnavailable):  # then it is waited for as long as it was to be anyway
                await self._store.defer(hold.line, hold.key, seconds)

    async def part(self, hold: Lease) -> None:
        """The event is about to leave its line: if this process dies before that, nobody has to wait for it."""
        await self.defer(hold, None)

    async def stay(self, hold: Lease) -> None:
        """The event has not left its line after all, and is delivered again."""
        await self.defer(hold, self._lease)

    def leave(self, hold: Lease) -> None:
        """The event is done with, and the next one in line is first."""
        if hold.line:
            self._store.leave(hold.line, hold.key)

    async def reserve(self, limit: RateLimit, value: str, longest_wait: float) -> float:
        """Seconds until one more may begin; see :meth:`gateway.worker.store.Store.reserve`."""
        bucket = f"{self._prefix}limit:{digest(value.encode())}"
        return await self._ask(lambda: self._store.reserve(bucket, *limit, longest_wait), 0.0)

    async def take(self, hold: Lease) -> Standing:
        """Hold the event from now on, if nobody does and it is not done."""
        standing = await self.claim(hold.key, hold.token)
        if standing is Standing.CLAIMED:
            self._held.add(hold)
        return standing

    def finish(self, hold: Lease) -> None:
        """The event is done, for as long as the store remembers."""
        self._held.discard(hold)
        self.commit(hold.key)

    def let_go(self, hold: Lease) -> None:
        """The event is not done, and may be taken again."""
        self._held.discard(hold)
        self.release(hold.key, hold.token)

    async def claim(self, key: str, token: str) -> Standing:
        """What the store says to a claim; without a store it counts as taken."""
        return await self._ask(lambda: self._store.claim(key, token), Standing.CLAIMED)

    def commit(self, key: str) -> None:
        """Mark ``key`` as done."""
        self._store.commit(key, lambda: self._queue_commit(key))

    def release(self, key: str, token: str) -> None:
        """Give ``key`` back."""
        self._store.release(key, token)

    def renew(self, hold: Lease) -> None:
        """Hold an event for another lease."""
        self._store.renew(hold.key, hold.token, lambda: log.warning("lease lost", key=hold.key))

    async def _ask(self, question: Callable[[], Awaitable[T]], otherwise: T) -> T:
        """What the store says; a store that is away is waited for, or the answer is ``otherwise``."""
        while True:
            try:
                answer = await question()
            except ClaimsUnavailable as error:
                if not self._is_away:  # said once, not for every event
                    log.warning("guard unavailable", cause=str(error), waits=self._waits)
                self._is_away = True
                if not self._waits:
                    return otherwise
                await asyncio.sleep(_ASK_AGAIN_AFTER)
            else:
                self._is_away = False
                return answer

    def _queue_commit(self, key: str) -> None:
        """The store does not know yet that ``key`` is done: it is told again, for as long as this process lives."""
        if not self._pending_commits:  # said once, as above
            log.warning("not remembered as done", key=key)
        if len(self._pending_commits) < _MAX_PENDING_COMMITS:
            self._pending_commits.add(key)

    def _retry_commits(self) -> None:
        pending, self._pending_commits = self._pending_commits, set()
        for key in pending:
            self.commit(key)

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            for hold in self._held:
                self.renew(hold)
            self._retry_commits()
            await asyncio.gather(*(self.defer(hold, self._lease) for hold in self._held))
