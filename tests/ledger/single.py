"""One Redis and one RabbitMQ, each behind a proxy: what can happen to them and to the lines that lead there."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Self

from ledger.faults import Kind
from support.fault_proxy import Direction, FaultProxy
from support.gateway_process import Section
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer


class SingleServers:
    """One Redis and one virtual host of one RabbitMQ; see :class:`ledger.run.Servers`."""

    def __init__(self, redis: RedisServer, rabbitmq: RabbitMQServer, rabbitmq_url: str) -> None:
        self._redis, self._rabbitmq = redis, rabbitmq
        self.broker_urls = [rabbitmq_url]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            to_redis = stack.enter_context(FaultProxy(self._redis.port))
            to_rabbitmq = stack.enter_context(FaultProxy(self._rabbitmq.port))
            self.settings: dict[str, Section] = {
                "redis": {"url": to_redis.url_of(self._redis.url)},
                "rabbitmq": {"url": to_rabbitmq.url_of(self.broker_urls[0])},
            }
            self.kinds = _kinds(self._redis, self._rabbitmq, to_redis, to_rabbitmq)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


@contextmanager
def _kill_redis(redis: RedisServer) -> Iterator[None]:
    redis.kill()
    yield
    redis.start()


@contextmanager
def _freeze_redis(redis: RedisServer) -> Iterator[None]:
    redis.suspend()
    yield
    redis.resume()


@contextmanager
def _flush_redis(redis: RedisServer) -> Iterator[None]:
    redis.flush()
    yield


@contextmanager
def _fill_redis(redis: RedisServer) -> Iterator[None]:
    def limit(size: bytes) -> None:
        with socket.create_connection(("127.0.0.1", redis.port), timeout=5) as connection:
            connection.sendall(b"CONFIG SET maxmemory %b\r\n" % size)
            connection.recv(64)

    limit(b"1")
    yield
    limit(b"0")


@contextmanager
def _kill_rabbitmq(rabbitmq: RabbitMQServer) -> Iterator[None]:
    rabbitmq.kill()
    yield
    rabbitmq.start()


@contextmanager
def _freeze_rabbitmq(rabbitmq: RabbitMQServer) -> Iterator[None]:
    rabbitmq.suspend()
    yield
    rabbitmq.resume()


@contextmanager
def _alarm_rabbitmq(rabbitmq: RabbitMQServer) -> Iterator[None]:
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.0000001")
    yield
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")


@contextmanager
def _close_connections(rabbitmq: RabbitMQServer) -> Iterator[None]:
    rabbitmq.ctl("close_all_connections", "as an operator would")
    yield


@contextmanager
def _on_line(line: FaultProxy, switch: Callable[[FaultProxy], None]) -> Iterator[None]:
    switch(line)
    yield
    line.heal()


def _of_line(line: FaultProxy, claim: bytes) -> tuple[Kind, ...]:
    switches: dict[str, Callable[[FaultProxy], None]] = {
        "line stalled": lambda line: line.stall(),
        "line refused": lambda line: line.refuse(),
        "line reset": lambda line: line.reset_all(),
        "line delayed": lambda line: line.delay(0.1),
        "requests discarded": lambda line: line.discard(Direction.TO_SERVER),
        "replies discarded": lambda line: line.discard(Direction.TO_CLIENT),
        "request cut": lambda line: line.cut_after(700),
        "reply lost": lambda line: line.lose_reply(claim),
    }
    return tuple(Kind(name, 1, 2.0, partial(_on_line, line, switch)) for name, switch in switches.items())


def _kinds(
    redis: RedisServer, rabbitmq: RabbitMQServer, to_redis: FaultProxy, to_rabbitmq: FaultProxy
) -> dict[str, tuple[Kind, ...]]:
    return {
        "Redis": (
            Kind("killed, comes back empty", 3, 1.5, partial(_kill_redis, redis)),
            Kind("frozen", 2, 2.0, partial(_freeze_redis, redis)),
            Kind("flushed", 2, 0.0, partial(_flush_redis, redis)),
            Kind("out of memory", 2, 2.0, partial(_fill_redis, redis)),
            *_of_line(to_redis, b"pending:"),
        ),
        "RabbitMQ": (
            Kind("killed", 3, 1.5, partial(_kill_rabbitmq, rabbitmq)),
            Kind("frozen", 2, 3.0, partial(_freeze_rabbitmq, rabbitmq)),
            Kind("memory alarm", 2, 2.0, partial(_alarm_rabbitmq, rabbitmq)),
            Kind("connections closed", 1, 0.0, partial(_close_connections, rabbitmq)),
            *_of_line(to_rabbitmq, b""),
        ),
    }
