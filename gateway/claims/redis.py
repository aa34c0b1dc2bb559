"""Claims in Redis.

A claim is ``SET <key> pending:<token> NX PX <lease> GET``, a commit ``SET <key> done EX <retention>``.

Each attempt has a token of its own, and ``NX GET`` returns the value that was there: so a claim that is sent twice
recognises itself. It is sent a second time if the connection was lost before the reply; no other command is. Needs
Redis 7, the first that accepts NX and GET together, or Valkey.

Scripts compare and write in one step. Where the server or the user may not run them, release and renewal take two
steps. This module and :mod:`gateway.claims.redis_connection` are long because they handle every refusal of Redis.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hiredis
import structlog
from typing_extensions import override

from gateway.claims import (
    PENDING,
    PROBE_KEY,
    Claims,
    ClaimsUnavailable,
    Standing,
    StoreReport,
    done_value,
    ignore_failure,
    standing_alone,
    standing_of,
)
from gateway.claims.redis_errors import explain
from gateway.claims.redis_servers import Connection, RedisServers
from gateway.claims.resp import Value
from gateway.transport.reconnect import ReconnectingConnection

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_RENEW = (
    "local held = redis.call('GET', KEYS[1]) "
    "if held and held ~= ARGV[1] then return 0 end "
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1"
)
_MIN_VERSION = 7
"""The first major version of Redis with SET … NX GET."""

_PROBE_DELAY = 1.0
"""Seconds between a refused claim and a trial that finds out whether claims are accepted again."""

log = structlog.get_logger()


class RedisClaims(Claims):
    """Claims that all gateways on one Redis share.

    Args:
        servers: Where they are kept.
        lease: Seconds that a claim is held at most.
        retention: Seconds that a published event is remembered.
        timeout: Seconds that Redis may take to answer.
        needs_scripts: Whether scripts have to run. Claims can do without; limits and order of workers cannot.
        is_quiet: Whether the connection is not logged.
    """

    def __init__(
        self,
        servers: RedisServers,
        lease: float = 30,
        retention: float = 345_600,
        timeout: float = 0.25,
        *,
        needs_scripts: bool = False,
        is_quiet: bool = False,
    ) -> None:
        self._servers = servers
        self._needs_scripts = needs_scripts
        self._is_quiet = is_quiet
        self._refusal = ""
        self._script_refusal = ""
        self._probe_timer: asyncio.TimerHandle | None = None
        self._lease_ms = str(int(lease * 1000))
        self._retention_s = str(int(retention))
        self._timeout = timeout
        self._link: ReconnectingConnection[Connection] = ReconnectingConnection(
            "redis", self._connect, is_quiet=is_quiet, certificates=servers.certificates
        )

    @property
    @override
    def unavailable_reason(self) -> str:
        connection = self._link.current
        of_some_keys = connection.unavailable_reason if connection else ""
        return self._link.unavailable_reason or self._refusal or of_some_keys

    @property
    @override
    def has_been_tried(self) -> bool:
        return self._link.has_been_tried

    @override
    async def start(self) -> None:
        await self._link.start()

    @override
    async def reload_certificates(self) -> None:
        await self._link.reload_certificates()

    def abort(self) -> None:
        """Drop the connection at once, as the end of the process does."""
        if connection := self._link.current:
            connection.abort()
        self._link.current = None

    @override
    async def stop(self) -> None:
        if self._probe_timer:
            self._probe_timer.cancel()
        await self._link.stop()

    @override
    async def claim(self, key: str, token: str) -> Standing:
        holder = PENDING + token.encode()
        command = "SET", key, holder, "NX", "PX", self._lease_ms, "GET"
        asked_at = time.monotonic()
        try:
            connection = self.connection()
            try:
                packed = self._look(connection, key)
                value = await connection.execute(*command)
            except ConnectionError:
                if (
                    not connection.lost.done()
                ):  # one node of a cluster is away; the others need no new connection
                    raise
                async with asyncio.timeout(asked_at + self._timeout - time.monotonic()):
                    connection = await self._link.reconnected()
                    packed = self._look(connection, key)
                    value = await connection.execute(*command)
            value = self._published(connection, packed) or value
        except hiredis.ReplyError as error:
            raise self._refused(error) from error
        except OSError as error:
            raise unavailable(error) from error
        self._refusal = ""
        return standing_of(value, holder)

    def _look(self, connection: Connection, key: str) -> Any:
        """Ask, together with the command that follows, whether an event is written down elsewhere; for subclasses."""

    def _published(self, connection: Connection, look: Any) -> bytes | None:
        """Return the value of an event that is written down elsewhere as published; for subclasses."""

    @override
    def commit(
        self,
        key: str,
        on_failure: Callable[[], None],
        *,
        content: str = "",
        retention: float | None = None,
    ) -> None:
        self.ask(on_failure, "SET", key, done_value(content), "EX", self._seconds(retention))

    @override
    def release(self, key: str, token: str) -> None:
        holder = PENDING + token.encode()
        if (connection := self._link.current) is None:
            return
        if not connection.script_refusal:
            connection.tell(ignore_failure, "EVAL", _RELEASE, 1, key, holder)
            return

        def remove(found: bytes | None) -> None:
            # The lease may end in between, and another begin: that costs a copy of an event, and loses none.
            if found == holder:
                connection.tell(ignore_failure, "DEL", key)

        connection.execute_then(remove, "GET", key)

    @override
    def renew(self, key: str, token: str, on_loss: Callable[[], None]) -> None:
        holder = PENDING + token.encode()
        if (connection := self._link.current) is None:
            return

        def check(is_held: int) -> None:
            if not is_held:
                on_loss()

        def extend(found: bytes | None) -> None:
            if found is None:
                connection.tell(ignore_failure, "SET", key, holder, "NX", "PX", self._lease_ms)
            elif found == holder:  # GT: if the event is published by now, its retention is not shortened
                connection.tell(ignore_failure, "PEXPIRE", key, self._lease_ms, "GT")
            else:
                on_loss()

        if connection.script_refusal:
            connection.execute_then(extend, "GET", key)
        else:
            connection.execute_then(check, "EVAL", _RENEW, 1, key, holder, self._lease_ms)

    @override
    def mark(
        self, key: str, value: bytes, on_other: Callable[[], None], *, retention: float | None = None
    ) -> None:

        def check(found: bytes | None) -> None:
            if found not in (None, value):
                on_other()

        if connection := self._link.current:
            connection.execute_then(check, "SET", key, value, "NX", "EX", self._seconds(retention), "GET")

    @override
    async def inspect(self, clock: Callable[[], float]) -> StoreReport:
        connection = self.connection()
        offset = None
        warnings: list[str] = []
        try:
            # A user who may claim need not have the permission for TIME or INFO.
            with _refusal_as_warning(warnings, "TIME", "clocks are not compared"):
                asked_at = clock()
                seconds, microseconds = await connection.execute("TIME")
                offset = (asked_at + clock()) / 2 - (int(seconds) + int(microseconds) / 1e6)
            with _refusal_as_warning(warnings, "INFO", "nobody sees whether Redis drops claims"):
                info: bytes = await connection.execute("INFO")
                warnings += _warnings(info.decode("latin-1"))
        except OSError as error:
            raise unavailable(error) from error
        return StoreReport(offset, tuple(warnings))

    @override
    async def look_up(self, key: str) -> Standing | None:
        try:
            return standing_alone(await self.connection().execute("GET", key))
        except (hiredis.ReplyError, OSError) as error:
            raise unavailable(error) from error

    @override
    async def forget(self, key: str) -> bool:
        try:
            return bool(await self.connection().execute("DEL", key))
        except (hiredis.ReplyError, OSError) as error:
            raise unavailable(error) from error

    def _seconds(self, retention: float | None) -> str:
        return self._retention_s if retention is None else str(max(1, int(retention)))

    async def _connect(self) -> Connection:
        connection = await self._servers.connect(
            self._timeout, needs_scripts=self._needs_scripts, is_quiet=self._is_quiet
        )
        self._refusal = ""
        is_news = connection.script_refusal and connection.script_refusal != self._script_refusal
        if is_news and not self._is_quiet:
            log.warning(
                "deduplication store",
                cause=f"{connection.script_refusal}; until then claims are released and renewed in two steps",
            )
        self._script_refusal = connection.script_refusal
        return connection

    def _refused(self, error: hiredis.ReplyError) -> ClaimsUnavailable:
        """Remember that the server is there and refuses claims, for the readiness check."""
        refusal = explain(error, "SET")
        if refusal != self._refusal:  # logged once, not for each event
            log.warning("claims refused", cause=refusal)
        self._refusal = refusal
        if self._probe_timer is None:
            self._probe_timer = asyncio.get_running_loop().call_later(_PROBE_DELAY, self._probe)
        return ClaimsUnavailable(refusal)

    def _probe(self) -> None:
        """Find out whether claims are accepted again: meanwhile no event may come to do so."""
        self._probe_timer = None
        if self._refusal and (connection := self._link.current):
            reply = connection.execute("SET", PROBE_KEY, b"", "NX", "PX", self._lease_ms, "GET")
            reply.add_done_callback(self._on_probe_reply)

    def _on_probe_reply(self, reply: asyncio.Future[object]) -> None:
        if reply.cancelled():
            return
        error = reply.exception()
        if isinstance(error, hiredis.ReplyError):
            self._refused(error)
        elif error is None:
            self._refusal = ""

    def connection(self) -> Connection:
        """Return the current connection, for the methods of subclasses.

        Raises:
            ClaimsUnavailable: There is none at the moment.
        """
        connection = self._link.current
        if connection is None:
            raise ClaimsUnavailable(self._link.unavailable_reason)
        return connection

    def ask(self, on_failure: Callable[[], None], *command: Value) -> None:
        """Send a command without waiting for its reply, for the methods of subclasses; call ``on_failure`` if it fails."""
        connection = self._link.current
        if connection is None:
            on_failure()
        else:
            connection.tell(on_failure, *command)


def unavailable(error: Exception) -> ClaimsUnavailable:
    """Return the error for a command that Redis refused or did not answer."""
    return ClaimsUnavailable(explain(error, "") or "no reply in time")


@contextmanager
def _refusal_as_warning(warnings: list[str], command: str, loss: str) -> Iterator[None]:
    """Turn the refusal of a command that is not essential into a warning."""
    try:
        yield
    except hiredis.ReplyError as error:
        warnings.append(f"{explain(error, command)}; until then {loss}")


def _warnings(info: str) -> Iterator[str]:
    """Yield the reasons, found in the reply to INFO, why this server may lose claims."""
    facts = dict(re.findall(r"^(\w+):(.*?)\r?$", info, re.MULTILINE))
    version = facts.get("redis_version", "")
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) < _MIN_VERSION:
        yield f"Redis {version} cannot keep claims; use Redis {_MIN_VERSION} or newer"
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":  # the volatile- ones too: they evict keys with an expiry, as claims have
        yield f"Redis drops claims when its memory is full (maxmemory-policy {policy}); set it to noeviction"
    if facts.get("evicted_keys", "0") != "0":
        yield "Redis has dropped keys to free memory; retries of events whose claims it dropped are published again"
