"""The faults: how long senders wait while a server is away, and how long it takes until all is well again."""

from __future__ import annotations

import socket
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import meter, samples
from bench.grid import TIMES, Grid, judged
from bench.load import Result
from bench.measure import CONNECTIONS, Measurements
from support.gateway_process import GatewayProcess, Secrets, Section
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.rig import in_the_background
from support.waiting import wait_until

_RATE = 200.0
_LATER = 400
_FIRST = 20
_STUCK = 50
_DEADLINE = 2.0
_PATIENCE = 60.0
# Of an exchange of its own: what is published to the other one is counted.
_SETTINGS: dict[str, Section] = {"rabbitmq": {"exchange": "faults"}}

_REDIS_REFUSES, _REDIS_SILENT = "Redis refuses connections", "Redis is frozen"
_REFUSES, _FROZEN, _ALARM = (
    "RabbitMQ refuses connections",
    "RabbitMQ is frozen",
    "RabbitMQ has a memory alarm",
)
_ANSWERS_MS = {
    _REDIS_REFUSES: 400.0,
    f"{_REDIS_SILENT}: first": 400.0,
    f"{_REDIS_SILENT}: later": 400.0,
    _REFUSES: 300.0,
    f"{_FROZEN}: first": 2300.0,
    f"{_FROZEN}: later": 20.0,
    f"{_ALARM}: first": 2300.0,
    f"{_ALARM}: later": 20.0,
}
_BOOTED, _THAWED = "RabbitMQ accepts connections after kill -9", "RabbitMQ is thawed"
_KILLED, _ENDED = "gateway: kill -9 to ready", "gateway: SIGTERM to exit, idle"
_STUCK_ENDED = f"gateway: SIGTERM to exit, half a body and {_STUCK} half heads, deadline {_DEADLINE:g} s"
_DELAYS_S = {
    f"{_BOOTED}: first confirm": 3.0,
    f"{_BOOTED}: first 202 not spooled": 3.0,
    f"{_THAWED}: first confirm": 3.0,
    f"{_THAWED}: first 202 not spooled": 3.0,
    _KILLED: 3.0,
    _ENDED: 1.0,
    _STUCK_ENDED: _DEADLINE + 1,
}

_ANSWERS_NOTE = f"""\
A gateway at its shipped defaults. "First" are {_FIRST} events at once as soon as the fault is there; the others come
in open loop, {_RATE:.0f}/s. Medians over the rounds; the limit is for the p99, which of {_FIRST} answers is the longest."""
_DELAYS_NOTE = """\
Events wait in the spool when RabbitMQ returns: one of them is the first that it confirms. The limit is for the
median over the rounds."""


@dataclass(slots=True)
class Faults:
    """What was measured: answers by fault and seconds by what was waited for, one of each a round."""

    answers: dict[str, list[Result]] = field(default_factory=lambda: {name: [] for name in _ANSWERS_MS})
    delays: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in _DELAYS_S})

    def grids(self) -> list[Grid]:
        """What was measured, beside its limits."""
        answered = [_answer_row(name, results) for name, results in self.answers.items()]
        delayed = [_delay_row(name, seconds) for name, seconds in self.delays.items()]
        columns = ("", "answers", "p50", "p99", "max", "limit", "met")
        return [
            Grid("Answers while a server is away (latency in ms)", columns, answered, _ANSWERS_NOTE),
            Grid(
                "Until all is well again (in s)",
                ("", "median", "worst", "limit", "met"),
                delayed,
                _DELAYS_NOTE,
            ),
        ]


def _answer_row(name: str, results: list[Result]) -> tuple[str, ...]:
    statuses = sum((Counter(result.statuses) for result in results), Counter())
    said = ", ".join(f"{count:,} {TIMES} {status}" for status, count in statuses.items())
    p50, p99, longest = (
        statistics.median(getattr(result, key) for result in results) for key in ("p50", "p99", "longest")
    )
    return name, said, f"{p50:.1f}", f"{p99:.1f}", f"{longest:.1f}", *judged(p99, _ANSWERS_MS[name])


def _delay_row(name: str, seconds: list[float]) -> tuple[str, ...]:
    median = statistics.median(seconds)
    return name, f"{median:.2f}", f"{max(seconds):.2f}", *judged(median, _DELAYS_S[name])


