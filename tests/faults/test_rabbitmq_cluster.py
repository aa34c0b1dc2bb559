"""Nodes of a RabbitMQ cluster die under load: no accepted event is lost, and nobody gets a 5xx.

Three nodes need most of a machine, so that ``make test`` has the shortest of these tests; ``make faults-cluster`` has all of
them. What takes longer still is in ``test_rabbitmq_cluster_at_length.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cluster_case import CLUSTER_PATIENCE, ClusterCase, open_case
from support.inbox import Inbox
from support.rabbitmq_cluster import RabbitMQCluster
from support.waiting import wait_until


@pytest.fixture
def case(running_cluster: RabbitMQCluster, tmp_path: Path, redis_url: str) -> Iterator[ClusterCase]:
    """A gateway on three nodes that know each other."""
    with open_case(running_cluster, tmp_path, redis_url) as case:
        yield case


@pytest.mark.nightly
def test_the_node_of_the_gateway_dies(case: ClusterCase) -> None:
    """Another node takes over, and events go on without the one that is dead."""
    node = case.node_of_gateway()
    with case.sender:
        case.wait_accepted(50)
        node.kill()
        case.wait_accepted(50)
        case.wait_drained()  # while it is still dead
        assert case.node_of_gateway() is not node
        case.wait_accepted(50)

    case.settle()
    assert not case.refusals()


def test_the_leader_of_a_queue_dies(case: ClusterCase) -> None:
    """The others elect a new one. A channel that was opened meanwhile is renewed, else it would refuse for ever."""
    leader = case.cluster.leader_of("inbox")
    with case.sender:
        case.wait_accepted(50)
        leader.kill()
        case.wait_accepted(50)
        case.wait_drained()

    case.settle()
    assert not case.refusals()


@pytest.mark.nightly
def test_two_of_three_nodes_die(case: ClusterCase) -> None:
    """Without a majority events are spooled; they are published once one node is back."""
    survivor = case.node_of_gateway()
    others = [node for node in case.cluster.nodes if node is not survivor]
    with case.sender:
        case.wait_accepted(50)
        for node in others:
            node.kill()
        case.wait_accepted(50)
        wait_until(lambda: case.spooled() > 0, CLUSTER_PATIENCE, "events are spooled")
        others[0].start()
        case.wait_drained()
        case.wait_accepted(50)

    case.settle()
    assert not case.refusals()


@pytest.mark.nightly
def test_queues_have_three_members(case: ClusterCase) -> None:
    """Also those that the gateway declares. One that has fewer, or whose nodes are away, is warned of."""
    Inbox(case.url, "alone", "#", arguments={"x-queue-type": "quorum", "x-quorum-initial-group-size": 1})
    expected = [f"queue webhooks.{name}: 3 members, 3 online" for name in ("unrouted", "quarantine")]
    expected += ["queue alone: 1 member, 1 online", "warning: queue alone has one member, on rabbit-"]
    case.wait_checked(*expected)
    assert "warning: queue webhooks" not in case.check()

    case.cluster.nodes[-1].kill()
    name = case.cluster.nodes[-1].node.name
    case.wait_checked(f"warning: queue webhooks.unrouted has 2 of 3 members online; start {name}")


@pytest.mark.nightly
def test_what_is_too_large_for_the_broker_is_warned_of(case: ClusterCase) -> None:
    """Before such an event comes."""
    assert "messages: as large as the largest body" in case.check()

    with case.cluster.message_limit(1024 * 1024):
        assert (
            "warning: providers.acme: bodies of up to 1MiB are accepted, but RabbitMQ takes messages of 1MiB at most; raise its "
            "max_message_size, or set max_body to 960KiB or less"
        ) in case.check()
