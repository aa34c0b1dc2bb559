"""The smallest rights of docs/reference/permissions.md, for one server, behind Sentinels and in a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from gateway.claims import Standing
from gateway.claims.redis_buckets import RedisBuckets
from gateway.claims.redis_cluster import ClusterServers
from gateway.claims.redis_sentinel import SentinelServers
from gateway.claims.redis_servers import OneServer, RedisServers
from gateway.worker.store.redis import RedisStore
from support.redis_cluster import RedisCluster, WatchedRedis, command
from support.redis_server import RedisServer
from support.repository import ROOT
from support.requirements import require
from support.waiting import PATIENCE, wait_until_async

PASSWORD = "correct-horse-battery"
_RULES = re.compile(r"^\| ([^|]+?) \| `(~whgw:[^`]*)` \|$", re.MULTILINE)


def documented(who: str) -> list[str]:
    """Return the rules that the documentation gives a user."""
    page = (ROOT / "docs/reference/permissions.md").read_text("utf-8")
    rules: dict[str, str] = dict(_RULES.findall(page))
    return rules[who].replace("\\|", "|").split()


@dataclass
class Place:
    """Servers on which a user has rights, and the cluster that they are, if they are one."""

    servers: RedisServers
    nodes: list[RedisServer]
    cluster: RedisCluster | None = None

    def grant(self, rules: list[str]) -> None:
        """Give the user these rights on all nodes."""
        for node in self.nodes:
            command(node, "ACL", "SETUSER", "gateway", "reset", "on", f">{PASSWORD}", *rules)


@pytest.fixture(params=["one server", "sentinel", "cluster"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each kind of servers."""
    require("redis-server")
    with ExitStack() as stack:
        if request.param == "one server":
            server = stack.enter_context(RedisServer())
            url = f"redis://gateway:{PASSWORD}@127.0.0.1:{server.port}"
            yield Place(OneServer(url), [server])
        elif request.param == "sentinel":
            watched = stack.enter_context(WatchedRedis())
            servers = SentinelServers(watched.urls, watched.name, "gateway", PASSWORD)
            yield Place(servers, watched.servers)
        else:
            cluster = stack.enter_context(RedisCluster())
            urls = [url.replace("//", f"//gateway:{PASSWORD}@") for url in cluster.urls]
            yield Place(ClusterServers(urls), [*cluster.primaries, *cluster.replicas], cluster)


async def test_the_documented_rights_of_a_gateway_are_enough(place: Place) -> None:
    """For claims and shared limits, and for a key that moves."""
    place.grant(documented("gateway"))
    store = RedisStore(place.servers, 300.0, timeout=5.0)
    buckets = RedisBuckets(place.servers, timeout=5.0)
    key = "whgw:1:{acme}:1"
    lost: list[str] = []
    await store.start()
    await buckets.start()
    try:
        await wait_until_async(
            lambda: not (store.unavailable_reason or buckets.unavailable_reason),
            PATIENCE,
            "both are connected",
        )
        assert await store.claim(key, "a") is Standing.CLAIMED
        store.renew(key, "b", lambda: lost.append("b"))
        await wait_until_async(lambda: lost == ["b"], PATIENCE, "scripts run")
        store.release(key, "a")
        assert await store.claim(key, "c") is Standing.CLAIMED
        if place.cluster:
            source, target = place.cluster.begin_move(key)
            assert await store.claim(key, "d") is Standing.IN_FLIGHT
            place.cluster.finish_move(key, source, target)
        store.commit(key, lambda: lost.append("commit"))
        assert await store.claim(key, "d") is Standing.DONE
        report = await store.inspect(lambda: 0.0)
        assert report.clock_offset is not None
        assert await buckets.charge("acme", 1.0) > 0
        assert lost == ["b"]
    finally:
        await buckets.stop()
        await store.stop()


async def test_the_documented_rights_of_a_worker_are_enough(place: Place) -> None:
    """For leases, order and limits."""
    place.grant(documented("worker with an order or a limit"))
    store = RedisStore(place.servers, 300.0, timeout=5.0, needs_scripts=True)
    await store.start()
    try:
        await wait_until_async(lambda: not store.unavailable_reason, PATIENCE, "it is connected")
        prefix = "whgw:1:worker:{agent}:"
        assert await store.claim(f"{prefix}1", "a") is Standing.CLAIMED
        assert await store.take_turn(f"{prefix}line", f"{prefix}1") == 0
        assert await store.take_turn(f"{prefix}line", f"{prefix}2") > 0
        await store.defer(f"{prefix}line", f"{prefix}1", 5)
        store.complete(f"{prefix}line", f"{prefix}1")
        assert await store.take_turn(f"{prefix}line", f"{prefix}2") == 0
        assert [await store.reserve(f"{prefix}limit", 1, 60, 0) > 0 for _ in range(2)] == [False, True]
    finally:
        await store.stop()


async def test_a_sentinel_with_users_needs_one_right() -> None:
    """To name the primary."""
    require("redis-server")
    page = (ROOT / "docs/reference/permissions.md").read_text("utf-8")
    assert "`+sentinel|get-master-addr-by-name`" in page
    with WatchedRedis() as watched:
        for port in watched.sentinels:
            watched.command_sentinel(
                port, "ACL", "SETUSER", "finder", "on", f">{PASSWORD}", "+sentinel|get-master-addr-by-name"
            )
            watched.command_sentinel(port, "ACL", "SETUSER", "blind", "on", f">{PASSWORD}")
        urls = [url.replace("//", f"//finder:{PASSWORD}@") for url in watched.urls]
        store = RedisStore(SentinelServers(urls, watched.name), 300.0, timeout=5.0)
        blind = RedisStore(
            SentinelServers([url.replace("finder", "blind") for url in urls], watched.name), 300.0
        )
        await store.start()
        await blind.start()
        try:
            await wait_until_async(lambda: not store.unavailable_reason, PATIENCE, "it is connected")
            await wait_until_async(lambda: blind.has_been_tried, PATIENCE, "it was tried")
            assert "grant +sentinel|get-master-addr-by-name" in blind.unavailable_reason
            assert PASSWORD not in blind.unavailable_reason
        finally:
            await blind.stop()
            await store.stop()
