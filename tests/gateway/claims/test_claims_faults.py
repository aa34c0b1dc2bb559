"""Redis in every bad state: our own claim is never a duplicate, and nobody waits long."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest
import redis

from gateway.claims import ClaimsUnavailable, Standing, claim_key, content_key
from gateway.claims.dedupe import Claim, Dedupe
from gateway.claims.event_key import EventKey
from gateway.claims.redis import RedisClaims
from gateway.claims.redis_servers import OneServer
from gateway.errors import DedupeUnavailable
from support.incidents import Incidents
from support.redis_server import RedisServer
from support.waiting import PATIENCE, wait_until_async

KEY = claim_key("github", "1")
BODY = b'{"zen":"Keep it logically awesome."}'


class Door:
    """A proxy before Redis that can swallow a reply and abort the connection."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.swallows = False
        self.swallowed = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End everything."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        for source, sink, is_reply in ((reader, back, False), (there, writer, True)):
            task = asyncio.create_task(self._pump(source, sink, writer, is_reply=is_reply))
            self._tasks.add(task)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
        *,
        is_reply: bool,
    ) -> None:
        try:
            while data := await source.read(65536):
                if is_reply and self.swallows:
                    self.swallows = False
                    self.swallowed += 1
                    client.transport.abort()
                    return
                sink.write(data)
        except OSError:
            pass
        finally:
            sink.close()


@asynccontextmanager
async def connected(url: str, *, accepts: bool = True, timeout: float = 0.25) -> AsyncIterator[Dedupe]:
    """The policy over a store that is connected."""
    claims = RedisClaims(OneServer(url), timeout=timeout)
    await claims.start()
    try:
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "Redis is connected")
        yield Dedupe(claims, accepts_unchecked=accepts)
    finally:
        await claims.stop()


async def acquire(dedupe: Dedupe, event_id: str = "1") -> Claim | None:
    """A claim as the pipeline asks for it, answered in time."""
    async with asyncio.timeout(PATIENCE):
        return await dedupe.acquire("github", EventKey(event_id, event_id), BODY, Incidents())


async def is_unchecked(dedupe: Dedupe, event_id: str = "1") -> bool:
    """Return whether an event would be published without a claim."""
    claim = await acquire(dedupe, event_id)
    return claim is not None and not claim.is_held


async def is_unchecked_at_once(dedupe: Dedupe, event_id: str) -> bool:
    """Return whether an event would be published without a claim, and without any wait."""
    answer = asyncio.ensure_future(is_unchecked(dedupe, event_id))
    for _ in range(10):
        await asyncio.sleep(0)
    is_answered = answer.done()
    return await answer and is_answered


async def test_a_lost_reply_is_asked_for_again_and_the_claim_is_ours(own_redis: RedisServer) -> None:
    """The connection dies after Redis has stored our token: that token must not look like a duplicate."""
    door = Door(own_redis.port)
    await door.open()
    try:
        async with connected(f"redis://127.0.0.1:{door.port}/0", timeout=PATIENCE) as dedupe:
            door.swallows = True
            claim = await acquire(dedupe)

            assert door.swallowed == 1
            assert claim is not None
            assert claim.is_held
            with redis.Redis(port=own_redis.port) as raw:
                assert raw.get(claim.key) == b"pending:" + claim.token.encode()
    finally:
        await door.close()


async def test_a_lost_commit_is_not_repeated(own_redis: RedisServer) -> None:
    """Nothing but a claim is asked for twice."""
    door = Door(own_redis.port)
    await door.open()
    failures: list[str] = []
    try:
        async with connected(f"redis://127.0.0.1:{door.port}/0") as dedupe:
            with redis.Redis(port=own_redis.port) as raw:
                door.swallows = True
                dedupe.claims.commit(KEY, lambda: failures.append("commit"))
                await wait_until_async(lambda: failures, PATIENCE, "the commit counts as failed")
                assert raw.delete(KEY) == 1
                await wait_until_async(
                    lambda: not dedupe.claims.unavailable_reason, PATIENCE, "Redis is back"
                )
                await dedupe.claims.claim(claim_key("github", "2"), "token")

                assert not raw.exists(KEY)
    finally:
        await door.close()


async def test_a_killed_redis_costs_no_time(own_redis: RedisServer) -> None:
    """The claim under way is answered when the next connection fails too; later ones at once."""
    async with connected(own_redis.url) as dedupe:
        own_redis.suspend()
        waiting = asyncio.ensure_future(acquire(dedupe))
        await asyncio.sleep(0)
        own_redis.kill()
        assert (claim := await waiting)
        assert not claim.is_held
        for number in range(50):
            assert await is_unchecked_at_once(dedupe, str(number))


