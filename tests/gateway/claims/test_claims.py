"""Every claim store: an event has one holder at a time, and `done` is never wrong."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from gateway.claims import Claims, ClaimsUnavailable, ForeignValue, Standing, claim_key
from gateway.claims.memory import MemoryClaims
from gateway.claims.redis import RedisClaims
from gateway.claims.redis_cluster import ClusterServers
from gateway.claims.redis_packed import PackedRedisClaims
from gateway.claims.redis_servers import OneServer
from gateway.claims.sqlite import SqliteClaims
from gateway.transport.embedded import Database
from support.redis_cluster import RedisCluster
from support.redis_server import RedisServer
from support.requirements import require
from support.waiting import PATIENCE, wait_until_async

LEASE = 30.0
RETENTION = 3600.0
KEY = claim_key("github", "72d3162e")


class Clock:
    """A clock that moves only when the test moves it."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


class Store:
    """A claim store under test, and what a test may do to it from outside."""

    def __init__(self, claims: Claims, clock: Clock, put: Callable[[str, bytes], Any]) -> None:
        self.claims = claims
        self.clock = clock
        self.put = put


@asynccontextmanager
async def started(claims: Claims) -> AsyncIterator[Claims]:
    """The store between its start and its stop, connected."""
    await claims.start()
    try:
        await wait_until_async(
            lambda: not claims.unavailable_reason, PATIENCE, "the claim store is connected"
        )
        yield claims
    finally:
        await claims.stop()


def awaitable(condition: Callable[[], Awaitable[bool]]) -> Callable[[], bool | Awaitable[bool]]:
    """The condition, of the type that it is waited for."""
    return condition


def raw_redis(url: str) -> AbstractContextManager[redis.Redis]:
    """A client of its own, to look behind the gateway's back."""
    return redis.Redis.from_url(url)


def put_into_file(path: Path, key: str, value: bytes) -> None:
    """Store a value as another program on the same file would."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", (key, value, 1e12))
    connection.close()


def put_into_redis(url: str, key: str, value: bytes) -> None:
    """Store a value as another tenant of the same Redis would."""
    with raw_redis(url) as raw:
        raw.set(key, value)


@pytest.fixture(scope="module")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three primaries and their replicas."""
    require("redis-server")
    with RedisCluster() as cluster:
        yield cluster


