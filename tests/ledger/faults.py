"""The faults of the gateway and its clients. Each is a context: it is there inside, and undone at the end."""

from __future__ import annotations

import http.client
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from ledger.events import Events
from ledger.senders import Senders
from support.gateway_process import GatewayProcess, Secrets
from support.threads import running

_SLOW_CONNECTIONS = 100
_IMPATIENCE = 0.02


KILL = "kill -9"
"""The name of the fault that is counted by itself."""


@dataclass
class World:
    """The gateway and its clients."""

    gateway: GatewayProcess
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
    make: Callable[[], AbstractContextManager[None]]


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

    with running(threading.Thread(target=repeat, daemon=True), is_over):
        yield


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


def gateway_and_clients(world: World) -> dict[str, tuple[Kind, ...]]:
    """Return what can happen to the gateway, and what clients can do to it."""
    return {
        "gateway": (
            Kind(KILL, 9, 0.3, partial(_kill_gateway, world)),
            Kind("terminated", 1, 0.3, partial(_terminate_gateway, world)),
        ),
        "clients": (
            Kind("slow heads", 2, 3.0, partial(_slow_clients, world)),
            Kind("garbage", 1, 2.0, partial(_garbage, world)),
            Kind("forgeries", 1, 2.0, partial(_forgeries, world)),
            Kind("impatient senders", 2, 1.0, partial(_impatient_senders, world)),
        ),
    }
