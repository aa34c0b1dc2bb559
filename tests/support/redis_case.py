"""A gateway and a worker on Redis servers that stand in for one another, and what a test asks of them while they fail."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support import senders
from support.gateway_process import GatewayProcess, Program, Secrets
from support.inbox import Inbox, ids
from support.senders import Delivery, RetryingSender, post
from support.waiting import PATIENCE, wait_until

_PACE = 0.04
"""Seconds between two events of one of the four senders: some 100 a second, as the machine has servers to run besides."""

_AGENT = """
from pathlib import Path

from gateway.worker import Event, Worker

worker = Worker("agent", ["acme.#"])

@worker.on("#")
async def handle(event: Event) -> None:
    with Path("handled.txt").open("a") as file:
        file.write(event.id + "\\n")
"""


class RedisCase:
    """A gateway, a worker, a queue that keeps what was published, and a sender that repeats until it is accepted."""

    def __init__(self, gateway: GatewayProcess, rabbitmq_url: str) -> None:
        self.gateway = gateway
        self._inbox = Inbox(rabbitmq_url, "inbox", "acme.#")
        self.sender = RetryingSender(gateway.url, self.event, senders=4)

    def event(self) -> Delivery:
        """Make a signed event after a pause."""
        time.sleep(_PACE)
        return senders.acme(self.gateway.secrets.acme, senders.order())

    def accept(self, count: int) -> dict[str, Delivery]:
        """Wait until so many more events are accepted, and return all accepted so far."""
        goal = len(self.sender.accepted) + count
        wait_until(lambda: len(self.sender.accepted) >= goal, PATIENCE, f"{count} more events are accepted")
        return dict(self.sender.accepted)

    def repeat(self, deliveries: Iterable[Delivery]) -> Counter[str]:
        """Send events again, and count the answers."""
        with httpx.Client(trust_env=False) as client:
            return Counter(post(self.gateway.url, each, client).json()["status"] for each in deliveries)

    def readiness(self) -> dict[str, Any]:
        """Return what the operator's /readyz says."""
        readiness: dict[str, Any] = self.gateway.get("/readyz", admin=True).json()
        return readiness

    def wait_degraded(self) -> str:
        """Wait until claims are unavailable and events are accepted all the same; return the cause."""
        found: list[str] = []

        def is_degraded() -> bool:
            readiness = self.readiness()
            found[:] = [readiness["checks"]["claims"]]
            return readiness["status"] == "degraded" and found != ["ok"]

        wait_until(is_degraded, PATIENCE, "claims are unavailable")
        assert self.gateway.get("/readyz").status_code == 200
        return found[0]

    def wait_well(self) -> None:
        """Wait until all claims can be made."""
        wait_until(lambda: self.readiness()["checks"]["claims"] == "ok", PATIENCE, "all claims can be made")

    def unchecked(self) -> float:
        """Return how many events were published without a claim."""
        lines = self.gateway.get("/metrics", admin=True).text.splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("webhook_dedupe_unchecked_total{")
        )

    def refusals(self) -> set[str]:
        """Return the answers that are no success."""
        answers = {answer for each in self.sender.answers.values() for answer in each}
        return {answer for answer in answers if not answer.startswith("2")}

    def settle(self) -> Counter[str | None]:
        """Return how often each event was published, once all that were accepted have come and were handled."""
        counts: Counter[str | None] = Counter()

        def have_come() -> bool:
            counts.update(ids(self._inbox.take_all()))
            return self.sender.accepted.keys() <= counts.keys()

        wait_until(have_come, PATIENCE, "all accepted events have come")
        try:
            wait_until(
                lambda: self.sender.accepted.keys() <= self.handled().keys(),
                PATIENCE,
                "all events were handled",
            )
        except TimeoutError as error:
            error.add_note(f"not handled: {self.sender.accepted.keys() - self.handled().keys()}")
            raise
        return counts

    def handled(self) -> Counter[str]:
        """Return how often the worker handled each event."""
        file = self.gateway.directory / "handled.txt"
        return Counter(file.read_text("utf-8").splitlines()) if file.exists() else Counter()


@contextmanager
def open_case(folder: Path, rabbitmq_url: str, redis: Mapping[str, Any]) -> Iterator[RedisCase]:
    """Start a gateway and a worker with these settings of Redis, with their files in ``folder``."""
    (folder / "agent.py").write_text(_AGENT, "utf-8")
    settings = {"redis": redis}
    with GatewayProcess(folder, Secrets(), rabbitmq_url=rabbitmq_url, overrides=settings) as gateway:
        words = ("worker", "agent:worker", "--config", str(gateway.config))
        with Program(folder, *words, extra=gateway.variables) as worker:
            worker.wait_for('"server":"rabbitmq"')  # its queue is bound
            yield RedisCase(gateway, rabbitmq_url)


def log_of(program: Program, event: str) -> list[dict[str, Any]]:
    """Return the lines of a log with this event."""
    lines = [json.loads(line) for line in program.stdout.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]