@pytest.fixture(params=["memory", "sqlite", "redis", "cluster", "packed redis", "packed cluster"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Each of them, started and empty."""
    clock = Clock()
    match request.param:
        case "memory":
            memory = MemoryClaims(LEASE, RETENTION, clock)
            async with started(memory):
                yield Store(memory, clock, lambda key, value: memory.values.update({key: (value, 1e12)}))
        case "sqlite":
            database = Database(tmp_path)
            async with started(SqliteClaims(database, LEASE, RETENTION, clock)) as claims:
                yield Store(claims, clock, lambda key, value: put_into_file(database.path, key, value))
        case "redis" | "packed redis":
            url = request.getfixturevalue("redis_url")
            kind = PackedRedisClaims if "packed" in request.param else RedisClaims
            async with started(kind(OneServer(url), LEASE, RETENTION, timeout=5.0)) as claims:
                yield Store(claims, clock, lambda key, value: put_into_redis(url, key, value))
        case "cluster" | "packed cluster":
            cluster: RedisCluster = request.getfixturevalue("redis_cluster")
            for primary in cluster.primaries:
                primary.flush()
            servers = ClusterServers(cluster.urls)
            kind = PackedRedisClaims if "packed" in request.param else RedisClaims
            async with started(kind(servers, LEASE, RETENTION, timeout=5.0)) as claims:
                yield Store(
                    claims, clock, lambda key, value: put_into_redis(cluster.owner_of(key).url, key, value)
                )


def never() -> None:
    """What is called when a commit fails, where none may."""
    raise AssertionError("the commit failed")


# The contract of all stores


async def test_the_first_claimer_gets_a_free_key(store: Store) -> None:
    """An event that nobody knows is ours to publish."""
    assert await store.claims.claim(KEY, "a") is Standing.CLAIMED


async def test_the_second_claimer_sees_that_the_first_is_at_work(store: Store) -> None:
    """In flight, not done: the first may still fail."""
    await store.claims.claim(KEY, "a")

    assert await store.claims.claim(KEY, "b") is Standing.IN_FLIGHT


async def test_a_claim_asked_for_again_recognises_itself(store: Store) -> None:
    """A claim whose reply was lost must not look like somebody else's."""
    await store.claims.claim(KEY, "a")

    assert await store.claims.claim(KEY, "a") is Standing.CLAIMED


async def test_a_committed_event_is_done_for_everybody(store: Store) -> None:
    """For its holder too; and at once, though a commit is not waited for."""
    await store.claims.claim(KEY, "a")
    store.claims.commit(KEY, never)

    assert await store.claims.claim(KEY, "b") is Standing.DONE
    assert await store.claims.claim(KEY, "a") is Standing.DONE


async def test_a_commit_needs_no_claim(store: Store) -> None:
    """After a confirm the event is published, whoever holds the key by now, or nobody."""
    store.claims.commit(KEY, never)
    other = claim_key("github", "held by b")
    await store.claims.claim(other, "b")
    store.claims.commit(other, never)

    assert await store.claims.claim(KEY, "c") is Standing.DONE
    assert await store.claims.claim(other, "c") is Standing.DONE


async def test_a_released_key_is_free_again(store: Store) -> None:
    """A publish that failed must not stop the next attempt."""
    await store.claims.claim(KEY, "a")
    store.claims.release(KEY, "a")

    assert await store.claims.claim(KEY, "b") is Standing.CLAIMED


async def test_only_its_holder_can_release_a_key(store: Store) -> None:
    """One who lost its lease must not free the key of the next."""
    await store.claims.claim(KEY, "b")
    store.claims.release(KEY, "a")

    assert await store.claims.claim(KEY, "c") is Standing.IN_FLIGHT


async def test_a_done_event_cannot_be_released(store: Store) -> None:
    """Not even by who claimed it first."""
    await store.claims.claim(KEY, "a")
    store.claims.commit(KEY, never)
    store.claims.release(KEY, "a")

    assert await store.claims.claim(KEY, "b") is Standing.DONE


async def test_a_release_of_an_unknown_key_does_nothing(store: Store) -> None:
    """The lease may have ended before."""
    store.claims.release(KEY, "a")

    assert await store.claims.claim(KEY, "b") is Standing.CLAIMED


async def test_a_look_changes_nothing(store: Store) -> None:
    """Whoever looks takes no claim, and sees one that is held, one that is done, and one that nobody of us wrote."""
    other = claim_key("github", "other")

    assert await store.claims.look_up(KEY) is None
    assert await store.claims.claim(KEY, "token") is Standing.CLAIMED
    assert await store.claims.look_up(KEY) is Standing.IN_FLIGHT
    store.claims.commit(KEY, lambda: None)
    assert await store.claims.claim(KEY, "other") is Standing.DONE
    assert await store.claims.look_up(KEY) is Standing.DONE
    await store.claims.claim(other, "content/token")
    assert await store.claims.look_up(other) is Standing.IN_FLIGHT
    store.put(claim_key("github", "foreign"), b"hello")
    with pytest.raises(ForeignValue):
        await store.claims.look_up(claim_key("github", "foreign"))


async def test_a_forgotten_event_is_accepted_again(store: Store) -> None:
    """Done or held; and forget tells whether there was anything."""
    store.claims.commit(KEY, never)
    assert await store.claims.forget(KEY)
    assert not await store.claims.forget(KEY)
    assert await store.claims.claim(KEY, "a") is Standing.CLAIMED
    assert await store.claims.forget(KEY)

    assert await store.claims.claim(KEY, "b") is Standing.CLAIMED


@pytest.mark.parametrize("value", [b"xyz", b"", b"don", b"pending", b"DONE", b"\xff\x00"])
async def test_a_foreign_value_is_never_a_duplicate(store: Store, value: bytes) -> None:
    """Its writer did not publish our event, so it counts as a store that does not answer."""
    store.put(KEY, value)

    with pytest.raises(ForeignValue):
        await store.claims.claim(KEY, "a")


async def test_a_renewal_takes_back_what_was_forgotten_and_nothing_else(store: Store) -> None:
    """After a flush the holder has its key again; what somebody else has, or is done, it has lost."""
    losses: list[str] = []
    await store.claims.claim(KEY, "a")
    store.claims.renew(KEY, "a", never)
    store.claims.renew(KEY, "b", lambda: losses.append("held"))
    await store.claims.forget(KEY)
    store.claims.renew(KEY, "a", never)
    assert await store.claims.claim(KEY, "b") is Standing.IN_FLIGHT

    store.claims.commit(KEY, never)
    store.claims.renew(KEY, "a", lambda: losses.append("done"))

    assert await store.claims.claim(KEY, "c") is Standing.DONE
    assert losses == ["held", "done"]


async def test_a_mark_tells_only_of_another_value(store: Store) -> None:
    """Before the claim asked for after it is answered: the first value stays, and its repetition is no news."""
    others: list[str] = []
    for value in ("first", "first", "second", "third", "first"):
        store.claims.mark(KEY + "mark", value.encode(), partial(others.append, value))
    await store.claims.claim(KEY, "a")

    assert others == ["second", "third"]


async def test_a_store_without_a_clock_of_its_own_has_no_offset(store: Store) -> None:
    """And nothing to warn of, as a test starts it."""
    report = await store.claims.inspect(time.time)

    assert abs(report.clock_offset or 0.0) < PATIENCE
    assert report.warnings == ()


async def test_keys_do_not_affect_each_other(store: Store) -> None:
    """Neither other events of a provider nor the same id of another provider."""
    await store.claims.claim(claim_key("github", "1"), "a")
    store.claims.commit(claim_key("github", "2"), never)

    assert await store.claims.claim(claim_key("github", "3"), "b") is Standing.CLAIMED
    assert await store.claims.claim(claim_key("gitlab", "1"), "b") is Standing.CLAIMED
    assert await store.claims.claim(claim_key("gitlab", "2"), "b") is Standing.CLAIMED


async def test_of_many_concurrent_claimers_exactly_one_gets_the_key(store: Store) -> None:
    """Five hundred claims for fifty keys at once: fifty holders, and the rest know it."""
    keys = [claim_key("github", str(number % 50)) for number in range(500)]
    standings = await asyncio.gather(*(store.claims.claim(key, str(n)) for n, key in enumerate(keys)))

    winners = [key for key, standing in zip(keys, standings, strict=True) if standing is Standing.CLAIMED]
    assert sorted(set(keys)) == sorted(winners)
    assert [each for each in standings if each is not Standing.CLAIMED] == [Standing.IN_FLIGHT] * 450


async def test_concurrent_claims_of_distinct_keys_are_all_granted(store: Store) -> None:
    """Five hundred at once travel together without mixing."""
    keys = [claim_key("stripe", str(number)) for number in range(500)]
    standings = await asyncio.gather(*(store.claims.claim(key, "a") for key in keys))

    assert standings == [Standing.CLAIMED] * 500


async def test_a_cancelled_caller_does_not_shift_the_replies_of_others(store: Store) -> None:
    """Replies carry no name; each must still reach the caller whose claim it answers."""
    for number in range(0, 60, 3):
        store.claims.commit(claim_key("github", str(number)), never)
    tasks = [
        asyncio.ensure_future(store.claims.claim(claim_key("github", str(number)), "a"))
        for number in range(60)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    expected = [Standing.CLAIMED if number % 3 else Standing.DONE for number in range(1, 60, 2)]
    assert expected == answers[1::2]


async def test_a_store_that_works_has_no_trouble(store: Store) -> None:
    """What readiness is made of."""
    assert store.claims.unavailable_reason == ""
    assert store.claims.has_been_tried


# What depends on time


@pytest.fixture(params=["memory", "sqlite"])
async def timed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """The stores that are given a clock."""
    clock = Clock()
    claims: Claims = (
        MemoryClaims(LEASE, RETENTION, clock)
        if request.param == "memory"
        else SqliteClaims(Database(tmp_path), LEASE, RETENTION, clock)
    )
    async with started(claims):
        yield Store(claims, clock, lambda *_: None)


async def test_a_lease_ends_by_itself(timed: Store) -> None:
    """A holder that died keeps the event for the time of the lease and not longer."""
    await timed.claims.claim(KEY, "a")
    timed.clock.now += LEASE - 0.001
    assert await timed.claims.claim(KEY, "b") is Standing.IN_FLIGHT
    timed.clock.now += 0.002

    assert await timed.claims.claim(KEY, "b") is Standing.CLAIMED


async def test_a_lease_that_is_renewed_goes_on(timed: Store) -> None:
    """For another lease from then on, and no longer."""
    await timed.claims.claim(KEY, "a")
    timed.clock.now += LEASE - 1
    timed.claims.renew(KEY, "a", never)
    assert await timed.claims.claim(KEY, "b") is Standing.IN_FLIGHT
    timed.clock.now += LEASE - 1
    assert await timed.claims.claim(KEY, "b") is Standing.IN_FLIGHT
    timed.clock.now += 2

    assert await timed.claims.claim(KEY, "b") is Standing.CLAIMED


async def test_a_holder_that_lost_its_lease_cannot_release_the_next(timed: Store) -> None:
    """The key is held under another token by then."""
    await timed.claims.claim(KEY, "a")
    timed.clock.now += LEASE + 1
    await timed.claims.claim(KEY, "b")
    timed.claims.release(KEY, "a")

    assert await timed.claims.claim(KEY, "c") is Standing.IN_FLIGHT


async def test_a_done_event_is_remembered_for_the_retention(timed: Store) -> None:
    """Much longer than the lease, and then no more."""
    await timed.claims.claim(KEY, "a")
    timed.claims.commit(KEY, never)
    assert await timed.claims.claim(KEY, "b") is Standing.DONE
    timed.clock.now += RETENTION - 0.001
    assert await timed.claims.claim(KEY, "b") is Standing.DONE
    timed.clock.now += 0.002

    assert await timed.claims.claim(KEY, "b") is Standing.CLAIMED


async def test_sqlite_sweeps_what_has_ended(tmp_path: Path) -> None:
    """The file does not grow for ever; what is still remembered stays."""
    clock = Clock()
    database = Database(tmp_path)
    async with started(SqliteClaims(database, LEASE, RETENTION, clock)) as claims:
        for number in range(20):
            claims.commit(claim_key("github", str(number)), never)
        await claims.claim(KEY, "a")
        clock.now += RETENTION + 1
        await claims.claim(KEY, "b")
        rows = await database.run(lambda connection: connection.execute("SELECT key FROM claims").fetchall())

    assert rows == [(KEY,)]


# Keys


def test_keys_are_of_fixed_form() -> None:
    """Whatever a sender calls its events, and however long."""
    for event_id in ("1", "a:b", "*" * 255, "x\ny"):
        assert re.fullmatch(r"whgw:1:github:[0-9a-f]{40}", claim_key("github", event_id))


def test_keys_of_different_events_differ() -> None:
    """A delimiter within an id moves nothing from one part into the other."""
    parts = [("a:b", "c"), ("a", "b:c"), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "B")]

    assert len(parts) == len({claim_key(*each) for each in parts})


# SQLite alone

_COMMIT_AND_HANG = """
import asyncio, sys
from pathlib import Path
from gateway.claims.sqlite import SqliteClaims
from gateway.transport.embedded import Database

async def main():
    claims = SqliteClaims(Database(Path(sys.argv[1])))
    await claims.start()
    await claims.claim(sys.argv[2], "a")
    await claims.claim(sys.argv[3], "a")
    claims.commit(sys.argv[2], lambda: sys.exit(1))
    print((await claims.claim(sys.argv[2], "b")).value, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_sqlite_claims_survive_kill_9(tmp_path: Path) -> None:
    """Done stays done and held stays held in the next process."""
    held = claim_key("github", "held")
    with subprocess.Popen(
        [sys.executable, "-c", _COMMIT_AND_HANG, str(tmp_path), KEY, held], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        said = await asyncio.to_thread(process.stdout.readline)
        process.kill()
    assert said == b"done\n"

    async with started(SqliteClaims(Database(tmp_path))) as claims:
        assert await claims.claim(KEY, "c") is Standing.DONE
        assert await claims.claim(held, "c") is Standing.IN_FLIGHT


async def test_sqlite_claims_are_shared_by_two_users_of_one_file(tmp_path: Path) -> None:
    """Two gateways on one data_dir do not publish an event twice."""
    async with (
        started(SqliteClaims(Database(tmp_path))) as one,
        started(SqliteClaims(Database(tmp_path))) as two,
    ):
        assert await one.claim(KEY, "a") is Standing.CLAIMED
        assert await two.claim(KEY, "b") is Standing.IN_FLIGHT
        one.commit(KEY, never)
        await one.claim(KEY, "a")

        assert await two.claim(KEY, "b") is Standing.DONE


async def test_a_file_that_is_no_database_is_an_os_error(tmp_path: Path) -> None:
    """Which the program reports as a mistake of its operator, with the path."""
    (tmp_path / "embedded.db").write_bytes(b"not a database, though longer than its header" * 100)

    with pytest.raises(OSError, match=r"embedded\.db"):
        await SqliteClaims(Database(tmp_path)).start()


async def test_a_failing_sqlite_file_is_an_unavailable_store(tmp_path: Path) -> None:
    """And a commit that fails tells so."""
    database = Database(tmp_path)
    failures: list[str] = []
    async with started(SqliteClaims(database)) as claims:
        await database.run(lambda connection: connection.execute("DROP TABLE claims"))
        with pytest.raises(ClaimsUnavailable, match="claims"):
            await claims.claim(KEY, "a")
        claims.commit(KEY, lambda: failures.append("commit"))
        claims.release(KEY, "a")
        claims.mark(KEY, b"value", lambda: failures.append("mark"))
        with pytest.raises(ClaimsUnavailable, match="claims"):
            await claims.forget(KEY)

    assert failures == ["commit"]


# Redis alone


async def test_redis_holds_the_token_for_the_lease_and_then_done_for_the_retention(redis_url: str) -> None:
    """What operators and other versions find under the key."""
    async with started(RedisClaims(OneServer(redis_url), LEASE, RETENTION)) as claims:
        with raw_redis(redis_url) as raw:
            await claims.claim(KEY, "t0ken")
            assert raw.get(KEY) == b"pending:t0ken"
            assert 0 < _number(raw.pttl(KEY)) <= LEASE * 1000
            claims.commit(KEY, never)
            await claims.claim(KEY, "other")
            assert raw.get(KEY) == b"done"
            assert RETENTION - 60 < _number(raw.ttl(KEY)) <= RETENTION
            assert raw.keys() == [KEY.encode()]


def _number(reply: Any) -> int:
    return int(reply)


async def test_a_redis_lease_ends_by_itself(redis_url: str) -> None:
    """By Redis' own clock; nobody has to release it."""
    async with started(RedisClaims(OneServer(redis_url), 0.2, RETENTION)) as claims:
        assert await claims.claim(KEY, "a") is Standing.CLAIMED

        async def is_ours() -> bool:
            return await claims.claim(KEY, "b") is Standing.CLAIMED

        await wait_until_async(awaitable(is_ours), PATIENCE, "the lease has ended")


async def test_a_redis_that_is_not_there_is_unavailable_at_once(own_redis: RedisServer) -> None:
    """And is waited for: started in any order, they find each other."""
    own_redis.stop()
    claims = RedisClaims(OneServer(own_redis.url))
    await claims.start()
    failures: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ClaimsUnavailable):
                await claims.claim(KEY, "a")
            await wait_until_async(
                lambda: (
                    "refused" in claims.unavailable_reason.lower()
                    or "connect" in claims.unavailable_reason.lower()
                )
            )
        await wait_until_async(lambda: claims.has_been_tried, PATIENCE, "the first attempt ended")
        claims.commit(KEY, lambda: failures.append("commit"))
        claims.release(KEY, "a")
        assert failures == ["commit"]
        own_redis.start()
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "Redis was found")

        assert await claims.claim(KEY, "a") is Standing.CLAIMED
    finally:
        await claims.stop()


