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
from contextlib import contextmanager

import hiredis
import structlog

from gateway.claims import (
    PENDING,
    PROBE_KEY,
    ClaimsUnavailable,
    Standing,
    StoreReport,
    done_value,
    ignore_failure,
    standing_of,
)
from gateway.claims.redis_connection import RedisConnection, Value, connect, explain
from gateway.transport.reconnect import ReconnectingConnection

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_RENEW = (
    "local held = redis.call('GET', KEYS[1]) "
    "if held and held ~= ARGV[1] then return 0 end "
    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) return 1"
)
_FIRST_VERSION = 7
_ASK_AGAIN_AFTER = 1.0  # seconds, while claims are refused

log = structlog.get_logger()


class RedisClaims:
    """Claims that all gateways on one Redis share.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        lease: seconds that a claim is held at most.
        retention: seconds that a done event is remembered.
        timeout: seconds that Redis may take to answer.
        needs_scripts: whether scripts have to run, which claims can do without.
    """

    def __init__(
        self,
        url: str,
        lease: float = 30,
        retention: float = 345_600,
        timeout: float = 0.25,
        *,
        needs_scripts: bool = False,
    ) -> None:
        self._url = url
        self._needs_scripts = needs_scripts
        self._refusal = ""
        self._script_refusal = ""
        self._asking: asyncio.TimerHandle | None = None
        self._lease_ms = str(int(lease * 1000))
        self._retention_s = str(int(retention))
        self._timeout = timeout
        self._link: ReconnectingConnection[RedisConnection] = ReconnectingConnection("redis", self._connect)

    @property
    def unavailable_reason(self) -> str:
        """See :class:`gateway.claims.Claims`."""
        return self._link.unavailable_reason or self._refusal

    @property
    def has_been_ready(self) -> bool:
        """See :class:`gateway.claims.Claims`."""
        return self._link.has_been_connected

    async def start(self) -> None:
        """See :class:`gateway.claims.Claims`."""
        await self._link.start()

    async def stop(self) -> None:
        """See :class:`gateway.claims.Claims`."""
        if self._asking:
            self._asking.cancel()
        await self._link.stop()

    async def claim(self, key: str, token: str) -> Standing:
        """See :class:`gateway.claims.Claims`."""
        holder = PENDING + token.encode()
        command = "SET", key, holder, "NX", "PX", self._lease_ms, "GET"
        asked_at = time.monotonic()
        try:
            try:
                value = await self.connection().execute(*command)
            except ConnectionError:
                async with asyncio.timeout(asked_at + self._timeout - time.monotonic()):
                    value = await (await self._link.reconnected()).execute(*command)
        except hiredis.ReplyError as error:
            raise self._refused(error) from error
        except OSError as error:
            raise unavailable(error) from error
        self._refusal = ""
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
        self.ask(on_failure, "SET", key, done_value(content), "EX", self._seconds(retention))

    def release(self, key: str, token: str) -> None:
        """See :class:`gateway.claims.Claims`."""
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

        connection.overhear(remove, "GET", key)

    def renew(self, key: str, token: str, on_loss: Callable[[], None]) -> None:
        """See :class:`gateway.claims.Claims`."""
        holder = PENDING + token.encode()
        if (connection := self._link.current) is None:
            return

        def judge(is_held: int) -> None:
            if not is_held:
                on_loss()

        def extend(found: bytes | None) -> None:
            if found is None:
                connection.tell(ignore_failure, "SET", key, holder, "NX", "PX", self._lease_ms)
            elif found == holder:  # GT: should it be done by now, it stays done for as long as it was to be
                connection.tell(ignore_failure, "PEXPIRE", key, self._lease_ms, "GT")
            else:
                on_loss()

        if connection.script_refusal:
            connection.overhear(extend, "GET", key)
        else:
            connection.overhear(judge, "EVAL", _RENEW, 1, key, holder, self._lease_ms)

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
        connection = self.connection()
        offset = None
        warnings: list[str] = []
        try:
            with _untold(
                warnings, "TIME", "clocks are not compared"
            ):  # who may claim need not be one who may ask
                asked_at = clock()
                seconds, microseconds = await connection.execute("TIME")
                offset = (asked_at + clock()) / 2 - (int(seconds) + int(microseconds) / 1e6)
            with _untold(warnings, "INFO", "nobody sees whether Redis drops claims"):
                info: bytes = await connection.execute("INFO")
                warnings += _warnings(info.decode("latin-1"))
        except OSError as error:
            raise unavailable(error) from error
        return StoreReport(offset, tuple(warnings))

    async def forget(self, key: str) -> bool:
        """See :class:`gateway.claims.Claims`."""
        try:
            return bool(await self.connection().execute("DEL", key))
        except (hiredis.ReplyError, OSError) as error:
            raise unavailable(error) from error

    def _seconds(self, retention: float | None) -> str:
        return self._retention_s if retention is None else str(max(1, int(retention)))

    async def _connect(self) -> RedisConnection:
        connection = await connect(self._url, self._timeout, needs_scripts=self._needs_scripts)
        self._refusal = ""
        if connection.script_refusal and connection.script_refusal != self._script_refusal:
            log.warning(
                "claim store",
                cause=f"{connection.script_refusal}; until then a claim is given back or renewed in two steps",
            )
        self._script_refusal = connection.script_refusal
        return connection

    def _refused(self, error: hiredis.ReplyError) -> ClaimsUnavailable:
        """Remember that the server is there and takes no claims, which readiness tells."""
        refusal = explain(error, "SET")
        if refusal != self._refusal:  # said once, not for each event
            log.warning("claims are refused", cause=refusal)
        self._refusal = refusal
        if self._asking is None:
            self._asking = asyncio.get_running_loop().call_later(_ASK_AGAIN_AFTER, self._ask_again)
        return ClaimsUnavailable(refusal)

    def _ask_again(self) -> None:
        """Find out whether claims are taken again: no event may come to do that while this is not ready."""
        self._asking = None
        if self._refusal and (connection := self._link.current):
            asked = connection.execute("SET", PROBE_KEY, b"", "NX", "PX", self._lease_ms, "GET")
            asked.add_done_callback(self._note_answer)

    def _note_answer(self, asked: asyncio.Future[object]) -> None:
        if asked.cancelled():
            return
        error = asked.exception()
        if isinstance(error, hiredis.ReplyError):
            self._refused(error)
        elif error is None:
            self._refusal = ""

    def connection(self) -> RedisConnection:
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
    """Return what went wrong with a command, for who asked."""
    return ClaimsUnavailable(explain(error, "") or "no reply in time")


@contextmanager
def _untold(warnings: list[str], command: str, loss: str) -> Iterator[None]:
    """Make a warning of the refusal of a question that need not be answered, with what is lost by that."""
    try:
        yield
    except hiredis.ReplyError as error:
        warnings.append(f"{explain(error, command)}; until then {loss}")


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
