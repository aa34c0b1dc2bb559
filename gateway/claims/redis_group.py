"""What a process knows of the generations of one group of claims, and the commands on their buckets."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import hiredis

from gateway.claims.generations import PREFIX, Generation, Place, current, following, is_due, live, parse
from gateway.claims.redis_connection import RedisConnection

_SAMPLED_BUCKETS = 8
"""Buckets that are counted to estimate the size of a generation: within a tenth of the truth."""

_MAX_LISTED = 64
"""Generations of a group at most: a bound on what a claim may cost. It takes weeks of doubling rates to reach it."""


class Group:
    """What this process knows of one group's generations.

    Attributes:
        name: The name of the group.
        generations: Those that may have claims that are remembered, the newest first.
        writable: The generation that takes claims, by retention.
        connection: The connection over which they were read.
        read_at: When they were read, by the clock of the loop.
        retentions: The retentions that this process commits with.
        expiring: By start of a generation, the bits of the buckets that this process has set to expire.
        deferred: What waits for a generation to be written to, each with what is called if there comes none.
        reading: The task that reads the list.
    """

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.generations: list[Generation] = []
        self.writable: dict[int, Generation] = {}
        self.connection: RedisConnection | None = None
        self.read_at = 0.0
        self.retentions: set[int] = set()
        self.expiring: dict[int, bytearray] = {}
        self.deferred: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self.reading: asyncio.Task[OSError | hiredis.ReplyError | None] | None = None
        self._set_templates()

    @property
    def list_key(self) -> bytes:
        """Return the key of the list of generations."""
        return PREFIX + self.name

    def bucket_key(self, generation: Generation, place: Place) -> bytes:
        """Return the key of the bucket of a claim."""
        return generation.key(self.name, generation.bucket(place.position))

    def claim(self, key: bytes, holder: bytes, options: bytes, place: Place) -> bytes:
        """Return the commands of a claim: SET with these options, then a lookup in each generation."""
        position, field, _ = place
        parts: list[int | bytes] = []
        for generation in self.generations:
            parts += (position * generation.buckets >> 32, field)
        return self._claim % (len(key), key, len(holder), holder, options, *parts)

    def lookup(self, generation: Generation, place: Place) -> bytes:
        """Return the command that looks for a claim in a generation."""
        return self._lookups[generation] % (place.position * generation.buckets >> 32, place.field)

    def commit(self, generation: Generation, place: Place, rest: bytes, now: float) -> bytes:
        """Return the command that puts a claim into a generation."""
        bucket, moment = place.position * generation.buckets >> 32, generation.moment(now)
        return self._commits[generation] % (bucket, place.field, moment, rest)

    def mark(self, generation: Generation, place: Place, rest: bytes, now: float) -> bytes:
        """Return the command that puts a mark into a generation, unless it has one."""
        bucket, moment = place.position * generation.buckets >> 32, generation.moment(now)
        return self._marks[generation] % (bucket, place.field, moment, rest)

    def expire(self, generation: Generation, place: Place, lease: float) -> bytes:
        """Return the command that sets a bucket to expire; empty if this process has sent it before."""
        bucket = place.position * generation.buckets >> 32
        bits = self.expiring.get(generation.start)
        if bits is None:
            bits = self.expiring[generation.start] = bytearray((generation.buckets >> 3) + 1)
        byte, bit = bucket >> 3, 1 << (bucket & 7)
        if bits[byte] & bit:
            return b""
        bits[byte] |= bit
        return _packed(
            b"PEXPIREAT", self.bucket_key(generation, place), b"%d" % (generation.expires_at(lease) * 1000)
        )

    def _set_templates(self) -> None:
        """Prepare the commands, all but the number of the bucket and what the digest says: it is done for each event."""
        key = {each: b"%b{%b:%%07x}:%x" % (PREFIX, self.name, each.start) for each in self.generations}
        length = {each: len(key[each] % 0) for each in self.generations}

        def templates(verb: bytes, count: int, end: bytes) -> dict[Generation, bytes]:
            return {
                each: b"*%d\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$5\r\n%%b\r\n%b"
                % (count, len(verb), verb, length[each], key[each], end)
                for each in self.generations
            }

        value = b"$7\r\n%c%b\r\n"
        self._lookups = templates(b"HGET", 3, b"")
        self._commits = templates(b"HSET", 4, value)
        self._marks = templates(b"HSETNX", 4, value)
        self._claim = b"*7\r\n$3\r\nSET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n%b" + b"".join(self._lookups.values())

    async def read(self, connection: RedisConnection, lease: float, now: float) -> None:
        """Read the list, and start the generations that are due.

        Raises:
            OSError: The server did not answer.
            hiredis.ReplyError: The server refused a command.
        """
        if connection is not self.connection:
            self.expiring.clear()
        generations = await self._listed(connection)
        missing = [each for each in live(self.generations, lease, now) if each not in generations]
        if (
            missing
        ):  # the store lost the list: its claims may still be there, and other gateways look for the list
            self.expiring.clear()
            for each in missing:
                await self._add(connection, each, lease)
            generations = await self._listed(connection)
        for retention in sorted(self.retentions):
            last = current(generations, retention)
            claims = await self._claims_in_bucket(connection, last) if last else 0.0
            if is_due(last, now, claims):
                await self._add(connection, following(generations, retention, now, claims), lease)
                generations = await self._listed(connection)
        remembered = live(generations, lease, now)[:_MAX_LISTED]
        for each in generations:
            if each not in remembered:
                await connection.execute("HDEL", self.list_key, each.number)
                self.expiring.pop(each.start, None)
        self.generations = remembered
        self.writable = {
            each.retention: each for each in reversed(remembered) if each.retention in self.retentions
        }
        self._set_templates()
        self.connection, self.read_at = connection, connection.time()

    def take_deferred(self) -> list[tuple[Callable[[], None], Callable[[], None]]]:
        """Return what waits for the generations, and forget it."""
        deferred, self.deferred = self.deferred, []
        return deferred

    async def _listed(self, connection: RedisConnection) -> list[Generation]:
        found: list[bytes] = await connection.execute("HGETALL", self.list_key)
        return parse(dict(zip(found[::2], found[1::2], strict=True)))

    async def _add(self, connection: RedisConnection, generation: Generation, lease: float) -> None:
        """Add a generation, unless another gateway has added one with its number."""
        known = [*self.generations, generation]
        expires_at = max(each.expires_at(lease) for each in known)
        await connection.execute("HSETNX", self.list_key, generation.number, generation.encode())
        await connection.execute("PEXPIREAT", self.list_key, expires_at * 1000)

    async def _claims_in_bucket(self, connection: RedisConnection, generation: Generation) -> float:
        """Return how many claims a bucket of a generation has on average."""
        sample = random.sample(range(generation.buckets), _SAMPLED_BUCKETS)
        lengths: list[int] = await asyncio.gather(
            *(connection.execute("HLEN", generation.key(self.name, bucket)) for bucket in sample)
        )
        return sum(lengths) / len(lengths)


def _packed(*command: bytes) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type] # the stub says a tuple of one
    return packed
