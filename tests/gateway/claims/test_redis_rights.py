"""Users with few permissions, replicas, clusters, sentinels: each is recognised at the start."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.crc import key_slot
from structlog.testing import capture_logs

from gateway.claims import DONE, ClaimsUnavailable, Standing, claim_key
from gateway.claims.redis import RedisClaims
from gateway.claims.redis_servers import OneServer
from gateway.worker.store.redis import RedisStore
from support.ports import free_port, is_free
from support.process import Child
from support.programs import locate
from support.redis_server import RedisServer
from support.requirements import require
from support.waiting import wait_until_async

KEY = claim_key("github", "1")
PATIENCE = 10.0
PASSWORD = "correct-horse-battery"
LEASE, RETENTION = 30.0, 3600.0


def user(server: RedisServer, raw: redis.Redis, *rights: str) -> str:
    """The address as a new user with these rights."""
    execute: Any = raw.execute_command
    execute("ACL", "SETUSER", "claims", "on", f">{PASSWORD}", *rights)
    return f"redis://claims:{PASSWORD}@127.0.0.1:{server.port}/0"


@asynccontextmanager
async def connected(claims: RedisClaims) -> AsyncIterator[list[Any]]:
    """The store once it is connected, with what was logged."""
    with capture_logs() as logs:
        await claims.start()
        try:
            await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "Redis is connected")
            yield logs
        finally:
            await claims.stop()


async def trouble_of(claims: RedisClaims) -> str:
    """What a store says that never becomes ready."""
    await claims.start()
    try:
        await wait_until_async(lambda: claims.unavailable_reason != "not connected yet", PATIENCE)
        with pytest.raises(ClaimsUnavailable):
            await claims.claim(KEY, "a")
        return claims.unavailable_reason
    finally:
        await claims.stop()


@pytest.mark.parametrize(
    "rights",
    [
        ("~whgw:*", "+@read", "+@write"),
        ("~whgw:*", "+set", "+get", "+del", "+pexpire"),
        ("~whgw:*", "+@all", "-@dangerous", "-@connection", "+auth"),
    ],
    ids=" ".join,
)
async def test_a_user_of_few_rights_keeps_claims(
    own_redis: RedisServer, raw: redis.Redis, rights: tuple[str, ...]
) -> None:
    """What is only a courtesy may be refused: the name of the connection, INFO, TIME."""
    claims = RedisClaims(OneServer(user(own_redis, raw, *rights)), LEASE, RETENTION)
    async with connected(claims):
        assert await claims.claim(KEY, "a") is Standing.CLAIMED
        assert await claims.claim(KEY, "b") is Standing.IN_FLIGHT
        claims.commit(KEY, lambda: None)
        assert await claims.claim(KEY, "b") is Standing.DONE
        report = await claims.inspect(lambda: 0.0)

        assert PASSWORD not in str(report)


async def test_without_scripts_claims_are_given_back_and_renewed_all_the_same(
    own_redis: RedisServer, raw: redis.Redis
) -> None:
    """In two steps, and only our own; it is said at the start which right is missing."""
    url = user(own_redis, raw, "~whgw:*", "+@read", "+@write")
    claims = RedisClaims(OneServer(url), LEASE, RETENTION)
    lost: list[str] = []
    async with connected(claims) as logs:
        await claims.claim(KEY, "a")
        claims.release(KEY, "another")
        assert await claims.claim(KEY, "b") is Standing.IN_FLIGHT
        assert raw.get(KEY) == b"pending:a"
        raw.pexpire(KEY, 1000)
        claims.renew(KEY, "a", lambda: lost.append("a"))
        await wait_until_async(lambda: raw.pttl(KEY) > 20_000, PATIENCE, "the lease is renewed")
        claims.renew(KEY, "b", lambda: lost.append("b"))
        await wait_until_async(lambda: lost == ["b"], PATIENCE, "the loss is reported")
        claims.release(KEY, "a")
        await wait_until_async(lambda: not raw.exists(KEY), PATIENCE, "it is given back")
        claims.renew(KEY, "a", lambda: lost.append("a"))
        await wait_until_async(lambda: raw.get(KEY) == b"pending:a", PATIENCE, "it is taken again")
        claims.commit(KEY, lambda: None)
        claims.renew(KEY, "a", lambda: lost.append("a"))
        await wait_until_async(lambda: lost == ["b", "a"], PATIENCE, "done is not renewed")
        assert raw.get(KEY) == DONE
        assert raw.ttl(KEY) > RETENTION / 2
    (warning,) = (line["cause"] for line in logs if line["event"] == "deduplication store")

    assert "EVAL" in warning
    assert "+eval" in warning


async def test_with_scripts_nothing_is_missed(own_redis: RedisServer) -> None:
    """No word of it."""
    async with connected(RedisClaims(OneServer(own_redis.url))) as logs:
        pass

    assert [line for line in logs if line["log_level"] == "warning"] == []


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        (("~*", "+@all", "-set"), "may not SET; grant +set"),
        (("~*", "+@all", "-del"), "may not DEL; grant +del"),
        (("~*", "+@all", "-get"), "may not GET; grant +get"),
        (("~other:*", "+@all"), "may not use the keys whgw:*; grant ~whgw:*"),
        (("%R~whgw:*", "+@all"), "may not use the keys whgw:*; grant ~whgw:*"),
    ],
    ids=str,
)
async def test_a_missing_right_is_named(
    own_redis: RedisServer, raw: redis.Redis, rights: tuple[str, ...], expected: str
) -> None:
    """At the start, in one line, with Redis' own words and without the password."""
    unavailable_reason = await trouble_of(RedisClaims(OneServer(user(own_redis, raw, *rights))))

    assert expected in unavailable_reason
    assert "NOPERM" in unavailable_reason
    assert "\n" not in unavailable_reason
    assert PASSWORD not in unavailable_reason


