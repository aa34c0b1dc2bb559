"""Public keys that providers publish: fetched when a request needs one, then renewed before they expire.

Anyone can name keys that do not exist, and keys that do. So what genuine events need never depends on what was
fetched for unproven requests:

- A key that has verified a request is renewed in the background, long before it expires. No event waits for that.
- Such keys are kept on disk for restarts, reloads and other processes.
- If one is missing after all, it is fetched from a budget of its own (:mod:`gateway.receive.key_budget`); a provider
  that no longer publishes it does not prove a forgery.
- Requests that wait for the same key share one fetch. Only so many may wait, since each is a request under way.
- A key that does not exist is not fetched again at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import structlog
from typing_extensions import override

from gateway.adapters.adapter import BoundAdapter
from gateway.errors import KeyUnavailable
from gateway.receive.jobs import Keys
from gateway.receive.key_files import KeyFile
from gateway.receive.provider_keys import ABSENT, ProviderKeys, Refusal
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeyRequest
from gateway.transport.https import FetchFailed, fetch, open_client

if TYPE_CHECKING:
    import httpx

MAX_FETCHES = 2
"""Fetches that lead to one key: one for an access token, and one for the key."""

RENEW_INTERVAL = 5.0
"""Seconds between two looks at which keys are due, and at what other processes have written."""

_OK = 200
_OUR_FAULT = frozenset({401, 408, 429})
"""Client errors that say something about our request, and nothing about the key."""

log = structlog.get_logger()


class PublicKeyFetcher(Keys):
    """Fetches public keys for the adapters that need them.

    Args:
        data_dir: the folder of the gateway's data, where keys are kept; None to keep none.
        open_client: makes the HTTP client when the first key is fetched.
        clock: Unix seconds, by which keys and certificates expire.
        steady_clock: seconds on a monotonic clock.
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
        self._by_adapter: WeakKeyDictionary[BoundAdapter, ProviderKeys] = WeakKeyDictionary()
        self._attached: dict[str, BoundAdapter] = {}
        self._renewing: asyncio.Task[None] | None = None

    def attach(self, adapters: Mapping[str, BoundAdapter]) -> None:
        """Renew the keys of these adapters from now on, by the names of their providers, and of no others.

        They start with the keys of the adapters they replace, and with those on disk.
        """
        before, self._attached = self._attached, dict(adapters)
        for name, adapter in adapters.items():
            if adapter.fetched is None:
                continue
            scope = f"{adapter.name} {adapter.fetched.scope}"
            file = KeyFile(self._data_dir, name, scope) if self._data_dir else None
            provider = self._by_adapter[adapter] = ProviderKeys(adapter.fetched, self._steady_clock, file)
            old = before.get(name)
            if old is not None and old.fetched is not None and f"{old.name} {old.fetched.scope}" == scope:
                provider.restore(old.fetched.kept(), self._clock())
            provider.read_file(self._clock())

    async def start(self) -> None:
        """Start renewing keys."""
        self._renewing = asyncio.create_task(self._keep_renewing(), name="keys")

    @override
    async def fetch(self, adapter: BoundAdapter, request: KeyRequest, client: str) -> None:
        provider = self._keys_of(adapter)
        if provider.read_file(self._clock()):
            return  # another process has fetched keys: the request is examined again with them
        refusal = provider.refusal(request, client)
        if refusal is None:
            provider.waiting[request.is_known] += 1
            try:
                # Shielded: other requests may wait for the same fetch when the deadline of this one ends.
                refusal = await asyncio.shield(self._share(provider, adapter, request))
            finally:
                provider.waiting[request.is_known] -= 1
        if refusal is not None:
            raise refusal()

    async def renew(self) -> None:
        """Fetch the keys that are due, and write those that have changed to disk."""
        await asyncio.gather(
            *[
                self._renew(self._keys_of(adapter), adapter, adapter.fetched)
                for adapter in self._attached.values()
                if adapter.fetched is not None
            ]
        )

    async def aclose(self) -> None:
        """Write what has changed to disk, and close the HTTP client."""
        if self._renewing is not None:
            self._renewing.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewing
        for provider in self._by_adapter.values():
            await provider.aclose()
        for adapter in self._attached.values():
            if adapter.fetched is not None:
                await self._keys_of(adapter).write_file(self._clock())
        if self._client is not None:
            await self._client.aclose()

    async def _keep_renewing(self) -> None:
        while True:
            try:
                await self.renew()
            except Exception:
                log.exception("internal error")
            await asyncio.sleep(RENEW_INTERVAL)

    async def _renew(self, provider: ProviderKeys, adapter: BoundAdapter, keys: FetchedKeys) -> None:
        provider.read_file(self._clock())
        for name in keys.due(self._clock()):
            for _ in range(MAX_FETCHES):
                request = keys.request(name, self._clock())._replace(is_known=True)
                if provider.refusal(request, ""):
                    break
                refusal = await asyncio.shield(self._share(provider, adapter, request))
                if refusal is not None or name in {request.key_id, request.url}:
                    break
        await provider.write_file(self._clock())

    def _keys_of(self, adapter: BoundAdapter) -> ProviderKeys:
        provider = self._by_adapter.get(adapter)
        if provider is None:
            provider = self._by_adapter[adapter] = ProviderKeys(adapter.fetched, self._steady_clock, None)
        return provider

    def _share(
        self, provider: ProviderKeys, adapter: BoundAdapter, request: KeyRequest
    ) -> asyncio.Task[Refusal | None]:
        return provider.share(request, partial(self._fetch, provider, adapter, request))

    async def _fetch(
        self, provider: ProviderKeys, adapter: BoundAdapter, request: KeyRequest
    ) -> Refusal | None:
        if self._client is None:
            self._client = self._open_client()
        try:
            status, content = await fetch(self._client, request.url, request.body, request.headers)
            if 400 <= status < 500 and status not in _OUR_FAULT and not request.is_known:
                log.warning("key does not exist", adapter=adapter.name, key=repr(request), status=status)
                provider.note_absent(request)
                return ABSENT
            if status != _OK:
                raise FetchFailed(f"answers {status}")
            adapter.learn(request, content, self._clock())
        except (FetchFailed, ValueError) as error:
            log.warning("key unavailable", adapter=adapter.name, key=repr(request), cause=str(error))
            return partial(KeyUnavailable, str(error))
        log.info("key fetched", adapter=adapter.name, key=repr(request))
        return None
