"""The faults. Each is a context: it is there inside, and undone at the end."""

from __future__ import annotations

import http.client
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from ledger.events import Events
from ledger.senders import Senders
from support.fault_proxy import Direction, FaultProxy
from support.gateway_process import GatewayProcess, Secrets
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer

_SLOW_CONNECTIONS = 100
_IMPATIENCE = 0.02


@dataclass
class World:
    """Everything that something can be done to."""

    gateway: GatewayProcess
    redis: RedisServer
    rabbitmq: RabbitMQServer
    to_redis: FaultProxy
    to_rabbitmq: FaultProxy
    port: int
    events: Events
    senders: Senders
    dice: random.Random


class Kind(NamedTuple):
    """A fault that the nemesis can choose.

    Attributes:
        name: what is reported.
        weight: how often it is chosen, as compared to the others of its target.
        longest: seconds that it lasts at most, beside the time that it takes by itself.
        make: the context.
    """

    name: str
    weight: int
    longest: float
    make: Callable[[World], AbstractContextManager[None]]


@contextmanager
def _kill_gateway(world: World) -> Iterator[None]:
    world.gateway.kill()
    yield
    world.gateway.start()


@contextmanager
def _terminate_gateway(world: World) -> Iterator[None]:
    world.gateway.stop()
    yield
    world.gateway.start()


@contextmanager
def _kill_redis(world: World) -> Iterator[None]:
    world.redis.kill()
    yield
    world.redis.start()


@contextmanager
def _freeze_redis(world: World) -> Iterator[None]:
    world.redis.suspend()
    yield
    world.redis.resume()


@contextmanager
def _flush_redis(world: World) -> Iterator[None]:
    world.redis.flush()
    yield


@contextmanager
def _fill_redis(world: World) -> Iterator[None]:
    def limit(size: bytes) -> None:
        with socket.create_connection(("127.0.0.1", world.redis.port), timeout=5) as connection:
            connection.sendall(b"CONFIG SET maxmemory %b\r\n" % size)
            connection.recv(64)

    limit(b"1")
    yield
    limit(b"0")


@contextmanager
def _kill_rabbitmq(world: World) -> Iterator[None]:
    world.rabbitmq.kill()
    yield
    world.rabbitmq.start()


@contextmanager
def _freeze_rabbitmq(world: World) -> Iterator[None]:
    world.rabbitmq.suspend()
    yield
    world.rabbitmq.resume()


@contextmanager
def _alarm_rabbitmq(world: World) -> Iterator[None]:
    world.rabbitmq.ctl("set_vm_memory_high_watermark", "0.0000001")
    yield
    world.rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")


@contextmanager
def _close_connections(world: World) -> Iterator[None]:
    world.rabbitmq.ctl("close_all_connections", "as an operator would")
    yield


def _on_line(
    which: Callable[[World], FaultProxy], switch: Callable[[FaultProxy], None]
) -> Callable[[World], AbstractContextManager[None]]:
    @contextmanager
    def switched(world: World) -> Iterator[None]:
        line = which(world)
        switch(line)
        yield
        line.heal()

    return switched


def _line(which: Callable[[World], FaultProxy], claim: bytes) -> tuple[Kind, ...]:
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
    return tuple(Kind(name, 1, 2.0, _on_line(which, switch)) for name, switch in switches.items())


@contextmanager
def _slow_clients(world: World) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(_SLOW_CONNECTIONS):
            with suppress(OSError):
                connection = stack.enter_context(
                    socket.create_connection(("127.0.0.1", world.port), timeout=2)
                )
                connection.sendall(
                    b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nX-Slow: "
                )
        yield


@contextmanager
def _meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Do something again and again until the end."""
    is_over = threading.Event()

    def repeat() -> None:
        while not is_over.wait(0.002):
            with suppress(OSError, http.client.HTTPException):
                act()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _garbage(world: World) -> AbstractContextManager[None]:
    def send() -> None:
        with socket.create_connection(("127.0.0.1", world.port), timeout=2) as connection:
            connection.sendall(
                b"POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\n" + world.dice.randbytes(300) + b"\r\n\r\n"
            )
            connection.recv(1024)

    return _meanwhile(send)


def _forgeries(world: World) -> AbstractContextManager[None]:
    """Events of a run that never was, signed with a wrong secret."""
    forger = Events("forged", Secrets(), world.port)

    def send() -> None:
        with socket.create_connection(("127.0.0.1", world.port), timeout=2) as connection:
            connection.sendall(forger.request(world.dice.randrange(10)))
            connection.recv(1024)

    return _meanwhile(send)


@contextmanager
def _impatient_senders(world: World) -> Iterator[None]:
    world.senders.shortest_patience = _IMPATIENCE
    yield
    world.senders.shortest_patience = None


KILL = "kill -9"
FAULTS: dict[str, tuple[Kind, ...]] = {
    "gateway": (Kind(KILL, 9, 0.3, _kill_gateway), Kind("terminated", 1, 0.3, _terminate_gateway)),
    "Redis": (
        Kind("killed, comes back empty", 3, 1.5, _kill_redis),
        Kind("frozen", 2, 2.0, _freeze_redis),
        Kind("flushed", 2, 0.0, _flush_redis),
        Kind("out of memory", 2, 2.0, _fill_redis),
        *_line(lambda world: world.to_redis, b"pending:"),
    ),
    "RabbitMQ": (
        Kind("killed", 3, 1.5, _kill_rabbitmq),
        Kind("frozen", 2, 3.0, _freeze_rabbitmq),
        Kind("memory alarm", 2, 2.0, _alarm_rabbitmq),
        Kind("connections closed", 1, 0.0, _close_connections),
        *_line(lambda world: world.to_rabbitmq, b""),
    ),
    "clients": (
        Kind("slow heads", 2, 3.0, _slow_clients),
        Kind("garbage", 1, 2.0, _garbage),
        Kind("forgeries", 1, 2.0, _forgeries),
        Kind("impatient senders", 2, 1.0, _impatient_senders),
    ),
}
"""What can happen, by target. One target has one fault at a time; several targets may have theirs at once."""
