"""The primary of Redis dies under load: events are accepted all the time, and those claimed before stay duplicates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.redis_case import RedisCase, open_case
from support.redis_cluster import WatchedRedis
from support.requirements import require


@pytest.fixture
def watched() -> Iterator[WatchedRedis]:
    """A primary and a replica behind three Sentinels."""
    require("redis-server")
    with WatchedRedis() as watched:
        yield watched


@pytest.fixture
def case(watched: WatchedRedis, tmp_path: Path, rabbitmq_url: str) -> Iterator[RedisCase]:
    """A gateway and a worker that know the Sentinels alone."""
    redis = {"sentinels": watched.urls, "master": watched.name}
    with open_case(tmp_path, rabbitmq_url, redis) as case:
        yield case


def test_the_primary_dies_and_returns_as_a_replica(case: RedisCase, watched: WatchedRedis) -> None:
    """Only events of the time between may be published twice."""
    primary, replica = watched.servers
    with case.sender:
        before = case.accept(30)
        watched.wait_copied(before.values(), replica)
        replica.suspend()  # nobody can take over yet, so that there is time to look
        primary.kill()
        assert case.wait_degraded()
        case.accept(30)
        replica.resume()
        watched.wait_is_primary(replica)
        case.wait_well()
        between = case.accept(0)
        primary.start()
        watched.wait_follows(primary, replica)
        after = {key: each for key, each in case.accept(30).items() if key not in between}

    assert not case.refusals()
    case.wait_well()
    assert case.repeat(before.values()) == {"duplicate": len(before)}
    assert case.repeat(after.values()) == {"duplicate": len(after)}
    counts = case.settle()
    assert {counts[key] for key in (*before, *after)} == {1}
    assert {case.handled()[key] for key in before} == {1}


def test_the_primary_freezes_and_wakes_up_too_late(case: RedisCase, watched: WatchedRedis) -> None:
    """What it had not copied is forgotten; nobody writes to it any more."""
    primary, replica = watched.servers
    with case.sender:
        before = case.accept(30)
        watched.wait_copied(before.values(), replica)
        primary.suspend()
        watched.wait_is_primary(replica)
        case.wait_well()
        between = case.accept(0)
        primary.resume()
        watched.wait_follows(primary, replica)
        after = {key: each for key, each in case.accept(30).items() if key not in between}

    assert not case.refusals()
    assert case.repeat([*before.values(), *after.values()]) == {"duplicate": len(before) + len(after)}
    case.settle()