async def test_a_killed_redis_is_unavailable_and_comes_back(own_redis: RedisServer) -> None:
    """It comes back empty: a claim may be granted twice then, but nobody hangs and nobody is told `done`."""
    async with started(RedisClaims(OneServer(own_redis.url))) as claims:
        await claims.claim(KEY, "a")
        own_redis.kill()
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ClaimsUnavailable):
                await claims.claim(KEY, "b")
        await wait_until_async(lambda: claims.unavailable_reason, PATIENCE, "the loss is noticed")
        assert claims.has_been_tried
        own_redis.start()
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "Redis is back")

        assert await claims.claim(KEY, "b") is Standing.CLAIMED


async def test_a_suspended_redis_is_unavailable_after_the_timeout(own_redis: RedisServer) -> None:
    """Every waiting claim fails, also those queued behind a batch; then Redis is found again."""
    failures: list[str] = []
    async with started(RedisClaims(OneServer(own_redis.url), timeout=0.25)) as claims:
        own_redis.suspend()
        try:
            async with asyncio.timeout(PATIENCE):
                first = asyncio.ensure_future(claims.claim(KEY, "a"))
                await asyncio.sleep(0)
                claims.commit(KEY, lambda: failures.append("commit"))
                answers = await asyncio.gather(
                    first, *(claims.claim(f"{KEY}{n}", "b") for n in range(20)), return_exceptions=True
                )
            assert [ClaimsUnavailable] * 21 == [type(answer) for answer in answers]
            assert failures == ["commit"]
        finally:
            own_redis.resume()
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "Redis is back")

        assert await claims.claim(claim_key("github", "another"), "c") is Standing.CLAIMED


