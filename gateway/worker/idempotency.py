"""Idempotency, order and rate limits across the processes of a worker.

The store that the processes share holds all three. They are one class because they have the keys of a queue, and the
answer to a store that is unavailable, in common.

While a handler runs, the lease on its event and its turn in a sequence are renewed. If the process dies, both expire
by themselves.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import structlog
from typing_extensions import override

from gateway.claims import KEY_PREFIX, ClaimsUnavailable, Standing, digest
from gateway.worker.errors import Retry
from gateway.worker.rate_limit import RateLimit
from gateway.worker.steps import Steps
from gateway.worker.store import Store
from gateway.worker.worker import GuardMode

T = TypeVar("T")

_RETRY_DELAY = 0.5
"""Seconds between requests to a store that is unavailable: short, because every event of the process waits for it."""

_MAX_PENDING_COMMITS = 10_000
"""Events done whose commit failed and is repeated. Beyond that an event may be handled twice, to bound the memory."""

_MAX_PENDING_RESULTS = 16 * 2**20
"""Characters of results of steps in those commits. Beyond that a step with a result may run twice."""

log = structlog.get_logger()


class Lease(Steps):
    """A lease on one event while its handler runs, which also keeps track of the event's steps.

    Attributes:
        key: The key of the event in the store.
        token: The token of this attempt, which owns the key.
        sequence: The key of the sequence that the event belongs to; empty if it is not ordered.
    """

    __slots__ = ("_idempotency", "key", "loop", "sequence", "token")

    def __init__(self, idempotency: Idempotency, key: str, token: str, sequence: str) -> None:
        self._idempotency = idempotency
        self.key = key
        self.token = token
        self.sequence = sequence
        self.loop = asyncio.get_running_loop()

    @override
    async def begin(self, step: str) -> bool:
        standing = await self._idempotency.claim_key(self.key_of(step), self.token)
        # Renewed here so that the event outlives the step: else an attempt after a crash would find the step in flight.
        self._idempotency.renew(self)
        if standing is Standing.IN_FLIGHT:
            raise Retry
        return standing is Standing.CLAIMED

    @override
    def end(self, step: str, *, is_done: bool, result: str = "") -> None:
        if is_done:
            self._idempotency.commit_key(self.key_of(step), result)
        else:
            self._idempotency.release_key(self.key_of(step), self.token)

    @override
    async def result_of(self, step: str) -> str | None:
        return await self._idempotency.result_of(self.key_of(step))

    @override
    def key_of(self, step: str) -> str:
        return f"{self.key}:{digest(step.encode())}"


class Idempotency:
    """The leases, turns and limits of one queue.

    Args:
        store: The store that all processes of the worker share.
        queue: The name of the worker's queue, with which all its keys begin; in braces where the store is a Redis Cluster.
        lease: Seconds after which a lease expires unless it is renewed. Must be the store's own value.
        mode: ``strict`` waits for a store that is unavailable; ``lenient`` goes on without it.
    """

    def __init__(self, store: Store, queue: str, lease: float, mode: GuardMode) -> None:
        self._store = store
        self._prefix = f"{KEY_PREFIX}:worker:{queue}:"
        self._lease_time = lease
        self._is_strict = mode == "strict"
        self._process = os.urandom(8).hex()
        self._attempt = 0
        self._active: set[Lease] = set()
        self._pending_commits: dict[str, str] = {}
        self._is_unavailable = False
        self._renewing: asyncio.Task[None] | None = None

    @property
    def unavailable_reason(self) -> str:
        """Return why the store cannot be used at the moment; empty if it can."""
        return self._store.unavailable_reason

    async def start(self) -> None:
        """Begin to connect. Does not wait for a server that cannot be reached."""
        await self._store.start()
        self._renewing = asyncio.create_task(self._keep_renewing(), name="renewing the leases")

    async def stop(self) -> None:
        """Disconnect. Leases that are still active expire."""
        if self._renewing:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
        self._retry_commits()
        await self._store.stop()

    def lease_for(
        self, source: str, event_key: str, replay: str = "", ordering_key: str | None = None
    ) -> Lease:
        """Return a lease for a new attempt, which :meth:`acquire` takes; the store is not asked yet.

        Args:
            source: The source of the event.
            event_key: The key that identifies the event within its source.
            replay: The id of a forced replay, which is handled although the event is done.
            ordering_key: Events with one key form a sequence; None if the event is not ordered.
        """
        self._attempt += 1
        # The length of the source separates it from the key, so that no two pairs have the same text.
        key = self._prefix + digest(f"{len(source)}:{source}{event_key}".encode()) + replay
        sequence = "" if ordering_key is None else f"{self._prefix}line:{digest(ordering_key.encode())}"
        return Lease(self, key, f"{self._process}.{self._attempt}", sequence)

    async def take_turn(self, lease: Lease) -> float:
        """Join the sequence; return 0 if it is the event's turn, else seconds until the next try."""
        if not lease.sequence:
            return 0.0
        return await self._ask_store(lambda: self._store.take_turn(lease.sequence, lease.key), 0.0)

    async def defer(self, lease: Lease, seconds: float | None) -> None:
        """Keep the event's place in its sequence for ``seconds``; None lets others pass it."""
        if lease.sequence:
            with suppress(ClaimsUnavailable):  # the place is then kept for as long as was agreed before
                await self._store.defer(lease.sequence, lease.key, seconds)

    async def release_turn(self, lease: Lease) -> None:
        """Release the turn before the event is settled.

        Otherwise others would wait for a lease if this process dies in between.
        """
        await self.defer(lease, None)

    async def keep_turn(self, lease: Lease) -> None:
        """Take back a released turn: the event was not settled, and is delivered again."""
        await self.defer(lease, self._lease_time)

    def complete(self, lease: Lease) -> None:
        """Leave the sequence: the event is settled, and the next one has its turn."""
        if lease.sequence:
            self._store.complete(lease.sequence, lease.key)

    async def reserve(self, limit: RateLimit, value: str, max_wait: float) -> float:
        """Return the seconds until one more handler may begin, as the store's ``reserve`` does."""
        bucket = f"{self._prefix}limit:{digest(value.encode())}"
        return await self._ask_store(lambda: self._store.reserve(bucket, *limit, max_wait), 0.0)

    async def acquire(self, lease: Lease) -> Standing:
        """Take the lease unless the event is done or in flight, and renew it from now on."""
        standing = await self.claim_key(lease.key, lease.token)
        if standing is Standing.CLAIMED:
            self._active.add(lease)
        return standing

    def commit(self, lease: Lease) -> None:
        """End the lease of an event that is done. The store remembers that for its retention."""
        self._active.discard(lease)
        self.commit_key(lease.key)

    def release(self, lease: Lease) -> None:
        """End the lease of an event that is not done, so that another attempt can acquire it."""
        self._active.discard(lease)
        self.release_key(lease.key, lease.token)

    def renew(self, lease: Lease) -> None:
        """Extend the lease by its full time."""
        self._store.renew(lease.key, lease.token, lambda: log.warning("lease lost", key=lease.key))

    async def claim_key(self, key: str, token: str) -> Standing:
        """Claim the key of an event or a step.

        In lenient mode it counts as claimed while the store is unavailable.
        """
        return await self._ask_store(lambda: self._store.claim(key, token), Standing.CLAIMED)

    def commit_key(self, key: str, result: str = "") -> None:
        """Mark ``key`` as done, with a result; repeat that if the store fails, for as long as the process lives."""
        self._store.commit(key, lambda: self._queue_commit(key, result), content=result)

    async def result_of(self, key: str) -> str | None:
        """Return the result that ``key`` was marked as done with; None if it has none.

        Raises:
            Retry: The store is unavailable, and the worker does not wait for it.
        """
        results: list[str | None] = await self._ask_store(lambda: self._result_in_list(key), [])
        if not results:
            raise Retry
        return results[0]

    async def _result_in_list(self, key: str) -> list[str | None]:
        return [await self._store.result_of(key)]

    def release_key(self, key: str, token: str) -> None:
        """Give up the claim to ``key``."""
        self._store.release(key, token)

    async def _ask_store(self, request: Callable[[], Awaitable[T]], default: T) -> T:
        """Return the store's answer.

        While it is unavailable, ask again in strict mode, or return ``default`` in lenient mode.
        """
        while True:
            try:
                answer = await request()
            except ClaimsUnavailable as error:
                if not self._is_unavailable:  # logged once, not for every event
                    log.warning("guard unavailable", cause=str(error), waits=self._is_strict)
                self._is_unavailable = True
                if not self._is_strict:
                    return default
                await asyncio.sleep(_RETRY_DELAY)
            else:
                self._is_unavailable = False
                return answer

    def _queue_commit(self, key: str, result: str) -> None:
        if not self._pending_commits:  # logged once, not for every event
            log.warning("commit failed", key=key)
        has_room = not result or sum(map(len, self._pending_commits.values())) < _MAX_PENDING_RESULTS
        if len(self._pending_commits) < _MAX_PENDING_COMMITS and has_room:
            self._pending_commits[key] = result

    def _retry_commits(self) -> None:
        pending, self._pending_commits = self._pending_commits, {}
        for key, result in pending.items():
            self.commit_key(key, result)

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(self._lease_time / 3)
            for lease in self._active:
                self.renew(lease)
            self._retry_commits()
            await asyncio.gather(*(self.keep_turn(lease) for lease in self._active))
