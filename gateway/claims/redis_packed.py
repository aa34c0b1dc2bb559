"""Claims in Redis of which the finished ones take at most 20 bytes each.

A claim that is pending is a key with a lease, as in :mod:`gateway.claims.redis`. A commit adds a field to a bucket of
the current generation (:mod:`gateway.claims.generations`), and leaves the key to its lease. So a claim is ``SET <key>
pending:<token> NX PX <lease> GET`` and one ``HGET`` for each generation that is remembered, usually two, in one write;
a commit is one ``HSET``. A claim that finds the event in a bucket is a duplicate, whatever the key says.

The order makes this safe without a transaction: a commit is in its bucket before the key of its claim expires, so
whoever finds the key free also finds the event in the bucket. A gateway uses a list of generations for half a lease at
most, so it knows each new generation before the first key of one of its claims can expire. If the store forgets
anything of this, an event may be published twice, as with any lost claim.

Scripts would do the same in fewer commands, but cost more: with Redis 7.0 (2026-11) a command in a script takes as long
as one in a pipeline, and claim and commit by scripts that search packed strings took 21 µs where two SETs took 4.

The keys of :mod:`gateway.claims.redis` are those of pending claims here: a ``done`` that one of them holds is found by
the same SET. Where the user may not use hashes, finished claims stay keys.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import hiredis
import structlog
from typing_extensions import override

from gateway.claims import PENDING, ClaimsUnavailable, Standing, ignore_failure, standing_of
from gateway.claims.generations import PREFIX, Generation, Place, group_of, place_of, with_content
from gateway.claims.redis import RedisClaims, unavailable
from gateway.claims.redis_connection import RedisConnection, explain
from gateway.claims.redis_group import Group
from gateway.claims.redis_replies import IGNORED, ForwardedReply, IgnoredReply, Reply

_REFRESH_INTERVAL = 5.0
"""Seconds after which a list of generations that is in use is read again, in the background."""

_PROBE = PREFIX + b"probe"
"""A hash that no group has, to find out whether this user may use hashes."""

_TRIED: tuple[tuple[bytes | str | int, ...], ...] = (
    ("HSETNX", _PROBE, "1", "1"),
    ("HSET", _PROBE, "1", "1"),
    ("PEXPIREAT", _PROBE, 1),
    ("HGET", _PROBE, "1"),
    ("HGETALL", _PROBE),
    ("HLEN", _PROBE),
    ("HDEL", _PROBE, "1"),
)
"""Every command on hashes that this module sends."""

log = structlog.get_logger()


class PackedRedisClaims(RedisClaims):
    """Claims that all gateways on one Redis share, with the finished ones in buckets.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``.
        lease: Seconds that a claim is held at most.
        retention: Seconds that a published event is remembered.
        timeout: Seconds that Redis may take to answer.
        clock: Unix seconds; those of all gateways may differ by a minute.
    """

    def __init__(
        self,
        url: str,
        lease: float = 30,
        retention: float = 345_600,
        timeout: float = 0.25,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(url, lease, retention, timeout)
        self._lease = lease
        self._retention = int(retention)
        self._clock = clock
        self._refresh_interval = min(_REFRESH_INTERVAL, lease / 6)
        self._groups: dict[str, Group] = {}
        self._hash_refusal = ""
        self._unsettled: set[asyncio.Future[Any]] = set()
        self._options = b"$2\r\nNX\r\n$2\r\nPX\r\n$%d\r\n%b\r\n$3\r\nGET\r\n" % (
            len(self._lease_ms), self._lease_ms.encode()
        )  # fmt: skip

    @override
    async def stop(self) -> None:
        await self._settle()
        await super().stop()

    @override
    async def claim(self, key: str, token: str) -> Standing:
        if self._hash_refusal:
            return await super().claim(key, token)
        asked_at = time.monotonic()
        try:
            try:
                standing = await self._claim(key, token)
            except ConnectionError:
                async with asyncio.timeout(asked_at + self._timeout - time.monotonic()):
                    await self._link.reconnected()
                    standing = await self._claim(key, token)
        except hiredis.ReplyError as error:
            self._forget_expiring()
            raise self._refused(error) from error
        except OSError as error:
            raise unavailable(error) from error
        self._refusal = ""
        return standing

    async def _claim(self, key: str, token: str) -> Standing:
        if self._unsettled:
            await self._settle()
        name = group_of(key)
        group = self._groups.get(name) or self._group(name)
        if (connection := self._fresh_connection(group)) is None:
            connection = await self._read_now(group)
        place, holder = place_of(key), PENDING + token.encode()
        generations = group.generations
        commands = group.claim(key.encode(), holder, self._options, place)
        replies: list[Any] = []
        try:
            replies.append(await connection.execute_packed(commands, replies, len(generations) + 1))
        except hiredis.ReplyError as error:
            replies.append(error)
        if self._unsettled:  # a mark that met another is compared first
            await self._settle()
        taken, *found = replies
        # First what the buckets say: the event is published, even if the key holds what no gateway wrote.
        if any(found) and (standing := self._standing_in(generations, found, place, token)):
            return standing
        if isinstance(taken, hiredis.ReplyError):
            raise taken
        return standing_of(taken, holder)

    def _standing_in(
        self, generations: list[Generation], found: list[Any], place: Place, token: str
    ) -> Standing | None:
        """Interpret what the buckets hold for a claim; return None if they do not know it.

        Raises:
            hiredis.ReplyError: The server refused to look there.
        """
        content, slash, _ = token.partition("/")
        known = place.rest, with_content(place.rest, content if slash else "")
        standing = None
        for generation, value in zip(generations, found, strict=False):
            if self._is_remembered(generation, value):
                if value[1:] in known:
                    return Standing.DONE
                if slash:
                    standing = Standing.OTHER_DONE
        for value in found:
            if isinstance(value, hiredis.ReplyError):
                raise value
        return standing

    @override
    def commit(
        self,
        key: str,
        on_failure: Callable[[], None],
        *,
        content: str = "",
        retention: float | None = None,
    ) -> None:
        if self._hash_refusal:
            super().commit(key, on_failure, content=content, retention=retention)
            return
        name = group_of(key)
        group = self._groups.get(name) or self._group(name)
        place = place_of(key)
        rest = with_content(place[2], content) if content else place[2]
        seconds = self._retention if retention is None else max(1, int(retention))
        connection, generation = self._link.current, group.writable.get(seconds)
        if generation and connection and group.connection is connection:
            self._commit(group, place, rest, on_failure, connection, generation)
        else:
            self._write(group, retention, partial(self._commit, group, place, rest, on_failure), on_failure)

    def _commit(
        self,
        group: Group,
        place: Place,
        rest: bytes,
        on_failure: Callable[[], None],
        connection: RedisConnection,
        generation: Generation,
    ) -> None:
        command = group.commit(generation, place, rest, self._clock())
        connection.send_packed(command, IgnoredReply(on_failure))
        if expire := group.expire(generation, place, self._lease):
            connection.send_packed(expire, IGNORED)

    @override
    def renew(self, key: str, token: str, on_loss: Callable[[], None]) -> None:
        place, group = self._find(key)
        connection = self._link.current
        if group.deferred:  # a commit of this event may be among them
            group.deferred.append((lambda: self.renew(key, token, on_loss), ignore_failure))
            return
        if connection is None or not group.generations:
            super().renew(key, token, on_loss)
            return

        generations, found = group.generations, list[Any]()

        def check(looked_up: asyncio.Future[Any]) -> None:
            if not looked_up.cancelled() and looked_up.exception() is None:
                if any(map(self._is_remembered, generations, [*found, looked_up.result()])):
                    on_loss()
                else:
                    super(PackedRedisClaims, self).renew(key, token, on_loss)

        lookups = [group.lookup(each, place) for each in generations]
        looked_up = connection.execute_packed(b"".join(lookups), found, len(lookups))
        looked_up.add_done_callback(check)
        self._hold_claims_for(looked_up)

    @override
    def mark(
        self, key: str, value: bytes, on_other: Callable[[], None], *, retention: float | None = None
    ) -> None:
        if self._hash_refusal:
            super().mark(key, value, on_other, retention=retention)
            return
        place, group = self._find(key)
        rest = place_of(value.decode("latin-1")).rest

        def compare(generation: Generation, found: bytes | None) -> None:
            if found and found[1:] != rest and self._is_remembered(generation, found):
                on_other()

        def write(connection: RedisConnection, generation: Generation) -> None:
            def check(is_new: int) -> None:
                if not is_new:  # rare: a retry, or a replay
                    looked_up = connection.execute("HGET", group.bucket_key(generation, place), place.field)
                    self._compare_later(looked_up, partial(compare, generation))

            commands, replies = [], list[Reply]()
            for each in group.generations:
                if each is not generation:
                    commands.append(group.lookup(each, place))
                    replies.append(ForwardedReply(partial(compare, each)))
            commands.append(group.mark(generation, place, rest, self._clock()))
            connection.send_packed(b"".join(commands), *replies, ForwardedReply(check))
            if expire := group.expire(generation, place, self._lease):
                connection.send_packed(expire, IGNORED)

        self._write(group, retention, write, ignore_failure)

    @override
    async def forget(self, key: str) -> bool:
        was_there = await super().forget(key)
        place, group = self._find(key)
        try:
            await self._read_now(group)
            for generation in group.generations:
                bucket = group.bucket_key(generation, place)
                found = await self.connection().execute("HGET", bucket, place.field)
                was_there |= self._is_remembered(generation, found)
                await self.connection().execute("HDEL", bucket, place.field)
        except (hiredis.ReplyError, OSError) as error:
            raise unavailable(error) from error
        return was_there

    def _find(self, key: str) -> tuple[Place, Group]:
        name = group_of(key)
        return place_of(key), self._groups.get(name) or self._group(name)

    def _group(self, name: str) -> Group:
        return self._groups.setdefault(name, Group(name))

    def _is_remembered(self, generation: Generation, found: object) -> bool:
        return isinstance(found, bytes) and generation.remembers(found, self._clock())

    def _write(
        self,
        group: Group,
        retention: float | None,
        write: Callable[[RedisConnection, Generation], None],
        on_failure: Callable[[], None],
    ) -> None:
        """Call ``write`` with the generation that takes claims with this retention, as soon as it is known."""
        seconds = self._retention if retention is None else max(1, int(retention))
        connection = self._link.current
        if connection is None:
            on_failure()
        elif group.connection is connection and (generation := group.writable.get(seconds)):
            write(connection, generation)
        else:
            group.retentions.add(seconds)
            group.deferred.append((lambda: write(connection, group.writable[seconds]), on_failure))
            self._hold_claims_for(self._start_reading(group))

    def _compare_later(self, looked_up: asyncio.Future[Any], compare: Callable[[Any], None]) -> None:
        def check(done: asyncio.Future[Any]) -> None:
            if not done.cancelled() and done.exception() is None:
                compare(done.result())

        looked_up.add_done_callback(check)
        self._hold_claims_for(looked_up)

    def _hold_claims_for(self, future: asyncio.Future[Any]) -> None:
        """Let claims that follow wait for ``future``: they have to see what it does."""
        self._unsettled.add(future)
        future.add_done_callback(self._unsettled.discard)

    async def _settle(self) -> None:
        while self._unsettled:
            await asyncio.wait(self._unsettled)

    def _fresh_connection(self, group: Group) -> RedisConnection | None:
        """Return the connection if the list of generations is known well enough to go on."""
        connection = self._link.current
        if connection is None or group.connection is not connection:
            return None
        age = connection.time() - group.read_at
        if age > self._refresh_interval:
            self._start_reading(group)
            if age > self._lease / 2:
                return None
        return connection

    async def _read_now(self, group: Group) -> RedisConnection:
        connection = self.connection()
        error = await asyncio.shield(self._start_reading(group))
        if error is not None:
            raise error
        return connection

    def _start_reading(self, group: Group) -> asyncio.Task[OSError | hiredis.ReplyError | None]:
        if group.reading is None or group.reading.done():
            group.reading = asyncio.create_task(self._read(group), name="reading generations")
        return group.reading

    async def _read(self, group: Group) -> OSError | hiredis.ReplyError | None:
        """Read the list of a group's generations, and start those that are due."""
        try:
            connection = self.connection()
            await group.read(connection, self._lease, self._clock())
        except (OSError, hiredis.ReplyError, ClaimsUnavailable) as error:
            self._forget_expiring()
            for _, on_failure in group.take_deferred():
                on_failure()
            return error if isinstance(error, OSError | hiredis.ReplyError) else ConnectionError(str(error))
        for write, _ in group.take_deferred():
            write()
        return None

    def _forget_expiring(self) -> None:
        """Set all buckets to expire again, because the command that did so may have failed."""
        for group in self._groups.values():
            group.expiring.clear()

    @override
    async def _connect(self) -> RedisConnection:
        connection = await super()._connect()
        refusal = ""
        for command in _TRIED:
            try:
                await connection.execute(*command)
            except hiredis.ReplyError as error:
                refusal = refusal or explain(error, str(command[0]))
            except OSError:
                connection.abort()
                raise
        if refusal and refusal != self._hash_refusal:
            log.warning(
                "deduplication store",
                cause=f"{refusal}; until then a finished claim takes 165 bytes instead of 20",
            )
        self._hash_refusal = refusal
        return connection