async def test_a_full_redis_is_unavailable(own_redis: RedisServer) -> None:
    """OOM is no reply to the question; the connection stays, and what is known is still known to be lost on us."""
    async with started(RedisClaims(OneServer(own_redis.url))) as claims:
        with raw_redis(own_redis.url) as raw:
            raw.config_set("maxmemory-policy", "noeviction")
            raw.config_set("maxmemory", "1")
            with pytest.raises(ClaimsUnavailable, match="OOM"):
                await claims.claim(KEY, "a")
            raw.config_set("maxmemory", "0")

        assert await claims.claim(KEY, "a") is Standing.CLAIMED


async def test_a_read_only_redis_is_unavailable(own_redis: RedisServer) -> None:
    """A replica takes no claims, and nobody may believe that it did."""
    failures: list[str] = []
    async with started(RedisClaims(OneServer(own_redis.url))) as claims:
        with raw_redis(own_redis.url) as raw:
            raw.replicaof("127.0.0.1", "1")
            with pytest.raises(ClaimsUnavailable):
                await claims.claim(KEY, "a")
            claims.commit(KEY, lambda: failures.append("commit"))
            await wait_until_async(lambda: failures, PATIENCE, "the commit failed")
            raw.replicaof("NO", "ONE")

        assert await claims.claim(KEY, "a") is Standing.CLAIMED