async def test_a_black_hole_costs_one_timeout(own_redis: RedisServer) -> None:
    """Who asks first waits for it; nobody else does while the link tries to connect."""
    async with connected(own_redis.url) as dedupe:
        own_redis.suspend()
        try:
            assert await is_unchecked(dedupe)
            for number in range(50):
                assert await is_unchecked_at_once(dedupe, str(number))
        finally:
            own_redis.resume()


def _fill(raw: redis.Redis) -> None:
    raw.config_set("maxmemory", "1")


def _empty(raw: redis.Redis) -> None:
    raw.config_set("maxmemory", "0")


def _miss_replicas(raw: redis.Redis) -> None:
    raw.config_set("min-replicas-to-write", "1")


def _need_none(raw: redis.Redis) -> None:
    raw.config_set("min-replicas-to-write", "0")


def _deny(raw: redis.Redis) -> None:
    raw.acl_setuser("default", enabled=True, commands=["-set"])


def _permit(raw: redis.Redis) -> None:
    raw.acl_setuser("default", enabled=True, commands=["+set"])


@pytest.mark.parametrize(
    ("damage", "repair"),
    [(_fill, _empty), (_miss_replicas, _need_none), (_deny, _permit)],
    ids=["OOM", "NOREPLICAS", "NOPERM"],
)
async def test_a_refused_claim_is_as_good_as_none_and_the_connection_stays(
    own_redis: RedisServer,
    raw: redis.Redis,
    damage: Callable[[redis.Redis], None],
    repair: Callable[[redis.Redis], None],
) -> None:
    """The same server will take claims again; until then events go out unchecked, or not at all."""
    async with connected(own_redis.url) as dedupe:
        connections = raw.info("stats")["total_connections_received"]
        damage(raw)
        assert await is_unchecked(dedupe)
        with pytest.raises(DedupeUnavailable):
            await acquire(Dedupe(dedupe.claims, accepts_unchecked=False))
        repair(raw)

        assert not await is_unchecked(dedupe)
        assert raw.info("stats")["total_connections_received"] == connections


async def test_a_script_that_does_not_end_is_as_good_as_a_black_hole(
    own_redis: RedisServer, raw: redis.Redis
) -> None:
    """First nothing is answered, then BUSY; when it is killed, claims are taken again."""
    raw.config_set("busy-reply-threshold", "50")
    async with connected(own_redis.url) as dedupe:
        script = asyncio.create_task(asyncio.to_thread(_run_for_ever, own_redis.url))
        numbers = itertools.count()

        def is_blocked() -> bool | Awaitable[bool]:
            return is_unchecked(dedupe, f"blocked {next(numbers)}")

        await wait_until_async(is_blocked, PATIENCE, "the script runs")
        raw.script_kill()
        await script
        await wait_until_async(lambda: not dedupe.claims.unavailable_reason, PATIENCE, "Redis is back")

        assert not await is_unchecked(dedupe, "2")


def _run_for_ever(url: str) -> None:
    with redis.Redis.from_url(url) as client, pytest.raises(redis.ResponseError, match="killed"):
        client.eval("while true do end", 0)


async def test_a_replica_is_left_and_the_new_master_found(own_redis: RedisServer, raw: redis.Redis) -> None:
    """READONLY ends the connection: the address may lead elsewhere by now; a replica counts as away."""
    async with connected(own_redis.url) as dedupe:
        raw.replicaof("127.0.0.1", "1")
        assert await is_unchecked(dedupe)
        await wait_until_async(
            lambda: "READONLY" in dedupe.claims.unavailable_reason,
            PATIENCE,
            "the replica is not taken for a store",
        )
        raw.replicaof("NO", "ONE")
        await wait_until_async(lambda: not dedupe.claims.unavailable_reason, PATIENCE, "it is a master again")

        assert not await is_unchecked(dedupe)


async def test_a_failover_that_loses_a_claim_costs_a_duplicate_and_no_event(own_redis: RedisServer) -> None:
    """Behind the same address there is another server, which never heard of the key."""
    door = Door(own_redis.port)
    await door.open()
    try:
        with RedisServer() as promoted:
            async with connected(f"redis://127.0.0.1:{door.port}/0") as dedupe:
                first = await acquire(dedupe)
                assert first is not None
                own_redis.kill()
                door.target = promoted.port
                await wait_until_async(
                    lambda: dedupe.claims.unavailable_reason, PATIENCE, "the loss is noticed"
                )
                await wait_until_async(
                    lambda: not dedupe.claims.unavailable_reason, PATIENCE, "the other is found"
                )
                second = await acquire(dedupe)
                assert second is not None
                assert second.is_held
                dedupe.release(first)  # in vain: it is not the first's any more
                assert await dedupe.claims.claim(second.key, "third") is Standing.IN_FLIGHT
                dedupe.commit(first, Incidents())

                assert await acquire(dedupe) is None
    finally:
        await door.close()


