"""Claims in Redis: ``SET <key> pending:<token> NX PX <lease> GET``, then ``SET <key> done EX <retention>``.

With ``NX GET`` and a token of its own per attempt, a claim that is asked for again recognises itself. So it is
asked for again, once, when the connection died before the reply came; nothing else ever is. Needs Redis 7 (or
Valkey), the first that takes NX and GET together.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator

import hiredis

from gateway.claims import (
    PENDING,
    ClaimsUnavailable,
    Standing,
    StoreReport,
    done_value,
    ignore_failure,
    standing_of,
)
from gateway.claims.resp import RedisConnection, Value, connect
from gateway.link import Link

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_RENEW = (
    "local held = redis.call('GET', KEYS[1]) "
    "if held and held ~= ARGV[1] then return 0 end "
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1"
)
_FIRST_VERSION = 7


class RedisClaims:
    """Claims that all gateways on one Redis share.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        lease: seconds that a claim is held at most.
        retention: seconds that a done event is remembered.
        timeout: seconds that Redis may take to answer.
    """

    def __init__(
        self, url: str, lease: float = 30, retention: float = 345_600, timeout: float = 0.25
    ) -> None:
        self._lease_ms = str(int(lease * 1000))
        self._retention_s = str(int(retention))
        self._timeout = timeout
        self._link: Link[RedisConnection] = Link("redis", lambda: connect(url, timeout))

    @property
    def trouble(self) -> str:
        """See :class:`gateway.claims.Claims`."""
        return self._link.trouble

    @property
    def was_ready(self) -> bool:
        """See :class:`gateway.claims.Claims`."""
        return self._link.was_connected

    async def start(self) -> None:
        """See :class:`gateway.claims.Claims`."""
        await self._link.start()

    async def stop(self) -> None:
        """See :class:`gateway.claims.Claims`."""
        await self._link.stop()

    async def claim(self, key: str, token: str) -> Standing:
        """See :class:`gateway.claims.Claims`."""
        holder = PENDING + token.encode()
        command = "SET", key, holder, "NX", "PX", self._lease_ms, "GET"
        asked_at = time.monotonic()
        try:
            try:
                value = await self._connection().execute(*command)
            except ConnectionError:
                async with asyncio.timeout(asked_at + self._timeout - time.monotonic()):
                    value = await (await self._link.reconnected()).execute(*command)
        except (hiredis.ReplyError, OSError) as error:
            raise unavailable(error) from error
        return standing_of(value, holder)

    def commit(
        self,
        key: str,
        on_failure: Callable[[], None],
        *,
        content: str = "",
        retention: float | None = None,
    ) -> None:
        """See :class:`gateway.claims.Claims`."""
        self._ask(on_failure, "SET", key, done_value(content), "EX", self._seconds(retention))

    def release(self, key: str, token: str) -> None:
        """See :class:`gateway.claims.Claims`."""
        self._ask(ignore_failure, "EVAL", _RELEASE, 1, key, PENDING + token.encode())

    def renew(self, key: str, token: str, on_loss: Callable[[], None]) -> None:
        """See :class:`gateway.claims.Claims`."""

        def judge(is_held: int) -> None:
            if not is_held:
                on_loss()

        if connection := self._link.current:
            connection.overhear(judge, "EVAL", _RENEW, 1, key, PENDING + token.encode(), self._lease_ms)

    def mark(
        self, key: str, value: bytes, on_other: Callable[[], None], *, retention: float | None = None
    ) -> None:
        """See :class:`gateway.claims.Claims`."""

        def judge(found: bytes | None) -> None:
            if found not in (None, value):
                on_other()

        if connection := self._link.current:
            connection.overhear(judge, "SET", key, value, "NX", "EX", self._seconds(retention), "GET")

    async def inspect(self, clock: Callable[[], float]) -> StoreReport:
        """See :class:`gateway.claims.Claims`."""
        connection = self._connection()
        offset = None
        warnings: list[str] = []
        try:
            try:
                asked_at = clock()
                seconds, microseconds = await connection.execute("TIME")
                offset = (asked_at + clock()) / 2 - (int(seconds) + int(microseconds) / 1e6)
                info: bytes = await connection.execute("INFO")
                warnings += _warnings(info.decode("latin-1"))
            except hiredis.ReplyError as error:  # an account that may claim need not be one that may ask
                warnings.append(f"Redis does not tell of itself: {error}")
        except OSError as error:
            raise unavailable(error) from error
        return StoreReport(offset, tuple(warnings))

    async def forget(self, key: str) -> bool:
        """See :class:`gateway.claims.Claims`."""
        try:
            return bool(await self._connection().execute("DEL", key))
        except (hiredis.ReplyError, OSError) as error:
            raise unavailable(error) from error

    def _seconds(self, retention: float | None) -> str:
        return self._retention_s if retention is None else str(max(1, int(retention)))

    def _connection(self) -> RedisConnection:
        connection = self._link.current
        if connection is None:
            raise ClaimsUnavailable(self._link.trouble)
        return connection

    def _ask(self, on_failure: Callable[[], None], *command: Value) -> None:
        connection = self._link.current
        if connection is None:
            on_failure()
        else:
            connection.tell(on_failure, *command)


def unavailable(error: Exception) -> ClaimsUnavailable:
    """What went wrong with a command, for who asked."""
    return ClaimsUnavailable(str(error) or "no reply in time")


def _warnings(info: str) -> Iterator[str]:
    """What the reply to INFO says against keeping claims in this server."""
    facts = dict(re.findall(r"^(\w+):(.*?)\r?$", info, re.MULTILINE))
    version = facts.get("redis_version", "")
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) < _FIRST_VERSION:
        yield f"Redis {version} cannot keep claims; it takes Redis {_FIRST_VERSION} or newer"
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":  # the volatile- ones too: a claim has an expiry, so it is what they evict
        yield f"Redis drops claims when its memory is full (maxmemory-policy {policy}); set it to noeviction"
    if facts.get("evicted_keys", "0") != "0":
        yield "Redis has dropped keys to free memory; repetitions of events whose claims it dropped pass"
