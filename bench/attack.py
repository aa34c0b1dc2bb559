"""The attack: what slow senders and forgeries cost others, and the memory of large bodies."""

from __future__ import annotations

import json
import socket
import statistics
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from bench import meter, samples
from bench.grid import NOTHING, TIMES, Grid, judged, mebibytes
from bench.load import Result
from bench.measure import CONNECTIONS, Measurements, Record
from support.waiting import wait_until

_RATE = 200.0
"""Good events per second."""

_EVENTS = 2_000
"""Good events of a round."""

_SLOW = 500
"""Connections whose heads never end."""

_SECONDS_PER_BYTE = 0.5
"""Seconds between two bytes of such a head."""

_FORGED_RATE = 1_000.0
"""Forgeries per second."""

_MARGIN = 3.0
"""Seconds by which forgeries begin before the good events, and end after them."""

_BODIES = 200
"""Large events that are sent at once."""

_BODY_SIZE = 1_000_000
"""Bytes of a large event."""

_MAX_TIMES_ALONE = 3.0
"""The limit for the p99 under attack, in multiples of the p99 without."""

_MAX_MIB = 400.0
"""The limit for the resident memory of the gateway, in MiB."""

_NOTE = """\
Good events come in open loop: each has its moment, whatever the answers do, and what waits is charged for its
waiting. In closed loop the senders would slow down together with the server, and the load of 64 of them would hide
the attack. The slow send half a head and then a byte of it every half second, and come again when they are cut off.
p50, p99 and their ratio are medians over the rounds; memory is the peak of each phase, but what is held before and
after it."""


@dataclass(slots=True)
class Attack:
    """What was measured: answers by round, resident bytes by phase."""

    alone: list[Result] = field(default_factory=list)
    under: list[Result] = field(default_factory=list)
    refused: list[Result] = field(default_factory=list)
    resident: dict[str, int] = field(default_factory=dict)
    peak: int = 0

    @property
    def times_alone(self) -> float:
        """How much longer the slowest hundredth waits under attack."""
        pairs = zip(self.under, self.alone, strict=True)
        return statistics.median(under.p99 / alone.p99 for under, alone in pairs)

    def grids(self) -> list[Grid]:
        """What was measured, beside its limits."""
        title = f"{_RATE:.0f} good events/s while {_SLOW} slow heads and {_FORGED_RATE:,.0f} forgeries/s come"
        ratio = self.times_alone
        rows = [
            ("alone", *_times(self.alone), NOTHING, NOTHING, NOTHING),
            ("under attack", *_times(self.under), f"{ratio:.1f}", *judged(ratio, _MAX_TIMES_ALONE)),
        ]
        bodies = judged(self.peak / 2**20, _MAX_MIB)
        memory: list[Sequence[str]] = [
            (phase, mebibytes(size), NOTHING, NOTHING) for phase, size in self.resident.items()
        ]
        memory.insert(-1, (f"{_BODIES} bodies of 1 MB at once", mebibytes(self.peak), *bodies))
        return [
            Grid(
                f"{title} (latency in ms)", ("", "p50", "p99", f"{TIMES} alone", "limit", "met"), rows, _NOTE
            ),
            Grid("Memory under attack (resident MiB)", ("", "MiB", "limit", "met"), memory),
        ]


def _times(results: list[Result]) -> list[str]:
    return [f"{statistics.median(getattr(each, name) for each in results):.1f}" for name in ("p50", "p99")]


class SlowSenders:
    """Connections with endless heads, replaced by a thread for the time of a `with` block.

    Attributes:
        cut_off: how many the server has ended so far.
    """

    def __init__(self, port: int, count: int) -> None:
        self._port, self._count = port, count
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._drip, name="slow senders", daemon=True)
        self.cut_off = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _drip(self) -> None:
        connections = deque(self._connect() for _ in range(self._count))
        while not self._stop.wait(_SECONDS_PER_BYTE / self._count):
            connection = connections.popleft()
            if not _drip_once(connection):
                self.cut_off += 1
                connection.close()
                connection = self._connect()
            connections.append(connection)
        for connection in connections:
            connection.close()

    def _connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        connection.sendall(f"POST {samples.PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ".encode())
        connection.setblocking(False)
        return connection


def _drip_once(connection: socket.socket) -> bool:
    """Send a byte; whether the connection is still open, and so without an answer."""
    try:
        connection.send(b"a")
        connection.recv(1024)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def measure(measurements: Measurements, record: Record, rounds: int, say: Callable[[str], None]) -> Attack:
    """Attack the gateway, `rounds` times."""
    attack, pid = Attack(), record.contender.pid
    attack.resident["before"] = meter.resident_bytes(pid)
    peaks = []
    for number in range(rounds):
        attack.alone.append(measurements.burst(record, _EVENTS, rate=_RATE).result)
        meter.forget_peak(pid)
        with SlowSenders(record.contender.port, _SLOW) as slow:
            _one_round(measurements, record, attack)
        peaks.append(meter.peak_bytes(pid))
        say(
            f"attack {number + 1} of {rounds}: p99 {attack.alone[-1].p99:.1f} ms alone, "
            f"{attack.under[-1].p99:.1f} ms under attack; {slow.cut_off:,} slow senders were cut off, "
            f"{attack.refused[-1].rate:,.0f} forgeries/s refused"
        )
    attack.resident["under attack"] = max(peaks)
    attack.resident["after the attack"] = meter.resident_bytes(pid)
    meter.forget_peak(pid)
    statuses = _send_large(record.contender.port, measurements.surroundings.secret)
    attack.peak = meter.peak_bytes(pid)
    say(f"attack: {_BODIES} bodies at once, answered {dict(statuses)}")
    wait_until(
        lambda: not meter.reading(record.contender.admin_url, "webhook_spooled"), 60, "the spool is empty"
    )
    attack.resident["after the bodies"] = meter.resident_bytes(pid)
    record.accepted += statuses["202"]
    # This many bytes at once can be confirmed late, and are sent again: copies must not hide a loss.
    record.stored += min(measurements.queue.drain(statuses["202"]), statuses["202"])
    return attack


def _one_round(measurements: Measurements, record: Record, attack: Attack) -> None:
    seconds = _EVENTS / _RATE + _MARGIN
    forgeries = measurements.start_load(
        record.contender.port, int(seconds * _FORGED_RATE), CONNECTIONS, _FORGED_RATE, is_forged=True
    )
    try:
        wait_until(
            lambda: meter.reading(record.contender.admin_url, "webhook_connections") >= _SLOW + CONNECTIONS,
            message="the attackers are connected",
        )
        attack.under.append(measurements.burst(record, _EVENTS, rate=_RATE).result)
    finally:
        attack.refused.append(forgeries())
    record.count(attack.refused[-1], expected="401")


def _send_large(port: int, secret: str) -> Counter[str]:
    """Send large events at once, each last byte when all others are there. Count by status."""
    event = json.loads(samples.TEMPLATE.read_bytes())
    event["padding"] = "x" * (_BODY_SIZE - samples.TEMPLATE.stat().st_size)
    requests = samples.requests(json.dumps(event).encode(), secret.encode(), _BODIES, port)
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in requests
        ]
        for connection, request in zip(connections, requests, strict=True):
            connection.sendall(request[:-1])
        for connection, request in zip(connections, requests, strict=True):
            connection.sendall(request[-1:])
        return Counter(connection.recv(1024)[9:12].decode() for connection in connections)
