"""A worker that keeps the order of each customer, while its Redis changes hands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import senders
from support.gateway_process import GatewayProcess, Program, Secrets
from support.inbox import Inbox
from support.redis_cluster import RedisCluster, WatchedRedis
from support.requirements import require
from support.threads import running
from support.waiting import PATIENCE, wait_until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]

_CUSTOMERS = 8

_AGENT = """
from pathlib import Path

from gateway.worker import Event, Worker

worker = Worker(
    "agent", ["acme.#"], ordered_by=lambda event: event.data["customer"], attempts=20, retry_from=0.2, retry_most=0.4
)

@worker.on("#")
async def handle(event: Event) -> None:
    number = event.data["number"]
    if number % 12 == 0 and event.attempts == 1:
        raise ValueError("it keeps its place")
    with Path("handled.txt").open("a") as file:
        file.write(f"{event.data['customer']} {number}\\n")
"""


class Case:
    """A gateway, an ordered worker, and a sender that sends the events of all customers in their order."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._sent = 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send, until the end of the block."""
        with running(self._thread, self._is_over):
            yield

    def _send(self) -> None:
        with httpx.Client(trust_env=False) as client:
            for number in count(1):
                for customer in range(_CUSTOMERS):
                    if self._is_over.is_set():
                        return
                    body = senders.order(customer=f"{customer}", number=number)
                    answer = senders.post(
                        self._gateway.url, senders.acme(self._gateway.secrets.acme, body), client
                    )
                    assert answer.status_code == 202
                    self._sent += 1
                    time.sleep(0.05)

    def wait_sent(self, more: int) -> None:
        """Wait until so many more events are accepted."""
        goal = self._sent + more
        wait_until(lambda: self._sent >= goal, PATIENCE, f"{more} more events are sent")

    def handled(self) -> dict[str, list[int]]:
        """Return the numbers that were handled of each customer, in this order."""
        found: dict[str, list[int]] = {}
        file = self._gateway.directory / "handled.txt"
        for line in file.read_text("utf-8").splitlines() if file.exists() else []:
            customer, number = line.split()
            found.setdefault(customer, []).append(int(number))
        return found

    def wait_handled(self) -> dict[str, list[int]]:
        """Wait until every event that was sent is handled; return the numbers of each customer in their order."""

        def is_done() -> bool:
            return sum(len(set(numbers)) for numbers in self.handled().values()) == self._sent

        wait_until(is_done, 2 * PATIENCE, f"all {self._sent} events are handled")
        return self.handled()


@contextmanager
def _open_case(folder: Path, rabbitmq_url: str, redis: dict[str, Any]) -> Iterator[Case]:
    (folder / "agent.py").write_text(_AGENT, "utf-8")
    settings = {"redis": redis}
    with GatewayProcess(folder, Secrets(), rabbitmq_url=rabbitmq_url, overrides=settings) as gateway:
        Inbox(rabbitmq_url, "copy", "acme.#")
        words = ("worker", "agent:worker", "--config", str(gateway.config))
        with Program(folder, *words, extra=gateway.variables) as worker:
            worker.wait_for('"server":"rabbitmq"')
            yield Case(gateway)


def test_the_order_is_kept_while_the_slot_of_a_worker_moves(tmp_path: Path, rabbitmq_url: str) -> None:
    """There and back, and while it is half moved: scripts with two keys wait, and so do the events."""
    require("redis-server", "redis-cli")
    with RedisCluster() as cluster:
        redis = {"cluster": cluster.urls, "timeout": "5s"}
        with _open_case(tmp_path, rabbitmq_url, redis) as case:
            with case.sending():
                case.wait_sent(60)
                for _ in range(3):
                    key = cluster.find_key("*:worker:*line*")
                    source, target = cluster.begin_move(key)
                    case.wait_sent(20)
                    cluster.finish_move(key, source, target)
                    case.wait_sent(20)
            handled = case.wait_handled()

    assert all(numbers == sorted(set(numbers)) for numbers in handled.values())


@pytest.mark.parametrize("way", ["handed over", "killed"])
def test_no_event_is_lost_when_sentinels_fail_over(tmp_path: Path, rabbitmq_url: str, way: str) -> None:
    """The order is kept where the replica had everything; after a kill, from the first event on that it knows."""
    require("redis-server")
    with WatchedRedis() as watched:
        redis = {"sentinels": watched.urls, "master": watched.name}
        primary, replica = watched.servers
        ways: dict[str, Callable[[], None]] = {
            "handed over": watched.hand_over,
            "killed": primary.kill,
        }
        with _open_case(tmp_path, rabbitmq_url, redis) as case:
            with case.sending():
                case.wait_sent(60)
                ways[way]()
                watched.wait_is_primary(replica)
                case.wait_sent(100)
            handled = case.wait_handled()

    overtaken = [pair for numbers in handled.values() for pair in pairwise(numbers) if pair[1] < pair[0]]
    assert way == "killed" or not overtaken