async def test_a_worker_in_order_or_with_a_limit_needs_scripts_and_says_so(
    own_redis: RedisServer, raw: redis.Redis
) -> None:
    """Others go on without."""
    url = user(own_redis, raw, "~whgw:*", "+@read", "+@write")
    async with connected(RedisStore(OneServer(url), LEASE, RETENTION)):
        pass

    assert "order and limits need EVAL and TIME" in await trouble_of(
        RedisStore(OneServer(url), LEASE, RETENTION, needs_scripts=True)
    )


def _replica(raw: redis.Redis) -> None:
    raw.replicaof("127.0.0.1", "1")


def _full(raw: redis.Redis) -> None:
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", "1")


def _without_replicas(raw: redis.Redis) -> None:
    raw.config_set("min-replicas-to-write", "3")


def _unsaved(raw: redis.Redis) -> None:
    folder = Path(str(raw.config_get("dir")["dir"]))
    raw.config_set("save", "3600 1")
    raw.set("something", "new")
    shutil.rmtree(folder)
    with pytest.raises(redis.ResponseError):
        raw.save()
    raw.bgsave()


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (_replica, "is a read-only replica; give the address of its primary (Redis: READONLY"),
        (_full, "memory is full; raise maxmemory (Redis: OOM"),
        (_without_replicas, "misses replicas"),
        (_unsaved, "cannot save its data, and takes no writes (Redis: MISCONF"),
    ],
)
async def test_a_server_that_takes_no_claims_is_not_ready_and_says_why(
    own_redis: RedisServer, raw: redis.Redis, damage: Any, expected: str
) -> None:
    """From the start on."""
    damage(raw)
    if damage is _unsaved:
        await wait_until_async(
            lambda: raw.info("persistence")["rdb_last_bgsave_status"] == "err", PATIENCE, "it cannot save"
        )

    assert expected in await trouble_of(RedisClaims(OneServer(own_redis.url)))


async def test_what_is_refused_later_is_a_trouble_until_it_is_over(
    own_redis: RedisServer, raw: redis.Redis
) -> None:
    """Also when no event comes to find that out; the connection stays."""
    claims = RedisClaims(OneServer(own_redis.url))
    async with connected(claims) as logs:
        raw.config_set("maxmemory", "1")
        for number in range(3):
            with pytest.raises(ClaimsUnavailable, match="OOM"):
                await claims.claim(claim_key("github", str(number)), "a")
        assert "memory is full" in claims.unavailable_reason
        raw.config_set("maxmemory", "0")
        await wait_until_async(lambda: not claims.unavailable_reason, PATIENCE, "claims are taken again")
    assert [line["event"] for line in logs].count("claims refused") == 1


@asynccontextmanager
async def cluster_node(*slots: int) -> AsyncIterator[tuple[RedisServer, redis.Redis]]:
    """A server in cluster mode that has some slots and knows of no other node."""
    require("redis-server")
    options = (
        "--cluster-enabled",
        "yes",
        "--cluster-require-full-coverage",
        "no",
        "--cluster-port",
        str(free_port()),
    )
    with RedisServer(*options) as node, redis.Redis.from_url(node.url) as raw:
        execute: Any = raw.execute_command
        execute("CLUSTER", "ADDSLOTS", *slots)
        await wait_until_async(
            lambda: raw.cluster("info")["cluster_state"] == "ok", PATIENCE, "it is a cluster"
        )
        yield node, raw


async def test_a_node_of_a_cluster_is_recognised_though_it_has_all_keys() -> None:
    """It says so itself, to a user who may ask."""
    async with cluster_node(*range(16_384)) as (node, _):
        assert "name its nodes in redis.cluster" in await trouble_of(RedisClaims(OneServer(node.url)))


async def test_a_node_of_a_cluster_is_recognised_by_the_keys_of_other_nodes() -> None:
    """Where the user may not ask; the first key that is tried is its own."""
    async with cluster_node(key_slot(b"whgw:1:")) as (node, raw):
        claims = RedisClaims(OneServer(user(node, raw, "~whgw:*", "+@read", "+@write")))

        assert "name its nodes in redis.cluster" in await trouble_of(claims)
        assert claims.has_been_tried  # it is known at the start, before an event needs the other nodes


async def test_a_sentinel_is_recognised(tmp_path: Path) -> None:
    """Its port is easily given in place of that of the Redis that it watches."""
    require("redis-server")
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n")
    child = Child([locate("redis-server"), str(config), "--sentinel"], log=tmp_path / "log")
    try:
        await wait_until_async(lambda: not is_free(port), PATIENCE, "the sentinel listens")

        assert "is a Redis Sentinel" in await trouble_of(
            RedisClaims(OneServer(f"redis://127.0.0.1:{port}/0"))
        )
    finally:
        child.kill()


async def test_the_arguments_of_an_unknown_command_are_not_logged() -> None:
    """Redis repeats them, and one may be the password."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):
            refusal = f"-ERR unknown command 'AUTH', with args beginning with: 'claims' '{PASSWORD}' \r\n"
            writer.write(refusal.encode() * 32)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        unavailable_reason = await trouble_of(
            RedisClaims(OneServer(f"redis://claims:{PASSWORD}@127.0.0.1:{port}/0"))
        )
    finally:
        server.close()
        await server.wait_closed()

    assert "the server has no AUTH" in unavailable_reason
    assert PASSWORD not in unavailable_reason
