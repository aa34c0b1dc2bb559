"""Nodes of a Redis Cluster die, and keys move, under load: events are accepted all the time, and duplicates are known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.claims import claim_key
from gateway.claims.redis_cluster import ClusterServers
from gateway.claims.redis_errors import CLUSTER_IS_DOWN
from support.gateway_process import GatewayProcess, Secrets
from support.redis_case import log_of, open_case
from support.redis_cluster import RedisCluster
from support.requirements import require
from support.waiting import wait_until, wait_until_async

_PATIENT = {"timeout": "5s"}
"""A claim that has to wait for a busy machine is not taken for one that failed."""


@pytest.fixture
def cluster() -> Iterator[RedisCluster]:
    """Three primaries and their replicas."""
    require("redis-server", "redis-cli")
    with RedisCluster() as cluster:
        yield cluster


def test_a_primary_dies_and_its_replica_takes_over(
    cluster: RedisCluster, tmp_path: Path, rabbitmq_url: str
) -> None:
    """The keys of the others are not affected; of the dead one only those of the time between are forgotten."""
    with open_case(tmp_path, rabbitmq_url, {"cluster": cluster.urls}) as case:
        primary, replica = cluster.primaries[0], cluster.replicas[0]
        with case.sender:
            before = case.accept(30)
            cluster.wait_copied(before.values())
            replica.suspend()
            primary.kill()
            assert case.wait_degraded()
            case.accept(30)
            replica.resume()
            case.wait_well()
            between = case.accept(0)
            primary.start()
            after = {key: each for key, each in case.accept(30).items() if key not in between}

        assert not case.refusals()
        case.wait_well()
        assert case.repeat(before.values()) == {"duplicate": len(before)}
        assert case.repeat(after.values()) == {"duplicate": len(after)}
        counts = case.settle()
        assert {counts[key] for key in (*before, *after)} == {1}
        assert {case.handled()[key] for key in before} == {1}


async def test_a_cluster_that_takes_commands_again_is_ready(cluster: RedisCluster) -> None:
    """Whatever the key of the refused command holds: finished claims are in hashes."""
    key = b"claims"
    primary, replica = cluster.primaries[0], cluster.replicas[0]
    connection = await ClusterServers(cluster.urls).connect(5)

    async def is_refused() -> bool:
        with suppress(OSError):
            await connection.execute("HGET", key, b"field")
        return connection.unavailable_reason == CLUSTER_IS_DOWN

    try:
        assert cluster.owner_of(key.decode()) is not primary
        await connection.execute("HSET", key, b"field", b"value")
        replica.suspend()
        primary.kill()
        await wait_until_async(is_refused)
        replica.resume()
        await wait_until_async(lambda: not connection.unavailable_reason)
    finally:
        await connection.close()


def test_slots_move_under_load(cluster: RedisCluster, tmp_path: Path, rabbitmq_url: str) -> None:
    """First one by hand, so that it stays half moved for a while, then many at a time: no claim is missed."""
    with open_case(tmp_path, rabbitmq_url, {"cluster": cluster.urls} | _PATIENT) as case:
        with case.sender:
            (first, *_) = before = case.accept(30)
            key = claim_key("acme", first)
            source, target = cluster.begin_move(key)
            assert case.repeat([before[first]]) == {"duplicate": 1}  # ASK
            case.accept(30)
            cluster.finish_move(key, source, target)
            assert case.repeat([before[first]]) == {"duplicate": 1}  # MOVED
            cluster.reshard(cluster.primaries[0], cluster.primaries[1], 200)
            case.accept(30)

        assert not case.refusals()
        everything = case.sender.accepted
        assert case.repeat(everything.values()) == {"duplicate": len(everything)}
        assert case.unchecked() == 0
        counts = case.settle()
        assert set(counts.values()) == {1}
        assert set(case.handled().values()) == {1}


@pytest.mark.parametrize("setting", ["url", "sentinels"])
def test_a_node_of_a_cluster_that_is_configured_as_something_else_is_named(
    cluster: RedisCluster, tmp_path: Path, setting: str
) -> None:
    """At the start, by /readyz, `gateway status` and `gateway check`, with the setting to use."""
    node = cluster.urls[0]
    redis = {"url": node} if setting == "url" else {"sentinels": [node], "master": "claims"}
    expected = "name its nodes in redis.cluster" if setting == "url" else "is not a Redis Sentinel"
    with GatewayProcess(tmp_path, Secrets(), overrides={"redis": redis}, wait_ready=False) as gateway:
        wait_until(lambda: log_of(gateway, "not connected"), message="it is said at the start")
        (line,) = log_of(gateway, "not connected")
        gateway.wait_ready()  # events are accepted unchecked
        readiness = gateway.get("/readyz", admin=True).json()
        status = gateway.run("status")
        check = gateway.run("check", "--connect")

    assert expected in line["cause"]
    assert readiness["status"] == "degraded"
    assert expected in readiness["checks"]["claims"]
    assert expected in status.stdout
    assert check.returncode == 1
    assert expected in check.stderr
    assert len(check.stderr.splitlines()) == 1
    assert "\n" not in line["cause"]


def test_a_single_redis_that_is_configured_as_a_cluster_is_named(tmp_path: Path, redis_url: str) -> None:
    """Its own words would be about cluster support that is disabled."""
    redis = {"cluster": [redis_url.rpartition("/")[0]]}
    with GatewayProcess(tmp_path, Secrets(), overrides={"redis": redis}, wait_ready=False) as gateway:
        wait_until(lambda: log_of(gateway, "not connected"), message="it is said at the start")
        (line,) = log_of(gateway, "not connected")

    assert "is not a node of a Redis Cluster; correct redis.cluster, or name a single Redis" in line["cause"]
