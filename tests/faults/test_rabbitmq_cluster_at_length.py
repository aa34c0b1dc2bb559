"""Nodes of a RabbitMQ cluster die, freeze and restart, again and again. It takes minutes: ``make faults-cluster``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster_case import CLUSTER_PATIENCE, ClusterCase, open_case
from support.rabbitmq_cluster import RabbitMQCluster
from support.waiting import wait_until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]

_ROUNDS = 5


@pytest.fixture
def case(attentive_cluster: RabbitMQCluster, tmp_path: Path, redis_url: str) -> Iterator[ClusterCase]:
    """A gateway on three nodes that know each other."""
    with open_case(attentive_cluster, tmp_path, redis_url) as case:
        yield case


def test_leaders_die_one_after_another(case: ClusterCase) -> None:
    """Whether or not it is the node of the gateway; each is back before the next dies."""
    with case.sender:
        for _ in range(_ROUNDS):
            case.wait_accepted(100)
            case.cluster.leader_of("inbox").kill()
            case.wait_accepted(100)
            case.wait_drained()
            case.cluster.ensure_running()

    case.settle()
    assert not case.refusals()


def test_the_majority_dies_again_and_again(case: ClusterCase) -> None:
    """Events are spooled for as long as one node is alone, whichever it is."""
    with case.sender:
        for number in range(_ROUNDS):
            case.wait_accepted(100)
            others = [node for node in case.cluster.nodes if node is not case.cluster.nodes[number % 3]]
            for node in others:
                node.kill()
            case.wait_accepted(100)
            wait_until(lambda: case.spooled() > 0, CLUSTER_PATIENCE, "events are spooled")
            others[0].start()
            case.wait_drained()
            case.cluster.ensure_running()

    case.settle()
    assert not case.refusals()


def test_the_node_of_the_gateway_freezes_and_returns(case: ClusterCase) -> None:
    """It is noticed by its silence. Copies are of messages that it had and had not confirmed."""
    node = case.node_of_gateway()
    with case.sender:
        case.wait_accepted(100)
        node.suspend()
        case.wait_accepted(100)
        wait_until(
            lambda: "connected" in case.gateway.stdout.rpartition("not connected")[2], CLUSTER_PATIENCE
        )
        case.wait_drained()
        node.resume()
        case.wait_accepted(100)

    counts = case.settle()
    assert not case.refusals()
    assert sum(count - 1 for count in counts.values()) <= 100  # what was on its way, at four at a time


def test_all_nodes_restart_one_after_another(case: ClusterCase) -> None:
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
