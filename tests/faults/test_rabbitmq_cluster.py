"""Any node of a RabbitMQ cluster dies, freezes or restarts: no accepted event is lost, and nobody gets a 5xx."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.inbox import Inbox
from support.rabbitmq_cluster import RabbitMQCluster
from support.rabbitmq_server import RabbitMQServer
from support.requirements import require
from support.senders import Delivery, RetryingSender
from support.waiting import wait_until

_QUORUM = {"x-queue-type": "quorum", "x-quorum-initial-group-size": 3, "x-queue-leader-locator": "balanced"}
_PATIENCE = 90.0
"""Seconds for a cluster to recover on a busy machine."""

_PACE = 0.04
"""Seconds between two events of one of the four senders."""

_METRIC = re.compile(r"^webhook_spooled (\S+)$", re.MULTILINE)


@pytest.fixture(scope="module")
def running_cluster() -> Iterator[RabbitMQCluster]:
    """Three nodes for the tests of this module."""
    require("rabbitmq-server", "rabbitmqctl", "epmd")
    with RabbitMQCluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster: RabbitMQCluster) -> RabbitMQCluster:
    """Three nodes that know each other."""
    running_cluster.ensure_running()
    return running_cluster


class _Case:
    """A gateway on a cluster, a queue with three members, and a sender that repeats until it is accepted."""

    def __init__(self, cluster: RabbitMQCluster, gateway: GatewayProcess, secrets: Secrets) -> None:
        self.cluster = cluster
        self.gateway = gateway
        self._secrets = secrets
        self.inbox = Inbox(self.url, "inbox", "#", arguments=_QUORUM)
        self.inbox.take_all()
        self.sender = RetryingSender(gateway.url, self.event, senders=4)

    @property
    def url(self) -> str:
        """The address of a node that runs."""
        return next(node.url for node in self.cluster.nodes if node.is_running)

    def event(self) -> Delivery:
        """Make a signed event; the pause makes it some 100 a second, as the machine has nodes to run besides."""
        time.sleep(_PACE)
        return senders.acme(self._secrets.acme, senders.order())

    def node_of_gateway(self) -> RabbitMQServer:
        """Return the node that the gateway is connected to."""
        asked = next(node for node in self.cluster.nodes if node.is_running)
        found: list[RabbitMQServer] = []

        def is_connected() -> bool:
            rows = json.loads(
                asked.ctl("list_connections", "port", "client_properties", "--formatter", "json")
            )
            ports = {row["port"] for row in rows if "webhook-gateway" in json.dumps(row)}
            found[:] = [node for node in self.cluster.nodes if node.port in ports]
            return len(found) == 1

        wait_until(is_connected, _PATIENCE, "the gateway is connected to one node", forgive=(RuntimeError,))
        return found[0]

    def wait_accepted(self, more: int) -> None:
        """Wait until so many more events are accepted."""
        goal = len(self.sender.accepted) + more
        wait_until(lambda: len(self.sender.accepted) >= goal, _PATIENCE, f"{more} more events are accepted")

    def wait_drained(self) -> None:
        """Wait until no event is spooled."""
        wait_until(lambda: self.spooled() == 0, _PATIENCE, "the spool is drained")

    def spooled(self) -> float:
        """Return how many events are spooled."""
        metrics = httpx.get(f"{self.gateway.admin_url}/metrics", trust_env=False).text
        return float(_METRIC.findall(metrics)[0])

    def settle(self) -> dict[str, int]:
        """Return how often each accepted event arrived, once all have."""
        self.sender.finish(_PATIENCE)
        self.wait_drained()
        counts: dict[str, int] = {}

        def have_come() -> bool:
            for arrival in Inbox(self.url, "inbox", None).take_all():
                counts[arrival.message_id or ""] = counts.get(arrival.message_id or "", 0) + 1
            return self.sender.accepted.keys() <= counts.keys()

        wait_until(have_come, _PATIENCE, "all accepted events have arrived", forgive=(Exception,))
        return counts

    def refusals(self) -> set[str]:
        """Return the answers that are no success."""
        answers = {answer for each in self.sender.answers.values() for answer in each}
        return {answer for answer in answers if not answer.startswith("2")}


@pytest.fixture
def case(cluster: RabbitMQCluster, tmp_path: Path, redis_url: str) -> Iterator[_Case]:
    """A gateway on the cluster."""
    secrets = Secrets()
    overrides = {"rabbitmq": {"urls": cluster.urls, "confirm_timeout": "1s"}}
    with GatewayProcess(tmp_path, secrets, redis_url=redis_url, overrides=overrides) as gateway:
        yield _Case(cluster, gateway, secrets)


def test_the_node_of_the_gateway_dies(case: _Case) -> None:
    """Another node takes over, and events go on without the one that is dead."""
    node = case.node_of_gateway()
    with case.sender:
        case.wait_accepted(100)
        node.kill()
        case.wait_accepted(100)
        case.wait_drained()  # while it is still dead
        assert case.node_of_gateway() is not node
        case.wait_accepted(100)

    case.settle()
    assert not case.refusals()


def test_the_leader_of_a_queue_dies(case: _Case) -> None:
    """The others elect a new one."""
    leader = case.cluster.leader_of("inbox")
    with case.sender:
        case.wait_accepted(100)
        leader.kill()
        case.wait_accepted(100)
        case.wait_drained()

    case.settle()
    assert not case.refusals()


def test_two_of_three_nodes_die(case: _Case) -> None:
    """Without a majority events are spooled; they are published once one node is back."""
    survivor = case.node_of_gateway()
    others = [node for node in case.cluster.nodes if node is not survivor]
    with case.sender:
        case.wait_accepted(100)
        for node in others:
            node.kill()
        case.wait_accepted(100)
        wait_until(lambda: case.spooled() > 0, _PATIENCE, "events are spooled")
        others[0].start()
        case.wait_drained()
        case.wait_accepted(100)

    case.settle()
    assert not case.refusals()


def test_the_node_of_the_gateway_freezes_and_returns(case: _Case) -> None:
    """It is noticed by its silence. Copies are of messages that it had and had not confirmed."""
    node = case.node_of_gateway()
    with case.sender:
        case.wait_accepted(100)
        node.suspend()
        case.wait_accepted(100)
        wait_until(lambda: "connected" in case.gateway.stdout.rpartition("not connected")[2], _PATIENCE)
        case.wait_drained()
        node.resume()
        case.wait_accepted(100)

    counts = case.settle()
    assert not case.refusals()
    assert sum(count - 1 for count in counts.values()) <= 100  # what was on its way, at four at a time


def test_all_nodes_restart_one_after_another(case: _Case) -> None:
    """An upgrade of the brokers is no outage."""
    with case.sender:
        for node in case.cluster.nodes:
            case.wait_accepted(50)
            node.stop()
            case.wait_accepted(50)
            case.cluster.ensure_running()
        case.wait_accepted(50)

    case.settle()
    assert not case.refusals()


def test_queues_have_three_members(case: _Case) -> None:
    """Also those that the gateway declares."""
    assert [case.cluster.members_online(f"webhooks.{name}") for name in ("unrouted", "quarantine")] == [3, 3]
