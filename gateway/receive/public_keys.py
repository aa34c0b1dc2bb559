"""The public keys that senders publish: fetched when a request cannot be judged without one, then kept fresh.

A stranger can name keys that do not exist, and keys that do. So what genuine events need never depends on what was
asked for strangers:

- A key that has verified a delivery is renewed in the background, long before it ends. No event waits for that.
- Such keys stand on disk, so that a restart, a reload and other processes have them.
- Where one is missing after all, it is asked for from a budget of its own (:mod:`gateway.receive.key_budget`), and a sender
  that has it no more proves no forgery.
- Requests that wait for the same key share the answer; only so many wait, since each is one of those under way.
- A key that does not exist is not asked for again at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import structlog

from gateway.adapters.adapter import BoundAdapter
from gateway.errors import KeyUnavailable
from gateway.receive.key_budget import KeyBudget, Name, name_of
from gateway.receive.key_files import KeyFile
from gateway.signatures.rejections import Rejection, SignatureRejected
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeptKey, KeyRequest
from gateway.transport.https import FetchFailed, fetch, open_client

if TYPE_CHECKING:
    import httpx

ABSENT_FOR = 60.0
"""Seconds for which a key that does not exist is not asked for again."""

MAX_WAITING = 100
"""Requests that wait for keys of one provider at a time, as many again for keys that were good before.

By default a process has a thousand requests under way; strangers must not take all of them.
"""

MAX_FETCHES = 2
"""Fetches that lead to one key: of a token, and of the key with it."""

RENEW_EVERY = 5.0
"""Seconds between two looks at which keys are due, and at what other processes have written."""

_OK = 200
_OURS = frozenset({401, 408, 429})
"""Refusals that say something of us, and nothing of the key."""

log = structlog.get_logger()

Refusal = Callable[[], Rejection]


class PublicKeyFetcher:
    """Fetches keys, and has the adapters that need them learn them.

    Args:
        data_dir: where keys are kept; None to keep none.
        open_client: makes the client to fetch with, when the first key is fetched.
        clock: Unix seconds, by which keys and certificates end.
        steady_clock: seconds that only grow.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        open_client: Callable[[], httpx.AsyncClient] = open_client,
        clock: Callable[[], float] = time.time,
        steady_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._data_dir = data_dir
        self._open_client = open_client
        self._clock = clock
        self._steady_clock = steady_clock
        self._client: httpx.AsyncClient | None = None
        self._desks: WeakKeyDictionary[BoundAdapter, _ProviderKeys] = WeakKeyDictionary()
        self._attached: dict[str, BoundAdapter] = {}
        self._renewing: asyncio.Task[None] | None = None

    def attach(self, adapters: Mapping[str, BoundAdapter]) -> None:
        """Look after the keys of these adapters, by the names of their providers, and of no others any more.

        They have at once what those that they replace had, and what stands on disk.
        """
        before, self._attached = self._attached, dict(adapters)
        for name, adapter in adapters.items():
            if adapter.fetched is None:
                continue
            scope = f"{adapter.name} {adapter.fetched.scope}"
            file = KeyFile(self._data_dir, name, scope) if self._data_dir else None
            desk = self._desks[adapter] = _ProviderKeys(adapter.fetched, self._steady_clock, file)
            old = before.get(name)
            if old is not None and old.fetched is not None and f"{old.name} {old.fetched.scope}" == scope:
                desk.restore(old.fetched.kept(), self._clock())
            desk.read_again(self._clock())

    async def start(self) -> None:
        """Begin to renew keys."""
        self._renewing = asyncio.create_task(self._keep_renewing(), name="keys")

    async def fetch(self, adapter: BoundAdapter, request: KeyRequest, client: str) -> None:
        """Have ``adapter`` learn the key that it asked for, for a request from the address ``client``.

        Raises:
            SignatureRejected: there is no such key.
            KeyUnavailable: it cannot be had at the moment.
        """
        desk = self._desk_of(adapter)
        if desk.read_again(self._clock()):
            return  # another process has fetched something: the request is to be looked at again
        refusal = desk.refusal(request, client)
        if refusal is None:
            desk.waiting[request.is_known] += 1
            try:
                # Shielded: others may wait for the same answer when the deadline of this request ends.
                refusal = await asyncio.shield(self._ask(desk, adapter, request))
            finally:
                desk.waiting[request.is_known] -= 1
        if refusal is not None:
            raise refusal()

    async def renew(self) -> None:
        """Fetch anew what is due, and write down what has changed."""
        await asyncio.gather(
            *[
                self._renew(self._desk_of(adapter), adapter, adapter.fetched)
                for adapter in self._attached.values()
                if adapter.fetched is not None
            ]
        )

    async def aclose(self) -> None:
        """Write down what has changed, and close what is open."""
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
        for desk in self._desks.values():
            await desk.aclose()
        for adapter in self._attached.values():
            if adapter.fetched is not None:
                await self._desk_of(adapter).write(self._clock())
        if self._client is not None:
            await self._client.aclose()

    async def _keep_renewing(self) -> None:
        while True:
            try:
                await self.renew()
            except Exception:
                log.exception("internal error")
            await asyncio.sleep(RENEW_EVERY)

    async def _renew(self, desk: _ProviderKeys, adapter: BoundAdapter, keys: FetchedKeys) -> None:
        desk.read_again(self._clock())
        for name in keys.due(self._clock()):
            for _ in range(MAX_FETCHES):
                request = keys.request(name, self._clock())._replace(is_known=True)
                if desk.refusal(request, ""):
                    break
                refusal = await asyncio.shield(self._ask(desk, adapter, request))
                if refusal is not None or name in {request.key_id, request.url}:
                    break
        await desk.write(self._clock())

    def _desk_of(self, adapter: BoundAdapter) -> _ProviderKeys:
        desk = self._desks.get(adapter)
        if desk is None:
            desk = self._desks[adapter] = _ProviderKeys(adapter.fetched, self._steady_clock, None)
        return desk

    def _ask(
        self, desk: _ProviderKeys, adapter: BoundAdapter, request: KeyRequest
    ) -> asyncio.Task[Refusal | None]:
        return desk.share(request, partial(self._fetch, desk, adapter, request))

    async def _fetch(self, desk: _ProviderKeys, adapter: BoundAdapter, request: KeyRequest) -> Refusal | None:
        if self._client is None:
            self._client = self._open_client()
        try:
            status, content = await fetch(self._client, request.url, request.body, request.headers)
            if 400 <= status < 500 and status not in _OURS and not request.is_known:
                log.warning("no such key", adapter=adapter.name, key=repr(request), status=status)
                desk.note_absent(request)
                return _ABSENT
            if status != _OK:
                raise FetchFailed(f"answers {status}")
            adapter.learn(request, content, self._clock())
        except (FetchFailed, ValueError) as error:
            log.warning("key unavailable", adapter=adapter.name, key=repr(request), cause=str(error))
            return partial(KeyUnavailable, str(error))
        log.info("key fetched", adapter=adapter.name, key=repr(request))
        return None


