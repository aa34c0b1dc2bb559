"""Where claims are kept: one Redis, the primary that Sentinels name, or a Redis Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from typing_extensions import override

from gateway.claims.redis_connect import connect
from gateway.claims.redis_connection import RedisConnection
from gateway.claims.resp import Value
from gateway.transport.redis_url import RedisUrl


class Connection(Protocol):
    """A way to Redis on which commands of many requests travel.

    Attributes:
        script_refusal: Why the server does not run our scripts; empty if it does.
        lost: Done, with the cause, when the connection is no longer usable.
    """

    script_refusal: str
    lost: asyncio.Future[None]

    @property
    def unavailable_reason(self) -> str:
        """Return why some keys cannot be reached at the moment; empty if all can."""

    def execute(self, *command: Value) -> asyncio.Future[Any]:
        """Send ``command``; the future has the reply, or fails with ``hiredis.ReplyError``, or with an OSError."""

    def tell(self, on_failure: Callable[[], None], *command: Value) -> None:
        """Send ``command``; ``on_failure`` is called if the reply is an error or does not come."""

    def execute_then(self, on_reply: Callable[[Any], None], *command: Value) -> None:
        """Send ``command``; ``on_reply`` is called with the reply, before the next :meth:`execute` is done."""

    def abort(self) -> None:
        """Close at once, without sending the commands that wait."""

    async def close(self) -> None:
        """Send the commands that wait, receive the replies, and close."""


class RedisServers(Protocol):
    """The servers of a configuration."""

    async def connect(
        self, timeout: float, *, needs_scripts: bool = False, is_quiet: bool = False
    ) -> Connection:
        """Open a connection, log in, and try every command that claims need.

        Args:
            timeout: Seconds that a batch of commands may take.
            needs_scripts: Whether EVAL and TIME have to work too, which limits and order of workers use.
            is_quiet: Whether connections to single nodes are not logged.

        Raises:
            OSError: No server can be used now; the text says why, and what to do.
        """

    def certificates(self) -> list[bytes]:
        """Return digests of the files of TLS, as they are now."""


class OneServer(RedisServers):
    """One Redis.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
    """

    def __init__(self, url: str) -> None:
        self._parts = RedisUrl.parse(url)

    @override
    async def connect(
        self, timeout: float, *, needs_scripts: bool = False, is_quiet: bool = False
    ) -> RedisConnection:
        return await connect(self._parts, timeout, needs_scripts=needs_scripts)

    @override
    def certificates(self) -> list[bytes]:
        return [self._parts.tls.fingerprint()]
