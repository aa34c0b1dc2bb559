"""The faults: how long senders wait while a server is away, and how long recovery takes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from bench import faults, meter, samples
from bench.faults import Faults
from bench.measure import CONNECTIONS, Measurements
from support.gateway_process import GatewayProcess, Secrets, Section
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.rig import in_the_background
from support.waiting import wait_until

_LATER = 400
_RECOVERY_TIMEOUT = 60.0
"""Seconds for which a recovery is awaited; one that takes longer counts as this."""
# Of an exchange of its own: what is published to the other one is counted.
_SETTINGS: dict[str, Section] = {"rabbitmq": {"exchange": "faults"}}


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
            self._send_later(faults.REDIS_REFUSES)
        with self._fault(self._redis.suspend, self._redis.resume):
            self._send_first(f"{faults.REDIS_SILENT}: first")
            self._send_later(f"{faults.REDIS_SILENT}: later")
        with self._fault(self._rabbitmq.kill, self._boot):
            self._send_later(faults.REFUSES)
        with self._fault(self._rabbitmq.suspend, self._thaw):
            self._send_first(f"{faults.FROZEN}: first")
            self._send_later(f"{faults.FROZEN}: later")
        with self._fault(lambda: self._set_watermark("0.0000001"), lambda: self._set_watermark("0.4")):
            self._send_first(f"{faults.ALARM}: first")
            self._send_later(f"{faults.ALARM}: later")
        self._note_delay(faults.KILLED, self._gateway.restart)
        self._note_delay(faults.ENDED, self._gateway.stop)
        self._gateway.start()

    @contextmanager
    def _fault(self, inflict: Callable[[], None], undo: Callable[[], None]) -> Iterator[None]:
        inflict()
        yield
        undo()
        wait_until(self._is_well, _RECOVERY_TIMEOUT, "everything works again")

    def _is_well(self) -> bool:
        checks = self._gateway.get("/readyz", admin=True).json()["checks"]
        return set(checks.values()) == {"ok"} and not self._read("webhook_spooled")

    def _set_watermark(self, share: str) -> None:
        self._rabbitmq.ctl("set_vm_memory_high_watermark", share)

    def _boot(self) -> None:
        with in_the_background(self._rabbitmq.start):
            wait_until(
                self._is_listening, _RECOVERY_TIMEOUT, "RabbitMQ accepts connections", forgive=(OSError,)
            )
            self._note_return(faults.BOOTED)

    def _is_listening(self) -> bool:
        socket.create_connection(("127.0.0.1", self._rabbitmq.port), timeout=5).close()
        return True

    def _thaw(self) -> None:
        self._rabbitmq.resume()
        self._note_return(faults.THAWED)

    def _note_return(self, name: str) -> None:
        """Wait for the first spooled event that RabbitMQ confirms, and for the first new one."""
        began_at, full = time.monotonic(), self._read("webhook_spooled")
        confirmed = accepted = 0.0
        while not (confirmed and accepted) and time.monotonic() - began_at < _RECOVERY_TIMEOUT:
            if not confirmed and self._read("webhook_spooled") < full:
                confirmed = time.monotonic() - began_at
            if not accepted and not self._read("webhook_broker_unavailable") and self._is_accepted():
                accepted = time.monotonic() - began_at
        self.faults.delays[f"{name}: first confirm"].append(confirmed or _RECOVERY_TIMEOUT)
        self.faults.delays[f"{name}: first 202 not spooled"].append(accepted or _RECOVERY_TIMEOUT)

    def _is_accepted(self) -> bool:
        with socket.create_connection(self._gateway.address, timeout=20) as connection:
            connection.sendall(_request(self._gateway))
            return connection.recv(1024).startswith(b"HTTP/1.1 202 ")

    def _read(self, name: str) -> float:
        return meter.reading(self._gateway.admin_url, name)

    def _send_first(self, name: str) -> None:
        self._send(name, faults.FIRST, faults.FIRST, 0.0)

    def _send_later(self, name: str) -> None:
        self._send(name, _LATER, CONNECTIONS, faults.RATE)

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
            for part in [half_body, *[half_head] * faults.STUCK]:
                connection = stack.enter_context(socket.create_connection(gateway.address, timeout=20))
                connection.sendall(part)
            gateway.get("/livez")  # by then what was sent before has been read
            self._note_delay(faults.STUCK_ENDED, lambda: gateway.stop(timeout=_RECOVERY_TIMEOUT))


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
        directory = surroundings.directory / folder
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
    impatient = gateway("stuck", _SETTINGS | {"server": {"deadline": f"{faults.DEADLINE:g}s"}})
    for _ in range(rounds):
        inflicting.end_with_stuck_senders(impatient)
    return inflicting.faults
