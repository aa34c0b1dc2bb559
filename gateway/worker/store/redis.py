"""The store in Redis: each operation is one command, by Redis' own clock.

A line is a sorted set of its members by place, with a hash of when each is to be back; a limit is a list of the last
beginnings, newest first.
"""

from __future__ import annotations

from typing import Any

import hiredis

from gateway.claims import DONE, ignore_failure
from gateway.claims.redis import RedisClaims, unavailable
from gateway.worker.store import HEAD_OF_LINE_GRACE
from gateway.worker.store.sequences import SOON

_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
# KEYS: line, dues. ARGV: member; in milliseconds: lease, patience, retention, shortest wait; what is done.
_STAND = (
    _NOW + "local line, dues, member = KEYS[1], KEYS[2], ARGV[1] "
    "local mine, first, due = 0 "
    "if redis.call('ZSCORE', line, member) then "
    "  mine = tonumber(redis.call('HGET', dues, member) or 0) "
    "else "
    "  local last = redis.call('ZRANGE', line, -1, -1, 'WITHSCORES') "
    "  redis.call('ZADD', line, (tonumber(last[2]) or 0) + 1, member) "
    "  redis.call('HSET', dues, member, now) "
    "end "
    "while true do "
    "  first = redis.call('ZRANGE', line, 0, 0)[1] "
    "  due = tonumber(redis.call('HGET', dues, first) or 0) "
    "  if first == member or due + ARGV[3] >= mine and redis.call('GET', first) ~= ARGV[6] then break end "
    "  redis.call('ZREM', line, first) redis.call('HDEL', dues, first) "
    "end "
    "local wait = 0 "
    "if first == member then redis.call('HSET', dues, member, now + ARGV[2]) "
    "elseif due > 0 then wait = math.max(math.abs(due - now), ARGV[5]) else wait = ARGV[5] end "
    "redis.call('PEXPIRE', line, ARGV[4]) redis.call('PEXPIRE', dues, ARGV[4]) "
    "return wait"
)
_PUT_OFF = (
    _NOW + "if redis.call('ZSCORE', KEYS[1], ARGV[1]) then "
    "redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] == '' and 0 or now + ARGV[2]) end "
    "return 0"
)
# KEYS: bucket. ARGV: count, and in milliseconds: period, longest wait.
_RESERVE = (
    _NOW + "local oldest = redis.call('LINDEX', KEYS[1], ARGV[1] - 1) "
    "local at = oldest and math.max(now, oldest + ARGV[2]) or now "
    "if at - now <= tonumber(ARGV[3]) then "
    "  redis.call('LPUSH', KEYS[1], at) redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1) "
    "  redis.call('PEXPIRE', KEYS[1], at - now + ARGV[2]) "
    "end "
    "return at - now"
)


class RedisStore(RedisClaims):
    """See :class:`gateway.worker.store.Store`; shared by all processes on one Redis."""

    async def stand(self, line: str, member: str) -> float:
        """See :class:`gateway.worker.store.Store`."""
        times = (self._lease_ms, _ms(HEAD_OF_LINE_GRACE), str(int(self._retention_s) * 1000), _ms(SOON))
        return await self._evaluate(_STAND, [line, _dues(line)], member, *times, DONE)

    async def defer(self, line: str, member: str, seconds: float | None) -> None:
        """See :class:`gateway.worker.store.Store`."""
        await self._evaluate(_PUT_OFF, [line, _dues(line)], member, "" if seconds is None else _ms(seconds))

    def leave(self, line: str, member: str) -> None:
        """See :class:`gateway.worker.store.Store`."""
        self._ask(ignore_failure, "ZREM", line, member)
        self._ask(ignore_failure, "HDEL", _dues(line), member)

    async def reserve(self, bucket: str, count: int, period: float, longest_wait: float) -> float:
        """See :class:`gateway.worker.store.Store`."""
        return await self._evaluate(_RESERVE, [bucket], str(count), _ms(period), _ms(longest_wait))

    async def _evaluate(self, script: str, keys: list[str], *arguments: str | bytes) -> float:
        """The seconds that a script returns as milliseconds."""
        try:
            milliseconds: Any = await self._connection().execute("EVAL", script, len(keys), *keys, *arguments)
        except (hiredis.ReplyError, OSError) as error:
            raise unavailable(error) from error
        return float(milliseconds) / 1000


def _dues(line: str) -> str:
    return f"{line}:dues"


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))
