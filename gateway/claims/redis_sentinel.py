"""The primary that Redis Sentinels name."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import hiredis
from typing_extensions import override

from gateway.claims.redis_connect import ask_once, connect
from gateway.claims.redis_connection import RedisConnection
from gateway.claims.redis_servers import RedisServers
from gateway.transport.redis_url import RedisUrl


class SentinelServers(RedisServers):
    """The primary that Redis Sentinels name (https://redis.io/docs/latest/develop/reference/sentinel-clients/).

    They are asked at every connect, so that a failover leads to the new primary.

    Args:
        sentinels: The addresses of the Sentinels, with their own user and password if they need one.
        master: The name under which they watch the primary.
        username: The user of the primary; empty for the default user.
        password: The password of the primary; empty for none.
        database: The number of the database.
    """

    def __init__(
        self,
        sentinels: Sequence[str],
        master: str,
        username: str = "",
        password: str = "",
        database: int = 0,
    ) -> None:
        self._sentinels = random.sample([RedisUrl.parse(url) for url in sentinels], len(sentinels))
        self._master = master
        self._username, self._password, self._database = username, password, database

    @override
    async def connect(self, timeout: float, *, needs_scripts: bool = False) -> RedisConnection:
        primary = await self._ask(timeout)
        return await connect(primary, timeout, needs_scripts=needs_scripts)

    async def _ask(self, timeout: float) -> RedisUrl:
        """Return the address of the primary, from the first Sentinel that knows it.

        Raises:
            ConnectionError: None does.
        """
        causes: list[str] = []
        for sentinel in list(self._sentinels):
            try:
                reply = await ask_once(sentinel, timeout, "SENTINEL", "get-master-addr-by-name", self._master)
            except (OSError, hiredis.ReplyError) as error:
                causes.append(f"{sentinel.server}: {error}")
                continue
            if reply is None:
                causes.append(f"{sentinel.server} watches no primary named {self._master!r}")
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)  # the one that answers is asked first
            return replace(
                sentinel,
                host=reply[0].decode(),
                port=int(reply[1]),
                username=self._username,
                password=self._password,
                database=self._database,
            )
        raise ConnectionError(
            f"no Sentinel names the primary {self._master!r}; correct redis.sentinels or redis.master ({'; '.join(causes)})"
        )
