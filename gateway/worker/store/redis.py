"""The store in Redis: each operation is one command, by the clock of Redis.

A sequence is a sorted set of its members by place, and a hash of the time when each is due back. A rate limit is a list
of the last times of beginning, newest first. Scripts keep each change atomic across the processes of a worker.
"""

from __future__ import annotations

from typing import Any

import hiredis
from typing_extensions import override

from gateway.claims import DONE, ignore_failure
from gateway.claims.redis import RedisClaims, unavailable
from gateway.worker.store import HEAD_OF_LINE_GRACE, Store, result_in
from gateway.worker.store.sequences import MIN_DELAY

_NOW = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000) "
# KEYS: sequence, due times. ARGV: member; in milliseconds: lease, grace of the head, retention, least delay; done value.
_TAKE_TURN = (
    _NOW + "local sequence, dues, member = KEYS[1], KEYS[2], ARGV[1] "
    "local mine, head, due = 0 "
    "if redis.call('ZSCORE', sequence, member) then "
    "  mine = tonumber(redis.call('HGET', dues, member) or 0) "
    "else "
    "  local last = redis.call('ZRANGE', sequence, -1, -1, 'WITHSCORES') "
    "  redis.call('ZADD', sequence, (tonumber(last[2]) or 0) + 1, member) "
    "  redis.call('HSET', dues, member, now) "
    "end "
    "while true do "
    "  head = redis.call('ZRANGE', sequence, 0, 0)[1] "
    "  due = tonumber(redis.call('HGET', dues, head) or 0) "
    "  if head == member or due + ARGV[3] >= mine and redis.call('GET', head) ~= ARGV[6] then break end "
    "  redis.call('ZREM', sequence, head) redis.call('HDEL', dues, head) "
    "end "
    "local wait = 0 "
    "if head == member then redis.call('HSET', dues, member, now + ARGV[2]) "
    "elseif due > 0 then wait = math.max(math.abs(due - now), ARGV[5]) else wait = ARGV[5] end "
    "redis.call('PEXPIRE', sequence, ARGV[4]) redis.call('PEXPIRE', dues, ARGV[4]) "
    "return wait"
)
# KEYS: sequence, due times. ARGV: member; milliseconds until it is back, empty if nobody needs to wait for it.
_DEFER = (
    _NOW + "if redis.call('ZSCORE', KEYS[1], ARGV[1]) then "
    "redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] == '' and 0 or now + ARGV[2]) end "
    "return 0"
)
# KEYS: bucket. ARGV: count; in milliseconds: period, longest wait.
_RESERVE = (
    _NOW + "local oldest = redis.call('LINDEX', KEYS[1], ARGV[1] - 1) "
    "local at = oldest and math.max(now, oldest + ARGV[2]) or now "
    "if at - now <= tonumber(ARGV[3]) then "
    "  redis.call('LPUSH', KEYS[1], at) redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1) "
    "  redis.call('PEXPIRE', KEYS[1], at - now + ARGV[2]) "
    "end "
    "return at - now"
)


class RedisStore(RedisClaims, Store):
    """A store that all processes with one Redis share."""

    @override
    async def result_of(self, key: str) -> str | None:
        try:
            value: bytes | None = await self.connection().execute("GET", key)
        except (hiredis.ReplyError, OSError) as error:
            raise unavailable(error) from error
        return result_in(value)

    @override
    async def take_turn(self, sequence: str, member: str) -> float:
        times = (
            self._lease_ms, _ms(HEAD_OF_LINE_GRACE), str(int(self._retention_s) * 1000), _ms(MIN_DELAY)
        )  # fmt: skip
        return await self._evaluate(_TAKE_TURN, [sequence, _dues(sequence)], member, *times, DONE)

    @override
    async def defer(self, sequence: str, member: str, seconds: float | None) -> None:
        due_in = "" if seconds is None else _ms(seconds)
        await self._evaluate(_DEFER, [sequence, _dues(sequence)], member, due_in)

    @override
    def complete(self, sequence: str, member: str) -> None:
        self.ask(ignore_failure, "ZREM", sequence, member)
        self.ask(ignore_failure, "HDEL", _dues(sequence), member)

    @override
    async def reserve(self, bucket: str, count: int, period: float, max_wait: float) -> float:
        return await self._evaluate(_RESERVE, [bucket], str(count), _ms(period), _ms(max_wait))

    async def _evaluate(self, script: str, keys: list[str], *arguments: str | bytes) -> float:
        """Run a script that returns milliseconds; return them as seconds."""
        try:
            milliseconds: Any = await self.connection().execute("EVAL", script, len(keys), *keys, *arguments)
        except (hiredis.ReplyError, OSError) as error:
            raise unavailable(error) from error
        return float(milliseconds) / 1000


def _dues(sequence: str) -> str:
    return f"{sequence}:dues"


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))