class _ProviderKeys:
    """One provider: its keys, what is being asked for, what was asked in vain, and where its keys are kept.

    Attributes:
        waiting: how many requests wait for an answer, by whether the key was good before.
    """

    def __init__(self, keys: FetchedKeys | None, clock: Callable[[], float], file: KeyFile | None) -> None:
        self.waiting = {False: 0, True: 0}
        self._keys = keys
        self._clock = clock
        self._file = file
        self._written = keys.version if keys else 0
        self._budget = KeyBudget(clock)
        self._pending: dict[Name, asyncio.Task[Refusal | None]] = {}
        self._absent: dict[Name, float] = {}

    def refusal(self, request: KeyRequest, client: str) -> Refusal | None:
        """Say why a key is not asked for now, or take the question from its budget; None when it is asked for."""
        name = name_of(request)
        if self.waiting[request.is_known] >= MAX_WAITING:
            return _TOO_MANY
        if name in self._pending:
            return None
        if self._absent.get(name, 0.0) > self._clock():
            return _ABSENT
        return None if self._budget.take(request, client) else _TOO_OFTEN

    def share(
        self, request: KeyRequest, ask: Callable[[], Coroutine[Any, Any, Refusal | None]]
    ) -> asyncio.Task[Refusal | None]:
        """Ask for a key, or join those that wait for it already."""
        name = name_of(request)
        task = self._pending.get(name)
        if task is None:
            task = self._pending[name] = asyncio.create_task(ask())
            task.add_done_callback(lambda _: self._pending.pop(name))
        return task

    def note_absent(self, request: KeyRequest) -> None:
        """Note that there is no such key; the budgets bound how many are remembered."""
        now = self._clock()
        self._absent = {known: until for known, until in self._absent.items() if until > now}
        self._absent[name_of(request)] = now + ABSENT_FOR

    def restore(self, kept: list[KeptKey], now: float) -> bool:
        """Take over what is newer than what is here; return whether anything was."""
        if self._keys is None:
            return False
        before = self._keys.version
        for key in kept:
            try:
                self._keys.restore(key, now)
            except ValueError as error:
                log.warning("kept key not used", key=key.name, cause=str(error))
        return self._keys.version != before

    def read_again(self, now: float) -> bool:
        """Take over what other processes have written; return whether there was anything new."""
        if self._file is None or self._keys is None:
            return False
        has_written_all = self._keys.version == self._written
        is_new = self.restore(self._file.read_new(now), now)
        if has_written_all:
            self._written = self._keys.version
        return is_new

    async def write(self, now: float) -> None:
        """Write down what has changed."""
        if self._file is None or self._keys is None or self._keys.version == self._written:
            return
        self._written = self._keys.version
        await asyncio.to_thread(self._file.write, self._keys.kept(), now)

    async def aclose(self) -> None:
        """Ask no more."""
        pending = list(self._pending.values())
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


_ABSENT: Refusal = partial(SignatureRejected, "unknown_key")
_TOO_OFTEN: Refusal = partial(KeyUnavailable, "keys were asked for too often")
_TOO_MANY: Refusal = partial(KeyUnavailable, "too many requests wait for keys")
