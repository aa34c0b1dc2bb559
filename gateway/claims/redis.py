"""Claims in Redis: ``SET <key> pending:<token> NX PX <lease> GET``, then ``SET <key> done EX <retention>``.

With ``NX GET`` and a token of its own per attempt, a claim that is asked for again recognises itself. Needs
Redis 7 (or Valkey), the first that takes NX and GET together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hiredis

from gateway.claims import (
    DONE,
    PENDING,
    ClaimsUnavailable,
    Standing,
    ignore_failure,
    standing_of,
)
from gateway.claims.resp import RedisConnection, Value, connect
from gateway.link import Link

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class RedisClaims:
    """Claims that all gateways on one Redis share.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        lease: seconds that a claim is held at most.
        retention: seconds that a done event is remembered.
        timeout: seconds that Redis may take to answer; there is one attempt.
    """

    def __init__(
        self, url: str, lease: float = 30, retention: float = 345_600, timeout: float = 0.25
    ) -> None:
        self._lease_ms = str(int(lease * 1000))
        self._retention_s = str(int(retention))
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
        return standing_of(await self._execute("SET", key, holder, "NX", "PX", self._lease_ms, "GET"), holder)

    def commit(self, key: str, on_failure: Callable[[], None]) -> None:
        """See :class:`gateway.claims.Claims`."""
        self._ask(on_failure, "SET", key, DONE, "EX", self._retention_s)

    def release(self, key: str, token: str) -> None:
        """See :class:`gateway.claims.Claims`."""
        self._ask(ignore_failure, "EVAL", _RELEASE, 1, key, PENDING + token.encode())

    async def forget(self, key: str) -> bool:
        """See :class:`gateway.claims.Claims`."""
        return bool(await self._execute("DEL", key))

    async def _execute(self, *command: Value) -> Any:
        connection = self._link.current
        if connection is None:
            raise ClaimsUnavailable(self._link.trouble)
        try:
            return await connection.execute(*command)
        except (hiredis.ReplyError, OSError) as error:
            raise ClaimsUnavailable(str(error)) from error

    def _ask(self, on_failure: Callable[[], None], *command: Value) -> None:
        connection = self._link.current
        if connection is None:
            on_failure()
        else:
            connection.tell(on_failure, *command)
