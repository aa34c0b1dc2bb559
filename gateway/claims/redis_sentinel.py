"""The primary that Redis Sentinels name."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import hiredis
from typing_extensions import override

from gateway.claims.redis_connect import ask_once, connect
from gateway.claims.redis_connection import RedisConnection
from gateway.claims.redis_errors import explain_other_kind
from gateway.claims.redis_servers import RedisServers
from gateway.transport.redis_url import RedisUrl


class SentinelServers(RedisServers):
    """The primary that Redis Sentinels name (https://redis.io/docs/latest/develop/reference/sentinel-clients/).

    They are asked at every connect, so that a failover leads to the new primary. Each may know another one, while the
    news of a failover spreads.

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
    def certificates(self) -> list[bytes]:
        return sorted(sentinel.tls.fingerprint() for sentinel in self._sentinels)

    @override
    async def connect(
        self, timeout: float, *, needs_scripts: bool = False, is_quiet: bool = False
    ) -> RedisConnection:
        causes: list[str] = []
        failures: dict[str, OSError] = {}  # by the address of a primary
        for sentinel in list(self._sentinels):
            try:
                primary = await self._ask(sentinel, timeout)
            except OSError as error:
                causes.append(str(error))
                continue
            if primary.server in failures:
                continue
            try:
                connection = await connect(primary, timeout, needs_scripts=needs_scripts)
            except OSError as error:  # a Sentinel that is cut off from the others names an old primary
                failures[primary.server] = error
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)  # the one that knew it is asked first
            return connection
        if failures:
            texts = [
                f"{error} (the primary {self._master!r} is {server})" for server, error in failures.items()
            ]
            raise ConnectionError("; ".join(texts))
        raise ConnectionError(
            f"no Sentinel names the primary {self._master!r}; correct redis.sentinels or redis.master ({'; '.join(causes)})"
        )

    async def _ask(self, sentinel: RedisUrl, timeout: float) -> RedisUrl:
        """Return the address of the primary, as a Sentinel knows it.

        Raises:
            OSError: It cannot be reached, or does not know it.
        """
        try:
            reply = await ask_once(sentinel, timeout, "SENTINEL", "get-master-addr-by-name", self._master)
        except hiredis.ReplyError as error:
            command = "SENTINEL GET-MASTER-ADDR-BY-NAME"
            raise ConnectionError(explain_other_kind(error, sentinel.server, command)) from None
        if reply is None:
            raise ConnectionError(f"{sentinel.server} watches no primary of that name")
        return replace(
            sentinel,
            host=reply[0].decode(),
            port=int(reply[1]),
            username=self._username,
            password=self._password,
            database=self._database,
        )
