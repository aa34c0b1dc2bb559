"""Primaries of Redis die and keys move, again and again. It takes minutes: ``make faults-cluster``."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.redis_case import open_case
from support.redis_cluster import RedisCluster, WatchedRedis
from support.requirements import require
from support.senders import Delivery

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]

_ROUNDS = 5


def test_primaries_behind_sentinels_die_one_after_another(tmp_path: Path, rabbitmq_url: str) -> None:
    """Each returns as a replica before the next dies. What is accepted twice was accepted during a failover."""
    require("redis-server")
    with WatchedRedis() as watched:
        redis = {"sentinels": watched.urls, "master": watched.name}
        with open_case(tmp_path, rabbitmq_url, redis) as case:
            primary, replica = watched.servers
            safe: dict[str, Delivery] = {}
            with case.sender:
                for _ in range(_ROUNDS):
                    known = case.accept(0)
                    fresh = {key: each for key, each in case.accept(50).items() if key not in known}
                    watched.wait_copied(fresh.values(), replica)
                    safe |= fresh
                    primary.kill()
                    watched.wait_is_primary(replica)
                    case.wait_well()
                    primary.start()
                    watched.wait_follows(primary, replica)
                    primary, replica = replica, primary

            assert not case.refusals()
            assert case.repeat(safe.values()) == {"duplicate": len(safe)}
            case.settle()


def test_slots_move_there_and_back(tmp_path: Path, rabbitmq_url: str) -> None:
    """A third of the keys at a time: no claim is missed."""
    require("redis-server", "redis-cli")
    with RedisCluster() as cluster:
        redis = {"cluster": cluster.urls, "timeout": "5s"}
        with open_case(tmp_path, rabbitmq_url, redis) as case:
            first, second, third = cluster.primaries
            with case.sender:
                case.accept(50)
                for source, target in ((first, second), (second, third), (third, first)):
                    cluster.reshard(source, target, 2000)
                    case.accept(50)

            assert not case.refusals()
            everything = case.sender.accepted
            assert case.repeat(everything.values()) == {"duplicate": len(everything)}
            assert case.unchecked() == 0
            case.settle()