async def test_the_password_and_the_database_of_the_address_are_used(own_redis: RedisServer) -> None:
    """Claims land in the database that the address names."""
    password = "p@ss word/1"
    with raw_redis(own_redis.url) as raw:
        raw.config_set("requirepass", password)
    url = f"redis://:p%40ss%20word%2F1@127.0.0.1:{own_redis.port}/3"
    async with started(RedisClaims(OneServer(url))) as claims:
        await claims.claim(KEY, "a")
        with redis.Redis(port=own_redis.port, db=3, password=password) as third:
            assert third.get(KEY) == b"pending:a"
        with redis.Redis(port=own_redis.port, db=0, password=password) as zeroth:
            assert zeroth.keys() == []


async def test_a_wrong_password_is_told_in_words(own_redis: RedisServer) -> None:
    """In the trouble that readiness shows; without the password."""
    with raw_redis(own_redis.url) as raw:
        raw.config_set("requirepass", "right horse battery")
    claims = RedisClaims(OneServer(f"redis://:wrong-staple@127.0.0.1:{own_redis.port}/0"))
    await claims.start()
    try:
        await wait_until_async(
            lambda: "password" in claims.unavailable_reason, PATIENCE, "the trouble tells of the password"
        )
        assert "wrong-staple" not in claims.unavailable_reason
        with pytest.raises(ClaimsUnavailable, match="password"):
            await claims.claim(KEY, "a")
    finally:
        await claims.stop()


async def test_something_else_than_redis_is_told_in_words() -> None:
    """An address that leads to an HTTP server."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)  # closing over unread bytes would reset the connection
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    claims = RedisClaims(OneServer(f"redis://127.0.0.1:{port}/0"))
    await claims.start()
    try:
        await wait_until_async(
            lambda: "not a Redis server" in claims.unavailable_reason, PATIENCE, "the reason is known"
        )
    finally:
        await claims.stop()
        server.close()
        await server.wait_closed()


async def test_stop_carries_out_what_was_asked_for(redis_url: str) -> None:
    """A commit of the last moment is not lost with the connection."""
    async with started(RedisClaims(OneServer(redis_url))) as claims:
        claims.commit(KEY, never)
    with raw_redis(redis_url) as raw:
        assert raw.get(KEY) == b"done"
