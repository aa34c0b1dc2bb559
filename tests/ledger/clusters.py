"""Three nodes of RabbitMQ, and a Redis with a replica behind Sentinels: kills, freezes, restarts and failovers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Self

from ledger.faults import Kind
from support.gateway_process import Section
from support.rabbitmq_cluster import QUICK_TO_NOTICE, RabbitMQCluster
from support.redis_cluster import WatchedRedis
from support.redis_server import RedisServer


class ClusteredServers:
    """A cluster of RabbitMQ and a watched Redis; see :class:`ledger.run.Servers`.

    Args:
        seed: of the choice of nodes.
    """

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(f"{seed} nodes")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            redis = stack.enter_context(WatchedRedis())
            rabbitmq = stack.enter_context(RabbitMQCluster(QUICK_TO_NOTICE))
            self.broker_urls = rabbitmq.urls
            self.settings: dict[str, Section] = {
                "redis": {"sentinels": redis.urls, "master": redis.name},
                "rabbitmq": {"urls": rabbitmq.urls},
            }
            self.kinds = _kinds(redis, rabbitmq, self._dice)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _primary_and_replica(redis: WatchedRedis) -> tuple[RedisServer, RedisServer]:
    first, second = redis.servers
    return (first, second) if redis.is_primary(first) else (second, first)


@contextmanager
def _kill_primary(redis: WatchedRedis) -> Iterator[None]:
    primary, replica = _primary_and_replica(redis)
    primary.kill()
    redis.wait_is_primary(replica)
    yield
    primary.start()
    redis.wait_follows(primary, replica)


@contextmanager
def _freeze_primary(redis: WatchedRedis) -> Iterator[None]:
    primary, replica = _primary_and_replica(redis)
    primary.suspend()
    try:
        redis.wait_is_primary(replica)
        yield
    finally:
        primary.resume()
    redis.wait_follows(primary, replica)


@contextmanager
def _kill_replica(redis: WatchedRedis) -> Iterator[None]:
    primary, replica = _primary_and_replica(redis)
    replica.kill()
    yield
    replica.start()
    redis.wait_follows(replica, primary)


@contextmanager
def _kill_node(rabbitmq: RabbitMQCluster, dice: random.Random) -> Iterator[None]:
    dice.choice(rabbitmq.nodes).kill()
    yield
    rabbitmq.ensure_running()


@contextmanager
def _kill_majority(rabbitmq: RabbitMQCluster, dice: random.Random) -> Iterator[None]:
    for node in dice.sample(rabbitmq.nodes, 2):
        node.kill()
    yield
    rabbitmq.ensure_running()


@contextmanager
def _restart_node(rabbitmq: RabbitMQCluster, dice: random.Random) -> Iterator[None]:
    dice.choice(rabbitmq.nodes).stop()
    yield
    rabbitmq.ensure_running()


@contextmanager
def _freeze_node(rabbitmq: RabbitMQCluster, dice: random.Random) -> Iterator[None]:
    node = dice.choice(rabbitmq.nodes)
    node.suspend()
    try:
        yield
    finally:
        node.resume()
    rabbitmq.ensure_running()


def _kinds(
    redis: WatchedRedis, rabbitmq: RabbitMQCluster, dice: random.Random
) -> dict[str, tuple[Kind, ...]]:
    return {
        "Redis": (
            Kind("primary killed", 3, 2.0, partial(_kill_primary, redis)),
            Kind("primary frozen", 2, 2.0, partial(_freeze_primary, redis)),
            Kind("replica killed", 1, 2.0, partial(_kill_replica, redis)),
        ),
        "RabbitMQ": (
            Kind("node killed", 4, 5.0, partial(_kill_node, rabbitmq, dice)),
            Kind("node frozen", 2, 10.0, partial(_freeze_node, rabbitmq, dice)),
            Kind("node restarted", 2, 1.0, partial(_restart_node, rabbitmq, dice)),
            Kind("two nodes killed", 1, 5.0, partial(_kill_majority, rabbitmq, dice)),
        ),
    }