@pytest.mark.parametrize("loss", ["flush", "eviction"])
async def test_a_store_that_forgets_never_swallows_an_event(
    own_redis: RedisServer, raw: redis.Redis, loss: str
) -> None:
    """The claim is granted anew."""
    async with connected(own_redis.url) as dedupe:
        assert await acquire(dedupe) is not None
        if loss == "flush":
            raw.flushall()
        else:
            raw.config_set("maxmemory-policy", "allkeys-random")
            raw.config_set("maxmemory", "1")
            await wait_until_async(
                lambda: not raw.exists(claim_key("github", "1")), PATIENCE, "it is evicted"
            )
            raw.config_set("maxmemory", "0")

        assert not await is_unchecked(dedupe)


@pytest.mark.parametrize("is_list", [False, True])
async def test_garbage_under_the_key_is_unchecked_and_no_duplicate(
    own_redis: RedisServer, raw: redis.Redis, *, is_list: bool
) -> None:
    """And after the publish our own word stands there."""
    key = claim_key("github", "1")
    if is_list:
        raw.lpush(key, "xyz")
    else:
        raw.set(key, "xyz")
    async with connected(own_redis.url) as dedupe:
        claim = await acquire(dedupe)
        assert claim is not None
        assert not claim.is_held
        dedupe.commit(claim, Incidents())

        assert await acquire(dedupe) is None


async def test_of_a_retry_storm_one_publishes_and_the_others_wait_for_it(own_redis: RedisServer) -> None:
    """Fifty at once, a publish that takes a while: one owner, and duplicates only after it is done."""
    async with connected(own_redis.url, timeout=PATIENCE) as dedupe:
        storm = [asyncio.ensure_future(acquire(dedupe)) for _ in range(50)]
        done, _ = await asyncio.wait(storm, return_when=asyncio.FIRST_COMPLETED)
        (owner,) = [await each for each in done]
        assert owner is not None
        dedupe.commit(owner, Incidents())

        assert [claim for claim in await asyncio.gather(*storm) if claim] == [owner]


async def test_a_waiter_takes_over_when_the_holder_fails(own_redis: RedisServer) -> None:
    """One of them, and the rest go on waiting; in vain if it takes too long."""
    async with connected(own_redis.url, timeout=PATIENCE) as dedupe:
        first = await acquire(dedupe)
        assert first is not None
        waiters = [asyncio.ensure_future(acquire(dedupe)) for _ in range(5)]
        await asyncio.sleep(0)
        dedupe.release(first)
        answers = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), PATIENCE)

        assert sorted(type(answer).__name__ for answer in answers) == ["Claim"] + ["InFlight"] * 4


async def test_a_mark_makes_no_round_trip_of_its_own(own_redis: RedisServer, raw: redis.Redis) -> None:
    """It stands for the retention under the digest of the body, and holds the digest of the event's id."""
    async with connected(own_redis.url) as dedupe:
        mark = sha256(BODY).hexdigest()
        claim = await dedupe.acquire("github", EventKey("1", "1", mark[:15], mark), BODY, Incidents())
        assert claim is not None
        key = content_key("github", mark)

        assert raw.get(key) == claim.key.rpartition(":")[2].encode()
        assert int(raw.ttl(key)) > 345_000


async def test_a_store_tells_its_time_and_what_is_wrong_with_it(
    own_redis: RedisServer, raw: redis.Redis
) -> None:
    """Half of the round trip is subtracted; warnings always have the same words."""
    async with connected(own_redis.url, timeout=PATIENCE) as dedupe:
        report = await dedupe.claims.inspect(lambda: time.time() + 100)
        assert report.clock_offset == pytest.approx(100, abs=5)
        assert report.warnings == ()
        raw.config_set("maxmemory-policy", "allkeys-lru")
        (warning,) = (await dedupe.claims.inspect(time.time)).warnings
        assert "allkeys-lru" in warning
        raw.acl_setuser("default", enabled=True, commands=["-info"])
        report = await dedupe.claims.inspect(time.time)

        assert report.clock_offset == pytest.approx(0, abs=5)
        assert "INFO" in report.warnings[0].upper()


async def test_a_store_that_is_away_tells_nothing(own_redis: RedisServer) -> None:
    """As with a claim."""
    async with connected(own_redis.url) as dedupe:
        own_redis.kill()
        with pytest.raises(ClaimsUnavailable):
            await dedupe.claims.inspect(time.time)
