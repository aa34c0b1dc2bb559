"""What each fault of a RabbitMQ cluster costs, under a steady load: ``make faults-cluster`` prints it as a table.

That nothing is lost and nothing refused is asserted. The times are reported: a busy machine must not fail a test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cluster_case import CLUSTER_PATIENCE, ClusterCase, open_case
from support.cluster_times import RATE, Measured, Watch
from support.rabbitmq_cluster import RabbitMQCluster
from support.rabbitmq_server import RabbitMQServer
from support.waiting import wait_until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]

_CALM = 3.0
"""Seconds of load before a fault, and after it."""

Report = Callable[[Measured], None]


@pytest.fixture
def case(attentive_cluster: RabbitMQCluster, tmp_path: Path, redis_url: str) -> Iterator[ClusterCase]:
    """A gateway on three nodes that know each other, with a steady load."""
    with open_case(attentive_cluster, tmp_path, redis_url, RATE) as case:
        yield case


def _measure(case: ClusterCase, fault: str, inflict: Callable[[Watch], None]) -> Measured:
    """Inflict a fault under load, and send on until nothing is spooled."""
    watch = Watch(case)
    with case.sender, watch.running():
        time.sleep(_CALM)
        watch.begin()
        inflict(watch)
        wait_until(lambda: case.spooled() == 0, CLUSTER_PATIENCE, "the spool is drained")
        time.sleep(_CALM)
    return watch.result(fault)


def _expect_nothing_lost(measured: Measured) -> None:
    assert measured.lost == 0
    assert measured.refused == 0
    assert measured.was_ready


def _until_others_confirm(case: ClusterCase) -> None:
    """Leave time for a fault to be noticed, and for others to take over."""
    time.sleep(2 * _CALM)
    wait_until(lambda: case.spooled() == 0, CLUSTER_PATIENCE, "others have taken over")


def _not_of_gateway(case: ClusterCase) -> list[RabbitMQServer]:
    own = case.node_of_gateway()
    return [node for node in case.cluster.nodes if node is not own]


def test_the_leader_of_a_queue_dies(case: ClusterCase, report: Report) -> None:
    """On another node than that of the gateway, whose connection stays."""
    victim = _not_of_gateway(case)[0]
    case.cluster.move_leaders(victim)

    def inflict(_: Watch) -> None:
        victim.kill()
        time.sleep(_CALM)

    measured = _measure(case, "the leader of the queues is killed", inflict)
    report(measured)
    _expect_nothing_lost(measured)


def test_the_node_of_the_gateway_dies(case: ClusterCase, report: Report) -> None:
    """While the leaders are elsewhere: only the connection is lost."""
    node = case.node_of_gateway()
    case.cluster.move_leaders(_not_of_gateway(case)[0])

    def inflict(_: Watch) -> None:
        node.kill()
        time.sleep(_CALM)

    measured = _measure(case, "the node of the gateway is killed", inflict)
    report(measured)
    _expect_nothing_lost(measured)


def test_the_node_of_the_gateway_dies_with_the_leaders(case: ClusterCase, report: Report) -> None:
    """The gateway is on another node before there is another leader."""
    node = case.node_of_gateway()
    case.cluster.move_leaders(node)

    def inflict(_: Watch) -> None:
        node.kill()
        time.sleep(_CALM)

    measured = _measure(case, "the node of the gateway is killed, with the leaders", inflict)
    report(measured)
    _expect_nothing_lost(measured)


def test_all_nodes_restart_one_after_another(case: ClusterCase, report: Report) -> None:
    """As in an upgrade: each ends in order, and is back with all its queues before the next ends."""

    def inflict(watch: Watch) -> None:
        for node in case.cluster.nodes:
            node.stop()
            time.sleep(_CALM)
            case.cluster.ensure_running()
        watch.note_end()

    measured = _measure(case, "all nodes restart, one after another", inflict)
    report(measured)
    _expect_nothing_lost(measured)


def test_two_of_three_nodes_die(case: ClusterCase, report: Report) -> None:
    """Events are spooled, and the gateway says that it is ready, until there is a majority again."""
    dead = _not_of_gateway(case)

    def inflict(watch: Watch) -> None:
        for node in dead:
            node.kill()
        time.sleep(2 * _CALM)
        dead[0].start()
        watch.note_end()

    measured = _measure(case, "two of three nodes are killed; one returns", inflict)
    report(measured)
    _expect_nothing_lost(measured)


def test_a_node_with_the_leaders_freezes_and_returns(case: ClusterCase, report: Report) -> None:
    """It still takes itself for the leader when it wakes up. Copies are of what it had not confirmed."""
    victim = _not_of_gateway(case)[0]
    case.cluster.move_leaders(victim)

    def inflict(watch: Watch) -> None:
        victim.suspend()
        try:
            _until_others_confirm(case)
        finally:
            victim.resume()
        watch.note_end()

    measured = _measure(case, "the leader of the queues freezes, and returns", inflict)
    report(measured)
    _expect_nothing_lost(measured)


def test_the_node_of_the_gateway_freezes_and_returns(case: ClusterCase, report: Report) -> None:
    """It is noticed by its silence."""
    node = case.node_of_gateway()
    case.cluster.move_leaders(node)

    def inflict(watch: Watch) -> None:
        node.suspend()
        try:
            _until_others_confirm(case)
        finally:
            node.resume()
        watch.note_end()

    measured = _measure(case, "the node of the gateway freezes, with the leaders, and returns", inflict)
    report(measured)
    _expect_nothing_lost(measured)
