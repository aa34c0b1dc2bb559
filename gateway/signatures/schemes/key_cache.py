"""Caches of the public keys that senders publish.

A cached key is fetched again long before it expires, so that requests never wait for a key that was good before.

This module has more than 200 lines because both caches, of named keys and of key sets, share the rules of renewal.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import orjson
from typing_extensions import override

from gateway.signatures.rejections import SignatureRejected
from gateway.signatures.schemes.fetched_keys import FetchedKeys, KeptKey, KeyNeeded, KeyRequest
from gateway.signatures.schemes.jwk import read_jwk_set

if TYPE_CHECKING:
    from gateway.signatures.schemes.asymmetric import PublicKey

MAX_KEYS = 16
"""Keys of one sender that are cached after they verified a request. Senders have two while they change one."""

MAX_UNPROVEN_KEYS = 8
"""Keys of one sender that are cached because a request named them, but that have verified nothing yet."""

MAX_KEY_AGE = 24 * 3600.0
"""Seconds after which a key is not used without being fetched again: a day bounds the use of a withdrawn key."""

MAX_REMEMBERED_AGE = 30 * MAX_KEY_AGE
"""Seconds for which a key that cannot be fetched is remembered as one that was good, and is still requested."""

REFRESH_DELAY = 3600.0
"""Seconds after which a key is fetched again. While that fails, the cached key is used."""

REFETCH_INTERVAL = 60.0
"""Minimum seconds between two attempts to fetch a key again, and between two fetches of a set of keys."""

_KEY_ID = re.compile(r"[!-~]{1,256}")
"""Ids for which a set of keys is fetched; longer or unprintable ones name no key."""


class CachedKey(NamedTuple):
    """A public key and the period in which it is valid, in Unix seconds; without limits if it has no certificate."""

    key: PublicKey
    valid_from: float = float("-inf")
    valid_until: float = float("inf")

    def at(self, now: float) -> PublicKey:
        """Return the key.

        Raises:
            SignatureRejected: The key is not valid at ``now``.
        """
        if not self.valid_from <= now <= self.valid_until:
            raise SignatureRejected("unknown_key")
        return self.key


@dataclass(slots=True)
class _Fetch:
    """The time of the last fetch and of the last attempt to repeat it, in Unix seconds."""

    fetched_at: float
    tried_at: float = float("-inf")

    def age(self, now: float) -> float:
        """Return the age in seconds. If the clock has gone back, make it old enough to be fetched again soon."""
        if now < self.fetched_at:
            self.fetched_at = now - REFRESH_DELAY
        return now - self.fetched_at

    def is_due(self, now: float) -> bool:
        """Return whether to fetch again now. If so, record the attempt."""
        age = self.age(now)
        pause = REFETCH_INTERVAL if age < MAX_KEY_AGE else REFRESH_DELAY
        if age < REFRESH_DELAY or abs(now - self.tried_at) < pause:
            return False
        self.tried_at = now
        return True


@dataclass(slots=True)
class _Entry:
    """A cached key. ``is_proven`` says whether it has verified a request."""

    key: CachedKey
    content: bytes
    fetch: _Fetch
    is_proven: bool = False


class NamedKeys(FetchedKeys, ABC):
    """A cache of keys that are fetched one by one, by the names that requests give.

    Anybody can name keys that exist at the sender but sign nothing for this receiver. So a key that has verified a
    request is evicted only by others that have, and only such keys are renewed and kept.
    """

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.version = 0
        self._entries: dict[str, _Entry] = {}  # in the order of their last use

    @abstractmethod
    def read(self, name: str, content: bytes, now: float) -> CachedKey:
        """Parse the key ``name``, as it was fetched or kept.

        Raises:
            ValueError: The content is another key or no key, or the key is not valid at ``now``.
        """

    def get(self, name: str, now: float) -> PublicKey:
        """Return the key ``name``.

        Raises:
            SignatureRejected: No key of this sender has such a name, or the key is not valid at ``now``.
            KeyNeeded: The key has to be fetched first.
        """
        entry = self._entries.pop(name, None)
        if entry is None:
            raise KeyNeeded(self.request(name, now))
        self._entries[name] = entry
        if entry.fetch.age(now) >= MAX_KEY_AGE:
            raise KeyNeeded(self.request(name, now)._replace(is_known=entry.is_proven))
        return entry.key.at(now)

    def note_proof(self, name: str) -> None:
        """Record that the key ``name`` has verified a request."""
        entry = self._entries.get(name)
        if entry is not None and not entry.is_proven:
            entry.is_proven = True
            self.version += 1
            self._drop_excess()

    @override
    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        name = request.key_id or request.url
        known = self._entries.get(name)
        self._put(name, content, _Fetch(now), now, is_proven=known is not None and known.is_proven)

    @override
    def due(self, now: float) -> list[str]:
        for name in [
            name for name, entry in self._entries.items() if entry.fetch.age(now) > MAX_REMEMBERED_AGE
        ]:
            del self._entries[name]
        return [name for name, entry in self._entries.items() if entry.is_proven and entry.fetch.is_due(now)]

    @override
    def kept(self) -> list[KeptKey]:
        return [
            KeptKey(name, entry.content, entry.fetch.fetched_at)
            for name, entry in self._entries.items()
            if entry.is_proven
        ]

    @override
    def restore(self, key: KeptKey, now: float) -> None:
        known = self._entries.get(key.name)
        if known is not None and known.fetch.fetched_at >= key.fetched_at:
            return
        try:
            self.request(key.name, now)
        except SignatureRejected:
            raise ValueError("no key has such a name") from None
        self._put(key.name, key.content, _Fetch(key.fetched_at), now, is_proven=True)

    def _put(self, name: str, content: bytes, fetch: _Fetch, now: float, *, is_proven: bool) -> None:
        entry = _Entry(self.read(name, content, now), content, fetch, is_proven)
        self._entries.pop(name, None)
        self._entries[name] = entry
        self.version += is_proven
        self._drop_excess()

    def _drop_excess(self) -> None:
        for is_proven, limit in ((True, MAX_KEYS), (False, MAX_UNPROVEN_KEYS)):
            names = [name for name, entry in self._entries.items() if entry.is_proven is is_proven]
            for name in names[: len(names) - limit] if len(names) > limit else ():
                del self._entries[name]


class KeySet(FetchedKeys):
    """A cache of the keys that a sender publishes at one address (JWK Set, RFC 7517)."""

    def __init__(self, url: str) -> None:
        self.scope = url
        self.version = 0
        self._keys: dict[str, PublicKey] = {}
        self._content = b""
        self._fetch: _Fetch | None = None

    def get(self, key_id: str, now: float) -> PublicKey:
        """Return the key ``key_id``.

        Raises:
            SignatureRejected: The set has no such key, and was fetched less than :data:`REFETCH_INTERVAL` ago.
            KeyNeeded: The set has to be fetched first.
        """
        key = self._keys.get(key_id)
        age = self._fetch.age(now) if self._fetch else MAX_KEY_AGE
        if key is not None and age < MAX_KEY_AGE:
            return key
        if age < REFETCH_INTERVAL or not _KEY_ID.fullmatch(key_id):
            raise SignatureRejected("unknown_key")
        raise KeyNeeded(self.request(self.scope, now))

    @override
    def request(self, name: str, now: float) -> KeyRequest:
        return KeyRequest(self.scope, is_known=True)

    @override
    def learn(self, request: KeyRequest, content: bytes, now: float) -> None:
        self._take(content, _Fetch(now))

    @override
    def due(self, now: float) -> list[str]:
        return [self.scope] if self._fetch and self._fetch.is_due(now) else []

    @override
    def kept(self) -> list[KeptKey]:
        return [KeptKey(self.scope, self._content, self._fetch.fetched_at)] if self._fetch else []

    @override
    def restore(self, key: KeptKey, now: float) -> None:
        if self._fetch is None or self._fetch.fetched_at < key.fetched_at:
            self._take(key.content, _Fetch(key.fetched_at))

    def _take(self, content: bytes, fetch: _Fetch) -> None:
        document = orjson.loads(content)
        members = document.get("keys") if isinstance(document, dict) else None
        keys = read_jwk_set(members if isinstance(members, list) else [])
        if not keys:
            raise ValueError("the set contains no key")
        self._keys, self._content, self._fetch = keys, content, fetch
        self.version += 1
