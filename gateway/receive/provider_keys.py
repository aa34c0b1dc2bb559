"""The public keys of one provider: fetches under way, what they may cost, keys known to be missing, and the file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog

from gateway.errors import KeyUnavailable
from gateway.receive.key_budget import KeyBudget, KeyName, name_of
from gateway.receive.key_files import KeyFile
from gateway.signatures.rejections import Rejection, SignatureRejected
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeptKey, KeyRequest

ABSENT_FOR = 60.0
"""Seconds for which a key that does not exist is not fetched again."""

MAX_WAITING = 100
"""Requests that wait for keys of one provider, and as many again for keys that were good before.

A process has a thousand requests under way by default, and forgeries must not take all of them.
"""

log = structlog.get_logger()

Refusal = Callable[[], Rejection]
"""Makes the rejection for a request whose key is not there. Each request needs an exception of its own."""

ABSENT: Refusal = partial(SignatureRejected, "unknown_key")
_TOO_OFTEN: Refusal = partial(KeyUnavailable, "keys were asked for too often")
_TOO_MANY: Refusal = partial(KeyUnavailable, "too many requests wait for keys")


class ProviderKeys:
    """The state of one provider's keys.

    Args:
        keys: the keys, as its adapter knows them; None for an adapter that fetches none.
        clock: seconds on a monotonic clock.
        file: where the keys are kept; None to keep none.

    Attributes:
        waiting: how many requests wait for a fetch, by whether the key was good before.
    """

    def __init__(self, keys: FetchedKeys | None, clock: Callable[[], float], file: KeyFile | None) -> None:
        self.waiting = {False: 0, True: 0}
        self._keys = keys
        self._clock = clock
        self._file = file
        self._written = keys.version if keys else 0
        self._budget = KeyBudget(clock)
        self._pending: dict[KeyName, asyncio.Task[Refusal | None]] = {}
        self._absent: dict[KeyName, float] = {}

    def refusal(self, request: KeyRequest, client: str) -> Refusal | None:
        """Return why the key is not fetched now; None if it may be, which is then charged to its budget."""
        name = name_of(request)
        if self.waiting[request.is_known] >= MAX_WAITING:
            return _TOO_MANY
        if name in self._pending:
            return None
        if self._absent.get(name, 0.0) > self._clock():
            return ABSENT
        return None if self._budget.take(request, client) else _TOO_OFTEN

    def share(
        self, request: KeyRequest, fetch: Callable[[], Coroutine[Any, Any, Refusal | None]]
    ) -> asyncio.Task[Refusal | None]:
        """Fetch a key, or join the requests that wait for the same one."""
        name = name_of(request)
        task = self._pending.get(name)
        if task is None:
            task = self._pending[name] = asyncio.create_task(fetch())
            task.add_done_callback(lambda _: self._pending.pop(name))
        return task

    def note_absent(self, request: KeyRequest) -> None:
        """Remember that the key does not exist; the budgets bound how many are remembered."""
        now = self._clock()
        self._absent = {known: until for known, until in self._absent.items() if until > now}
        self._absent[name_of(request)] = now + ABSENT_FOR

    def restore(self, kept: list[KeptKey], now: float) -> bool:
        """Adopt the keys that are newer than those here; return whether there were any."""
        if self._keys is None:
            return False
        before = self._keys.version
        for key in kept:
            try:
                self._keys.restore(key, now)
            except ValueError as error:
                log.warning("kept key not used", key=key.name, cause=str(error))
        return self._keys.version != before

    def read_file(self, now: float) -> bool:
        """Adopt what other processes have written; return whether there was anything new."""
        if self._file is None or self._keys is None:
            return False
        has_written_all = self._keys.version == self._written
        is_new = self.restore(self._file.read_new(now), now)
        if has_written_all:
            self._written = self._keys.version
        return is_new

    async def write_file(self, now: float) -> None:
        """Write the keys to the file if they have changed."""
        if self._file is None or self._keys is None or self._keys.version == self._written:
            return
        self._written = self._keys.version
        await asyncio.to_thread(self._file.write, self._keys.kept(), now)

    async def aclose(self) -> None:
        """Cancel the fetches under way."""
        pending = list(self._pending.values())
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
