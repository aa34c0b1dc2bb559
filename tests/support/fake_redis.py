"""A Redis in memory that loses requests and replies on demand, behind a real connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import cast

import hiredis

from gateway.claims import DONE
from gateway.claims.packing import place_of
from gateway.claims.redis_connection import RedisConnection
from gateway.transport.redis_url import RedisUrl

_LATENCY = 0.001  # seconds


class Fate(Enum):
    """What happens to one batch of commands that arrives."""

    ANSWERED = "answered"
    LOST = "the connection ends, and nothing was done"
    REPLIES_LOST = "all is done, and the connection ends before a reply"
    REPLIES_CUT = "all is done, and the connection ends within the replies"
    GARBLED = "all is done, and what comes back is not Redis'"
    STALLED = "nothing is done, and nothing comes back"
    REPLIES_STALLED = "all is done, and nothing comes back"


class FakeRedis:
    """The server. Tests patch the function that opens a Redis connection with :meth:`open`.

    Args:
        clock: seconds, by which keys expire.

    Attributes:
        is_away: whether connections are refused.
        refusal: the error that every command gets; empty when it is carried out.
        fates: of the batches to come; those beyond are answered.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.is_away = False
        self.refusal = ""
        self.fates: deque[Fate] = deque()
        self.values: dict[bytes, tuple[bytes, float]] = {}
        self.hashes: dict[bytes, dict[bytes, bytes]] = {}
        self._clock = clock
        self._transports: list[_Transport] = []

    async def open(self, parts: RedisUrl, timeout: float, *, in_cluster: bool = False) -> RedisConnection:
        """A connection that has nothing fake but its transport."""
        if self.is_away:
            raise ConnectionRefusedError("refused")
        connection = RedisConnection(timeout)
        transport = _Transport(self, connection, asyncio.get_running_loop())
        self._transports.append(transport)
        connection.connection_made(cast("asyncio.Transport", transport))
        return connection

    def go_away(self) -> None:
        """End all connections, and refuse new ones."""
        self.is_away = True
        for transport in self._transports:
            transport.abort()

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key."""
        value, expires_at = self.values.get(key, (None, 0.0))
        return value if expires_at > self._clock() else None

    def put(self, key: bytes, value: bytes, seconds: float) -> None:
        """Store as another program would."""
        self.values[key] = value, self._clock() + seconds

    def clear(self) -> None:
        """Forget everything."""
        self.values.clear()
        self.hashes.clear()

    def is_done(self, key: str) -> bool:
        """Return whether an attempt would find the event done."""
        field = place_of(key)[1]
        is_packed = any(field in fields for fields in self.hashes.values())
        return is_packed or (self.get(key.encode()) or b"").startswith(DONE)

    def execute(self, command: list[bytes]) -> bytes:
        """Carry out one command; the reply as it is on the wire."""
        if self.refusal:
            return b"-%b\r\n" % self.refusal.encode()
        match command:
            case [b"SET", key, value, *options]:
                return self._set(key, value, options)
            case [b"EVAL", script, b"1", key, holder]:
                assert b"'DEL'" in script  # the one by which a claim is released
                return self._delete(key) if self.get(key) == holder else b":0\r\n"
            case [b"EVAL", script, b"1", _]:
                assert b"'GET'" in script  # the one by which a connection finds out whether scripts run
                return b"$-1\r\n"
            case [b"EVAL", script, b"1", name, _, mark, _]:
                assert b"'HGETALL'" in script  # the upkeep of a hash
                return self._put_into_hash(name, b"", mark)
            case [b"HSET", name, field, value]:
                return self._put_into_hash(name, field, value)
            case [b"HMGET", name, *fields]:
                found = [_bulk(self.hashes.get(name, {}).get(field)) for field in fields]
                return b"*%d\r\n%b" % (len(found), b"".join(found))
            case [b"HLEN", name]:
                return b":%d\r\n" % len(self.hashes.get(name, {}))
            case [b"GET", key]:
                return _bulk(self.get(key))
            case [b"DEL", key]:
                return self._delete(key)
            case _:
                return b"+OK\r\n"

    def _put_into_hash(self, name: bytes, field: bytes, value: bytes) -> bytes:
        self.hashes.setdefault(name, {})[field] = value
        return b":1\r\n"

    def _set(self, key: bytes, value: bytes, options: list[bytes]) -> bytes:
        found = self.get(key)
        if found is None or b"NX" not in options:
            unit = next((option for option in options if option in (b"PX", b"EX")), b"")
            duration = int(options[options.index(unit) + 1]) if unit else inf
            self.put(key, value, duration / 1000 if unit == b"PX" else duration)
        if b"GET" not in options:
            return b"+OK\r\n"
        return _bulk(found)

    def _delete(self, key: bytes) -> bytes:
        was_there = self.get(key) is not None
        self.values.pop(key, None)
        return b":%d\r\n" % was_there


def _bulk(value: bytes | None) -> bytes:
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


class _Transport:
    """The server's end of one connection."""

    def __init__(
        self, server: FakeRedis, connection: RedisConnection, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._server = server
        self._connection = connection
        self._loop = loop
        self._reader = hiredis.Reader()
        self._is_open = True

    def write(self, data: bytes) -> None:
        """Take a batch, and let its fate happen."""
        if not self._is_open:
            return
        fate = self._server.fates.popleft() if self._server.fates else Fate.ANSWERED
        self._reader.feed(data)
        replies = b""
        while (command := self._reader.gets()) is not False:
            if fate not in (Fate.LOST, Fate.STALLED):
                replies += self._server.execute(command)
        match fate:
            case Fate.ANSWERED:
                self._reply(replies)
            case Fate.REPLIES_CUT:
                self._reply(replies[: len(replies) // 2])
                self._loop.call_later(2 * _LATENCY, self.abort)
            case Fate.GARBLED:
                self._reply(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            case Fate.LOST | Fate.REPLIES_LOST:
                self._loop.call_later(_LATENCY, self.abort)

    def _reply(self, replies: bytes) -> None:
        def deliver() -> None:
            if self._is_open:
                self._connection.data_received(replies)

        self._loop.call_later(_LATENCY, deliver)

    def abort(self) -> None:
        """End the connection."""
        if self._is_open:
            self._is_open = False
            self._loop.call_soon(self._connection.connection_lost, None)

    close = abort
