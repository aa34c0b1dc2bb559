"""The public keys that senders publish: fetched when a request cannot be judged without one, and not otherwise.

A stranger can name keys that do not exist. So of one provider only so many are asked for, whoever waits for the
same one shares the answer, and what does not exist is not asked for again at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import structlog

from gateway.admission import Bucket
from gateway.errors import KeyUnavailable
from gateway.fetch import FetchFailed, fetch, open_client
from providers import BoundAdapter, Rejection, SignatureRejected
from providers.schemes.scheme import KeyRequest
from providers.units import EventRate

if TYPE_CHECKING:
    import httpx

FETCHES = EventRate(5, 5.0)
"""How many keys are asked for, for one provider."""

ABSENT_FOR = 60.0
"""Seconds for which a key that does not exist is not asked for again."""

_OK = 200
_OURS = frozenset({401, 408, 429})
"""Refusals that say something of us, and nothing of the key."""

log = structlog.get_logger()

Refusal = Callable[[], Rejection]


class KeyStore:
    """Fetches keys, and has the adapters that asked for them learn them.

    Args:
        open_client: makes the client to fetch with, when the first key is.
        clock: Unix seconds, by which certificates are judged.
        steady_clock: seconds that only grow.
    """

    def __init__(
        self,
        open_client: Callable[[], httpx.AsyncClient] = open_client,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_client = open_client
        self._clock = clock
        self._steady_clock = steady_clock
        self._client: httpx.AsyncClient | None = None
        self._desks: WeakKeyDictionary[BoundAdapter, _Desk] = WeakKeyDictionary()

    async def fetch(self, adapter: BoundAdapter, request: KeyRequest) -> None:
        """Have ``adapter`` learn the key that it asked for.

        Raises:
            SignatureRejected: there is no such key.
            KeyUnavailable: it cannot be had at the moment.
        """
        desk = self._desks.get(adapter)
        if desk is None:
            desk = self._desks[adapter] = _Desk(self._steady_clock)
        refusal = desk.refusal(request)
        if refusal is None:
            # Shielded: others may wait for the same answer when the deadline of this request ends.
            refusal = await asyncio.shield(desk.share(request, partial(self._fetch, adapter, request)))
            if refusal is _ABSENT:
                desk.note_absent(request)
        if refusal is not None and not request.is_refresh:
            raise refusal()

    async def aclose(self) -> None:
        """Close what is open."""
        if self._client is not None:
            await self._client.aclose()

    async def _fetch(self, adapter: BoundAdapter, request: KeyRequest) -> Refusal | None:
        if self._client is None:
            self._client = self._open_client()
        try:
            status, content = await fetch(self._client, request.url, request.body, request.headers)
            if 400 <= status < 500 and status not in _OURS:
                log.warning("no such key", adapter=adapter.name, key=repr(request), status=status)
                return _ABSENT
            if status != _OK:
                raise FetchFailed(f"answers {status}")
            adapter.learn(request, content, self._clock())
        except (FetchFailed, ValueError) as error:
            log.warning("key unavailable", adapter=adapter.name, key=repr(request), cause=str(error))
            return partial(KeyUnavailable, str(error))
        log.info("key fetched", adapter=adapter.name, key=repr(request))
        return None


class _Desk:
    """What is being asked for one provider, how often it may be asked, and what was asked in vain."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bucket = Bucket(FETCHES, clock)
        self._pending: dict[KeyRequest, asyncio.Task[Refusal | None]] = {}
        self._absent: dict[KeyRequest, float] = {}

    def refusal(self, request: KeyRequest) -> Refusal | None:
        """Why the key need not be asked for now; None when it is to be."""
        if request in self._pending:
            return None
        if self._absent.get(request, 0.0) > self._clock():
            return _ABSENT
        return _TOO_OFTEN if self._bucket.is_empty() else None

    def share(
        self, request: KeyRequest, ask: Callable[[], Coroutine[Any, Any, Refusal | None]]
    ) -> asyncio.Task[Refusal | None]:
        """The one question for a key, which whoever wants it waits for."""
        task = self._pending.get(request)
        if task is None:
            self._bucket.take()
            task = self._pending[request] = asyncio.create_task(ask())
            task.add_done_callback(lambda _: self._pending.pop(request))
        return task

    def note_absent(self, request: KeyRequest) -> None:
        """There is no such key; the rate bounds how many are remembered."""
        now = self._clock()
        self._absent = {known: until for known, until in self._absent.items() if until > now}
        self._absent[request] = now + ABSENT_FOR


_ABSENT: Refusal = partial(SignatureRejected, "unknown_key")
_TOO_OFTEN: Refusal = partial(KeyUnavailable, "keys were asked for too often")