class _Rounds:
    """Inflicts one fault after the other on a gateway of its own."""

    def __init__(
        self,
        measurements: Measurements,
        gateway: GatewayProcess,
        redis: RedisServer,
        rabbitmq: RabbitMQServer,
    ) -> None:
        self._measurements = measurements
        self._gateway = gateway
        self._redis = redis
        self._rabbitmq = rabbitmq
        self.faults = Faults()

    def run(self) -> None:
        """One round."""
        with self._fault(self._redis.kill, self._redis.start):
            self._send_later(_REDIS_REFUSES)
        with self._fault(self._redis.suspend, self._redis.resume):
            self._send_first(f"{_REDIS_SILENT}: first")
            self._send_later(f"{_REDIS_SILENT}: later")
        with self._fault(self._rabbitmq.kill, self._boot):
            self._send_later(_REFUSES)
        with self._fault(self._rabbitmq.suspend, self._thaw):
            self._send_first(f"{_FROZEN}: first")
            self._send_later(f"{_FROZEN}: later")
        with self._fault(lambda: self._set_watermark("0.0000001"), lambda: self._set_watermark("0.4")):
            self._send_first(f"{_ALARM}: first")
            self._send_later(f"{_ALARM}: later")
        self._note_delay(_KILLED, self._gateway.restart)
        self._note_delay(_ENDED, self._gateway.stop)
        self._gateway.start()

    @contextmanager
    def _fault(self, inflict: Callable[[], None], undo: Callable[[], None]) -> Iterator[None]:
        inflict()
        yield
        undo()
        wait_until(self._is_well, _PATIENCE, "everything works again")

    def _is_well(self) -> bool:
        checks = self._gateway.get("/readyz").json()["checks"]
        return set(checks.values()) == {"ok"} and not self._read("webhook_spooled")

    def _set_watermark(self, share: str) -> None:
        self._rabbitmq.ctl("set_vm_memory_high_watermark", share)

    def _boot(self) -> None:
        with in_the_background(self._rabbitmq.start):
            wait_until(self._is_listening, _PATIENCE, "RabbitMQ accepts connections", forgive=(OSError,))
            self._note_return(_BOOTED)

    def _is_listening(self) -> bool:
        socket.create_connection(("127.0.0.1", self._rabbitmq.port), timeout=5).close()
        return True

    def _thaw(self) -> None:
        self._rabbitmq.resume()
        self._note_return(_THAWED)

    def _note_return(self, name: str) -> None:
        """Wait for the first spooled event that RabbitMQ confirms, and for the first new one."""
        began_at, full = time.monotonic(), self._read("webhook_spooled")
        confirmed = accepted = 0.0
        while not (confirmed and accepted) and time.monotonic() - began_at < _PATIENCE:
            if not confirmed and self._read("webhook_spooled") < full:
                confirmed = time.monotonic() - began_at
            if not accepted and not self._read("webhook_broker_unavailable") and self._is_accepted():
                accepted = time.monotonic() - began_at
        self.faults.delays[f"{name}: first confirm"].append(confirmed or _PATIENCE)
        self.faults.delays[f"{name}: first 202 not spooled"].append(accepted or _PATIENCE)

    def _is_accepted(self) -> bool:
        with socket.create_connection(self._gateway.address, timeout=20) as connection:
            connection.sendall(_request(self._gateway))
            return connection.recv(1024).startswith(b"HTTP/1.1 202 ")

    def _read(self, name: str) -> float:
        return meter.reading(self._gateway.admin_url, name)

    def _send_first(self, name: str) -> None:
        self._send(name, _FIRST, _FIRST, 0.0)

    def _send_later(self, name: str) -> None:
        self._send(name, _LATER, CONNECTIONS, _RATE)

    def _send(self, name: str, events: int, connections: int, rate: float) -> None:
        port = self._gateway.address[1]
        self.faults.answers[name].append(self._measurements.load(port, events, connections, rate))

    def _note_delay(self, name: str, act: Callable[[], object]) -> None:
        began_at = time.monotonic()
        act()
        self.faults.delays[name].append(time.monotonic() - began_at)

    def end_with_stuck_senders(self, gateway: GatewayProcess) -> None:
        """Start a gateway, leave requests unfinished, and ask it to end."""
        with gateway, ExitStack() as stack:
            half_head, half_body = _request(gateway)[:50], _request(gateway)[:-1]
            for part in [half_body, *[half_head] * _STUCK]:
                connection = stack.enter_context(socket.create_connection(gateway.address, timeout=20))
                connection.sendall(part)
            gateway.get("/livez")  # by then what was sent before has been read
            self._note_delay(_STUCK_ENDED, lambda: gateway.stop(timeout=_PATIENCE))


def _request(gateway: GatewayProcess) -> bytes:
    (request,) = samples.requests(
        samples.TEMPLATE.read_bytes(), gateway.secrets.stripe.encode(), 1, gateway.address[1]
    )
    return request


def measure(
    measurements: Measurements,
    redis: RedisServer,
    rabbitmq: RabbitMQServer,
    rounds: int,
    say: Callable[[str], None],
) -> Faults:
    """Inflict all faults, `rounds` times."""
    surroundings = measurements.surroundings

    def gateway(folder: str, settings: dict[str, Section]) -> GatewayProcess:
        directory = Path(surroundings.directory) / folder
        directory.mkdir()
        secrets = Secrets(stripe=surroundings.secret)
        return GatewayProcess(
            directory, secrets, redis_url=redis.url, rabbitmq_url=rabbitmq.url, overrides=settings
        )

    with gateway("faults", _SETTINGS) as patient:
        inflicting = _Rounds(measurements, patient, redis, rabbitmq)
        for number in range(rounds):
            say(f"faults: round {number + 1} of {rounds}")
            inflicting.run()
    impatient = gateway("stuck", _SETTINGS | {"server": {"deadline": f"{_DEADLINE:g}s"}})
    for _ in range(rounds):
        inflicting.end_with_stuck_senders(impatient)
    return inflicting.faults
