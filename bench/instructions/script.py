"""The program that is counted: a gateway that receives requests from memory, and the floor beside it.

:mod:`bench.instructions.counting` starts it twice: with a Redis, to record what that answers, and under valgrind. Both
runs take the same steps. Time is virtual, hashes are fixed, and nothing waits for a socket.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bench.floor import application
from bench.instructions.cases import CASES, SECRET, WIDTHS, Case
from bench.instructions.loop import VirtualLoop
from bench.instructions.marks import Valgrind
from bench.instructions.peers import Client, Clients, RecordedRedis, RecordingRedis, ScriptedBroker
from bench.instructions.plan import TIMES, TURNS, WARM_UP
from gateway.app import Gateway
from gateway.config import Config
from gateway.http.apps import HEALTH_PATHS
from gateway.http.listener import Listener
from gateway.http.state import Limits
from gateway.observability.logs import configure_logs
from gateway.transport.program import settle_memory

_TURN_DELAY = 0.004
"""Virtual seconds between two turns."""

_KEEP_ALIVE = 3_600
"""Seconds that connections may be idle: those of one case wait for the others."""

_MAX_TURNS = 10_000
"""Turns of the loop in which requests have to be answered; it takes ten or so."""

_REDIS, _BROKER = ("127.0.0.1", 6379), ("127.0.0.1", 5672)
_EXCHANGE = "webhooks"
_RECORDING = "redis.json"

Peer = Callable[[asyncio.Protocol], asyncio.Transport]
"""Makes the transport to a scripted server."""

Connect = Callable[[], asyncio.Protocol]
"""Makes the server's end of a connection."""


class _Plan(NamedTuple):
    case: Case
    clients: list[Client]
    turns: list[list[bytes]]


def freeze_clocks(now: float) -> None:
    """Replace the clocks by ones that tell the same in every run."""
    time.time = itertools.repeat(now).__next__
    time.perf_counter = itertools.count(0.0, 0.000_25).__next__
    time.monotonic = itertools.count(1_000.0, 0.000_001).__next__


async def gateway_server(folder: Path) -> Connect:
    """Start a gateway at its defaults; return what makes its connections."""
    configure_logs("json")
    config = Config.model_validate(
        {
            "data_dir": str(folder / "data"),
            "redis": {"url": "redis://{}:{}".format(*_REDIS)},
            "rabbitmq": {"url": "amqp://{}:{}".format(*_BROKER), "exchange": _EXCHANGE},
            "providers": {name: {"adapter": name, "secrets": [SECRET]} for name in ("github", "stripe")},
        }
    )
    gateway = Gateway(config, folder, clock=time.time)
    await gateway.start()
    await _wait_for(gateway.is_ready)
    server = config.server
    limits = Limits(server.max_connections, server.max_in_flight, server.max_buffered, _KEEP_ALIVE)
    listener = Listener(gateway.receiver, gateway.public, limits, HEALTH_PATHS)
    return lambda: listener(None, listener, None)


def floor_server() -> Connect:
    """Return what makes connections of the floor: uvicorn's, as its server sets them up."""
    config = uvicorn.Config(
        application,
        http="httptools",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=_KEEP_ALIVE,
    )
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Thu, 28 May 2026 20:26:40 GMT"), *config.encoded_headers]
    loop = asyncio.get_running_loop()
    return lambda: HttpToolsProtocol(config, state, {}, loop)


class Run:
    """Sends the requests of some cases, and marks where counting begins and ends.

    Args:
        loop: The event loop.
        names: The names of the cases.
    """

    def __init__(self, loop: VirtualLoop, names: Sequence[str]) -> None:
        self._cases = [CASES[name] for name in names]
        self._loop = loop
        self._clients = Clients()
        self._valgrind = Valgrind()

    async def run(self, gateway: Connect, floor: Connect) -> None:
        """Warm up, then send what is counted."""
        plans = [
            self._plan(case, width, floor if case.is_floor else gateway)
            for case, width in itertools.product(self._cases, WIDTHS)
        ]
        for plan in plans:
            await self._send(plan, plan.turns[: WARM_UP // len(plan.clients)])
        self._valgrind.start()
        for plan in plans:
            self._clients.statuses.clear()
            first, second = (
                len(plan.turns) - TURNS[len(plan.clients)] * times for times in (1 + TIMES, TIMES)
            )
            self._valgrind.zero()
            await self._send(plan, plan.turns[first:second])
            self._valgrind.dump()
            await self._send(plan, plan.turns[second:])
            self._valgrind.dump()
            if unexpected := set(self._clients.statuses) - {b"%d" % plan.case.status}:
                raise RuntimeError(f"{plan.case.name}: answered with {unexpected}")

    def _plan(self, case: Case, width: int, server: Connect) -> _Plan:
        clients = []
        for _ in range(width):
            protocol = server()
            client = Client(protocol, self._clients)
            protocol.connection_made(client)
            clients.append(client)
        turns = WARM_UP // width + TURNS[width] * (1 + TIMES)
        # Nobody else has these numbers, also not the other process, which records with the same Redis.
        first = (list(CASES).index(case.name) * 100 + width) * 1_000_000
        requests = case.requests(first, turns * width, int(time.time()))
        return _Plan(case, clients, [list(itertools.islice(requests, width)) for _ in range(turns)])

    async def _send(self, plan: _Plan, turns: list[list[bytes]]) -> None:
        """Send one request a client in each turn, and wait until all are answered."""
        state = self._clients
        for requests in turns:
            self._loop.advance(_TURN_DELAY)
            for client, request in zip(plan.clients, requests, strict=True):
                client.send(request)
            patience = _MAX_TURNS
            while state.waiting:
                if not (patience := patience - 1):
                    raise RuntimeError(f"{plan.case.name}: {state.waiting} requests are not answered")
                await asyncio.sleep(0)


async def _wait_for(is_ready: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    while not is_ready():
        loop.advance(_TURN_DELAY)
        await asyncio.sleep(0)


async def _record(folder: Path, port: int, names: Sequence[str]) -> None:
    """Run the cases with the Redis at ``port``, and write what it replied."""
    replies: list[bytes] = []
    now = time.time()
    await _run(folder, now, lambda protocol: RecordingRedis(protocol, port, replies), names)
    recording = {"now": now, "replies": [each.hex() for each in replies]}
    (folder / _RECORDING).write_text(json.dumps(recording))


async def _replay(folder: Path, names: Sequence[str]) -> None:
    """Run the cases with the replies that were recorded."""
    recording = json.loads((folder / _RECORDING).read_text())
    replies = iter([bytes.fromhex(each) for each in recording["replies"]])
    await _run(folder, recording["now"], lambda protocol: RecordedRedis(protocol, replies), names)
    if rest := len(list(replies)):
        raise RuntimeError(f"{rest} writes to Redis less than when it was recorded: the two runs differ")


async def _run(folder: Path, now: float, redis: Peer, names: Sequence[str]) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.peers = {_REDIS: redis, _BROKER: lambda protocol: ScriptedBroker(protocol, _EXCHANGE)}
    freeze_clocks(now)
    gateway, floor = await gateway_server(folder), floor_server()
    settle_memory()
    await Run(loop, names).run(gateway, floor)


def main(folder: str, port: str, *names: str) -> None:
    """Record with the Redis at ``port``; with none, replay and count."""
    work = _record(Path(folder), int(port), names) if port else _replay(Path(folder), names)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


if __name__ == "__main__":
    main(*sys.argv[1:])
