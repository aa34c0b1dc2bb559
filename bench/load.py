"""The load generator: a process as cheap as Python allows, with bytes prepared in advance.

Closed loop (the default): so many connections, each sends its next request as soon as it has its answer.
Open loop (--rate): requests leave on a fixed schedule, and a latency counts from the scheduled moment, so
that a server which stalls is charged for everything that had to wait meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import uvloop

from bench import samples

_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Result:
    """What one run of the generator saw; latencies in milliseconds."""

    seconds: float
    statuses: dict[str, int]
    disconnected: int
    p50: float
    p99: float
    p999: float
    longest: float
    generator_cpu: float

    @property
    def accepted(self) -> int:
        """How many events were answered 202."""
        return self.statuses.get("202", 0)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return sum(self.statuses.values()) / self.seconds


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request under way."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        # uvloop's transports quack, but inherit nothing.
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, due: float) -> None:
        """Send one request that should have left at `due`."""
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Look for the end of the answer, and of it only at the status."""
        data = self._buffer + data
        end = data.find(_HEAD_END)
        if end < 0 or len(data) < end + len(_HEAD_END) + _content_length(data[:end]):
            self._buffer = data
            return
        self._buffer = b""
        due, self._due = self._due, None
        assert due is not None
        self._run.answered(self, data[9:12].decode(), time.perf_counter() - due)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss, and whether a request went with it."""
        self._run.lost(self, had_request=self._due is not None)

    def close(self) -> None:
        """Close without a word."""
        if self._transport is not None:
            self._transport.close()


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise RuntimeError(f"an answer without Content-Length: {head!r}")
    return int(rest.partition(b"\r\n")[0])


class Run:
    """Sends all requests over the connections and keeps count."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._port = port
        self._requests = iter(requests)
        self._unanswered = len(requests)
        self._idle: deque[Connection] = deque()
        self._overdue: deque[tuple[bytes, float]] = deque()
        self._is_closed_loop = True
        self._finished = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.latencies = array("d")
        self.statuses: Counter[str] = Counter()
        self.disconnected = 0

    async def connect(self, connections: int) -> None:
        """Open the connections."""
        for _ in range(connections):
            await self._connect_one()

    async def _connect_one(self) -> None:
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self), "127.0.0.1", self._port
        )
        self._idle.append(connection)

    async def closed_loop(self) -> None:
        """Keep every connection busy until all is answered."""
        while self._idle:
            self._next(self._idle.popleft())
        await self._finished.wait()

    async def open_loop(self, rate: float) -> None:
        """Send at a fixed rate, whatever the answers do."""
        self._is_closed_loop = False
        start = time.perf_counter()
        for number, request in enumerate(self._requests):
            due = start + number / rate
            delay = due - time.perf_counter()
            if delay > 0:
                await asyncio.sleep(delay)
            if self._idle:
                # In rotation: the server would close connections that are never used.
                self._idle.popleft().send(request, due)
            else:
                self._overdue.append((request, due))
        await self._finished.wait()

    def answered(self, connection: Connection, status: str, latency: float) -> None:
        """Count an answer and give the connection its next request."""
        self.latencies.append(latency)
        self.statuses[status] += 1
        self._settle_one()
        self._next(connection)

    def lost(self, connection: Connection, *, had_request: bool) -> None:
        """Replace a connection which the server closed."""
        if self._finished.is_set():
            return
        if had_request:
            self.disconnected += 1
            self._settle_one()
        elif connection in self._idle:
            self._idle.remove(connection)
        task = asyncio.get_running_loop().create_task(self._reconnect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reconnect(self) -> None:
        await self._connect_one()
        self._next(self._idle.pop())

    def _next(self, connection: Connection) -> None:
        if self._is_closed_loop:
            request = next(self._requests, None)
            if request is not None:
                connection.send(request, time.perf_counter())
        elif self._overdue:
            connection.send(*self._overdue.popleft())
        else:
            self._idle.append(connection)

    def _settle_one(self) -> None:
        self._unanswered -= 1
        if self._unanswered == 0:
            self._finished.set()


async def measure(port: int, requests: Sequence[bytes], connections: int, rate: float) -> Result:
    """Send `requests` and report."""
    run = Run(port, requests)
    await run.connect(connections)
    gc.collect()
    # A collection would be charged to whichever requests are under way.
    gc.disable()
    cpu, start = time.process_time(), time.perf_counter()
    await (run.open_loop(rate) if rate else run.closed_loop())
    seconds, generator_cpu = time.perf_counter() - start, time.process_time() - cpu
    gc.enable()
    ordered = sorted(run.latencies)

    def percentile(share: float) -> float:
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 if ordered else float("nan")

    return Result(
        seconds=seconds,
        statuses=dict(run.statuses),
        disconnected=run.disconnected,
        p50=percentile(0.50),
        p99=percentile(0.99),
        p999=percentile(0.999),
        longest=percentile(1.0),
        generator_cpu=generator_cpu,
    )


def main() -> None:
    """Run as a program and print the result as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.load",
        description=f"Send signed Stripe events to 127.0.0.1; the secret is in ${samples.SECRET_VARIABLE}.",
    )
    parser.add_argument("port", type=int, help="where the server listens")
    parser.add_argument("--events", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=64, help="how many (default: %(default)s)")
    parser.add_argument(
        "--rate", type=float, default=0.0, help="events a second, open loop (default: closed loop)"
    )
    parser.add_argument("--forged", action="store_true", help="sign with a wrong secret")
    parser.add_argument(
        "--template", type=Path, default=samples.TEMPLATE, help="the event (default: %(default)s)"
    )
    parser.add_argument("--size", type=int, default=0, help="make the event this long (default: as it is)")
    options = parser.parse_args()
    template = options.template.read_bytes()
    requests = samples.requests(
        samples.resized(template, options.size) if options.size else template,
        os.environ[samples.SECRET_VARIABLE].encode(),
        options.events,
        options.port,
        is_forged=options.forged,
    )
    result = uvloop.run(measure(options.port, requests, options.connections, options.rate))
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
