"""Claims in Redis that are packed once they are finished.

A claim is a key of its own while it is pending, as :mod:`gateway.claims.redis` has it. A commit writes the event into a
hash, see :mod:`gateway.claims.packing`, and leaves the key to the end of its lease: so a gateway that does not know of a
new hash yet sees the event in flight, and never unpublished. What is in a hash counts more than what is under the key.

A claim is HMGET and SET in one batch, a commit HSET. A script that did both would cost Redis twice as much: it takes
1.7 µs to start, and 1 µs for each command in it, as much as a command without it (Redis 7.0, 2026-11; figures in
docs/explanation/deduplication.md). Only the upkeep of a hash is a script: a few times in a retention it removes what is
forgotten. Where scripts or hashes are not allowed, finished claims are keys of their own, as before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import hiredis
import structlog
from typing_extensions import override

from gateway.claims import PENDING, Standing, ignore_failure
from gateway.claims.packing import (
    LAYOUT_KEY,
    MAX_LENGTH,
    MAX_RETENTION,
    MIN_BITS,
    PROBE_KEY,
    UPKEEP,
    bits_in,
    hash_key,
    hour_of,
    mark_of,
    more_bits,
    packed_value,
    place_of,
    unpack,
    with_bits,
)
from gateway.claims.redis import RedisClaims, unavailable
from gateway.claims.redis_errors import explain
from gateway.claims.redis_servers import Connection, RedisServers
from gateway.claims.resp import Value

_UPKEEPS = 2
"""How often in a retention a hash is cleared of what is forgotten, which takes Redis 60 µs for 120 events. Until then
it has up to half as many more, a quarter on average. Four times would save a tenth of the memory, and cost a tenth more CPU
for each event (2026-11)."""

_REFRESH_INTERVAL = 10.0
"""Seconds after which the layout is read again, or a third of the lease if that is shorter: keys outlive their commits by
the rest of the lease, in which the other gateways learn of new hashes."""

_SAMPLED = 4
"""Commits of which the length of the hash is asked: those whose field begins with a smaller byte, one in 64."""

_SAMPLES = 32
"""Lengths whose average decides whether there are more hashes."""

_ASK_AGAIN = PENDING
"""The answer when there are hashes that were not asked, because the layout has changed meanwhile: in flight. The next
claim asks them, and recognises its key."""

_PROBE_TTL = 1000
"""Milliseconds until the hash of the probe expires."""

log = structlog.get_logger()


class Look(NamedTuple):
    """What hashes are asked of an event, and what they reply: its value, and the mark of their last upkeep.

    Attributes:
        bits: The numbers of bits by which events were spread.
        name: The key of the hash in which the event would be written now.
        newest: The reply of that hash.
        older: Those of hashes that the event would have been written to before.
    """

    bits: tuple[int, ...]
    name: bytes
    newest: list[list[bytes | None]]
    older: list[list[bytes | None]]


class PackedRedisClaims(RedisClaims):
    """Claims that all gateways on one Redis share, at 20 bytes for each that is finished.

    Args:
        servers: Where they are kept.
        lease: Seconds that a claim is held at most.
        retention: Seconds that a published event is remembered; up to an hour longer.
        timeout: Seconds that Redis may take to answer.
        max_retention: The longest retention of a provider, in seconds.
        is_quiet: Whether the connection is not logged.
        clock: Unix seconds.
    """

    def __init__(
        self,
        servers: RedisServers,
        lease: float = 30,
        retention: float = 345_600,
        timeout: float = 0.25,
        *,
        max_retention: float = 0.0,
        is_quiet: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(servers, lease, retention, timeout, is_quiet=is_quiet)
        self._retention = retention
        self._clock = clock
        upkeep_hours = max(1, int(retention / _UPKEEPS // 3600))
        self._upkeep_hours = range(upkeep_hours)
        longest = min(max(retention, max_retention), MAX_RETENTION)
        self._kept_hours = hour_of(longest) + upkeep_hours + 2
        self._refresh_interval = min(_REFRESH_INTERVAL, lease / 3)
        self._is_packing = False
        self._packing_refusal = ""
        self._layout: bytes | None = None
        self._bits = bits_in(None, 0, 0)
        self._lengths: list[int] = []
        self._read_clock(clock())

    @override
    def _look(self, connection: Connection, key: str) -> Look | None:
        if not self._is_packing:
            return None
        now = self._clock()
        if not self._read_at <= now < self._read_at + self._refresh_interval:
            self._read_clock(now)
            connection.execute_then(self._use, "GET", LAYOUT_KEY)
        number, field = place_of(key)
        bits = self._bits
        name = hash_key(bits[0], number)
        look = Look(bits, name, [], [])
        connection.execute_then(look.newest.append, "HMGET", name, field, b"")
        if len(bits) > 1:
            for older in bits[1:]:
                connection.execute_then(look.older.append, "HMGET", hash_key(older, number), field, b"")
        return look

    @override
    def _published(self, connection: Connection, look: Look | None) -> bytes | None:
        if look is None:
            return None
        if not look.newest:
            raise ConnectionError("no reply about packed claims")
        value, mark = look.newest[0]
        if mark not in self._fresh_marks:
            ttl = self._kept_hours * 3_600_000
            connection.tell(
                ignore_failure, "EVAL", UPKEEP, 1, look.name, self._hour, mark_of(self._hour), ttl
            )
        if value is None and look.older:
            value = next((found for found, _ in look.older if found is not None), None)
        if value is None:
            return None if look.bits is self._bits else _ASK_AGAIN
        return unpack(value, self._hour)

    @override
    def commit(
        self,
        key: str,
        on_failure: Callable[[], None],
        *,
        content: str = "",
        retention: float | None = None,
    ) -> None:
        kept = self._retention if retention is None else retention
        connection = self._link.current
        if connection is None or not self._is_packing or kept > MAX_RETENTION:
            super().commit(key, on_failure, content=content, retention=retention)
            return
        number, field = place_of(key)
        name = hash_key(self._bits[0], number)
        connection.tell(on_failure, "HSET", name, field, packed_value(self._clock() + kept, content))
        if field[0] < _SAMPLED:
            connection.execute_then(self._note_length, "HLEN", name)

    @override
    def renew(self, key: str, token: str, on_loss: Callable[[], None]) -> None:
        super().renew(key, token, on_loss)
        if (connection := self._link.current) is None or not self._is_packing:
            return

        def check(value: bytes | None) -> None:
            if value is not None and unpack(value, self._hour) is not None:
                on_loss()

        for place in self._places(key):
            connection.execute_then(check, "HGET", *place)

    @override
    async def look_up(self, key: str) -> Standing | None:
        if self._is_packing:
            for place in self._places(key):
                try:
                    value = await self.connection().execute("HGET", *place)
                except (hiredis.ReplyError, OSError) as error:
                    raise unavailable(error) from error
                if value is not None and unpack(value, hour_of(self._clock())) is not None:
                    return Standing.DONE
        return await super().look_up(key)

    @override
    async def forget(self, key: str) -> bool:
        was_there = await super().forget(key)
        if not self._is_packing:
            return was_there
        try:
            removed = [await self.connection().execute("HDEL", *place) for place in self._places(key)]
        except (hiredis.ReplyError, OSError) as error:
            raise unavailable(error) from error
        return was_there or any(removed)

    @override
    async def _connect(self) -> Connection:
        connection = await super()._connect()
        try:
            refusal = connection.script_refusal or await self._try_packing(connection)
        except BaseException:  # also when cancelled: nothing else refers to the connection
            connection.abort()
            raise
        if refusal and refusal != self._packing_refusal and not self._is_quiet:
            log.warning(
                "deduplication store",
                cause=f"{refusal}; until then a finished claim takes 165 bytes of Redis' memory instead of 20",
            )
        self._packing_refusal = refusal
        self._is_packing = not refusal
        return connection

    async def _try_packing(self, connection: Connection) -> str:
        """Return why this user cannot use hashes; empty if it can. Read the layout, or begin it."""
        self._read_clock(self._clock())
        commands: tuple[tuple[Value, ...], ...] = (
            ("HSET", PROBE_KEY, b"0", b"0"),
            ("HMGET", PROBE_KEY, b"0", b""),
            ("HGET", PROBE_KEY, b"0"),
            ("HLEN", PROBE_KEY),
            ("HDEL", PROBE_KEY, b"0"),
            ("EVAL", UPKEEP, 1, PROBE_KEY, self._hour, b"", _PROBE_TTL),
            ("DEL", PROBE_KEY),
            ("SET", LAYOUT_KEY, with_bits(None, MIN_BITS, self._hour), "NX"),
            ("GET", LAYOUT_KEY),
        )
        replies: list[Any] = await asyncio.gather(
            *(connection.execute(*command) for command in commands), return_exceptions=True
        )
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, hiredis.ReplyError):
                is_right = str(reply).startswith("NOPERM")
                meaning = "the user may not use all commands of hashes; grant +@hash"
                return f"{meaning} (Redis: {reply})" if is_right else explain(reply, str(command[0]))
            if isinstance(reply, BaseException):
                raise reply
        self._use(replies[-1])
        return ""

    def _places(self, key: str) -> list[tuple[bytes, bytes]]:
        """Return each hash in which an event may be, the newest first, and its field there."""
        number, field = place_of(key)
        return [(hash_key(bits, number), field) for bits in self._bits]

    def _read_clock(self, now: float) -> None:
        """Note the time, and which hashes need upkeep from now on."""
        self._read_at = now
        self._hour = hour_of(now)
        self._fresh_marks = {mark_of(self._hour - ago) for ago in self._upkeep_hours}

    def _use(self, layout: bytes | None) -> None:
        """Use the hashes of a layout."""
        self._layout = layout
        bits = bits_in(layout, self._hour, self._kept_hours)
        if bits != self._bits:
            self._bits = bits
            self._lengths.clear()

    def _note_length(self, length: int) -> None:
        """Note the length of a hash; if hashes have become too long, use more of them."""
        self._lengths.append(length)
        if len(self._lengths) < _SAMPLES:
            return
        average = sum(self._lengths) / len(self._lengths)
        self._lengths.clear()
        bits = more_bits(self._layout, self._hour, self._kept_hours)
        if average > MAX_LENGTH and bits > self._bits[0] and (connection := self._link.current):
            layout = with_bits(self._layout, bits, self._hour)
            connection.execute_then(lambda _: self._use(layout), "SET", LAYOUT_KEY, layout)
