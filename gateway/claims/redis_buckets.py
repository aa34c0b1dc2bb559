"""Shared token buckets in Redis: each is a key with the time at which it is full again, by the clock of Redis.

This is the generic cell rate algorithm (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm), whose only state is
that time. The key expires when the bucket is full.
"""

from __future__ import annotations

from functools import partial

import hiredis
from typing_extensions import override

from gateway.claims import KEY_PREFIX
from gateway.claims.buckets import SharedBuckets
from gateway.claims.redis_errors import explain
from gateway.claims.redis_servers import Connection, RedisServers
from gateway.transport.reconnect import ReconnectingConnection

# KEYS: bucket. ARGV: microseconds to add. A Lua number has 53 bits, enough for microseconds until the year 2255.
_CHARGE = (
    "local t = redis.call('TIME') local now = t[1] * 1000000 + t[2] "
    "local full_at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0)) + ARGV[1] "
    "if full_at > now then "
    "redis.call('SET', KEYS[1], string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000)) end "
    "return full_at - now"
)

_MICROSECONDS = 1_000_000
"""The microseconds of a second."""


class RedisBuckets(SharedBuckets):
    """Buckets that all gateways on one Redis share. Needs EVAL and TIME.

    Args:
        servers: Where they are kept.
        timeout: Seconds that Redis may take to answer.
    """

    def __init__(self, servers: RedisServers, timeout: float = 0.25) -> None:
        # A connection of its own: claims must not depend on a user who may run scripts.
        self._link: ReconnectingConnection[Connection] = ReconnectingConnection(
            "redis, for rate limits",
            partial(servers.connect, timeout, needs_scripts=True),
            certificates=servers.certificates,
        )

    @property
    @override
    def unavailable_reason(self) -> str:
        connection = self._link.current
        return connection.unavailable_reason if connection else self._link.unavailable_reason

    @override
    async def start(self) -> None:
        await self._link.start()

    @override
    async def stop(self) -> None:
        await self._link.stop()

    @override
    async def reload_certificates(self) -> None:
        await self._link.reload_certificates()

    @override
    async def charge(self, bucket: str, seconds: float) -> float:
        connection = self._link.current
        if connection is None:
            raise ConnectionError(self._link.unavailable_reason)
        added = round(seconds * _MICROSECONDS)
        try:
            microseconds = await connection.execute("EVAL", _CHARGE, 1, f"{KEY_PREFIX}:limit:{bucket}", added)
        except hiredis.ReplyError as error:
            raise ConnectionError(explain(error, "EVAL")) from error
        return float(microseconds) / _MICROSECONDS
