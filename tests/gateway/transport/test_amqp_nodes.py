"""The nodes of a cluster, tried in turn."""

from __future__ import annotations

import pytest

from gateway.transport.amqp_nodes import ONE_OF_SEVERAL, ONLY, BrokerNodes

A, B, C = (f"amqp://user:of-rabbitmq@{name}.test/" for name in "abc")


class Cluster:
    """Nodes of which some are away."""

    def __init__(self) -> None:
        self.away: set[str] = set()
        self.tried: list[str] = []

    async def open(self, url: str) -> str:
        """Connect to a node."""
        self.tried.append(url)
        if url in self.away:
            raise ConnectionRefusedError(f"{url[-7:-1]} is away")
        return url


async def test_the_next_node_is_tried_after_a_loss() -> None:
    """The one that served last comes last: it is the one that was lost."""
    cluster, nodes = Cluster(), BrokerNodes(A, B, C)

    served = [await nodes.connect(cluster.open) for _ in range(3)]

    assert sorted(served) == [A, B, C]
    assert await nodes.connect(cluster.open) == served[0]


async def test_nodes_that_are_away_are_passed() -> None:
    """Each is tried once."""
    cluster, nodes = Cluster(), BrokerNodes(A, B, C)
    cluster.away = {A, C}

    assert await nodes.connect(cluster.open) == B
    assert len(cluster.tried) == len(set(cluster.tried))


async def test_the_causes_of_all_nodes_are_said() -> None:
    """In one line, without a password."""
    cluster, nodes = Cluster(), BrokerNodes(A, B)
    cluster.away = {A, B}

    with pytest.raises(ConnectionError, match="no node of the cluster can be used") as raised:
        await nodes.connect(cluster.open)

    assert all(name in str(raised.value) for name in ("a.test", "b.test"))
    assert "of-rabbitmq" not in str(raised.value)


async def test_the_only_node_is_reported_as_it_is() -> None:
    """There is no cluster to speak of."""
    cluster, nodes = Cluster(), BrokerNodes(A)
    cluster.away = {A}

    with pytest.raises(ConnectionRefusedError, match=r"^a\.test is away$"):
        await nodes.connect(cluster.open)


def test_one_of_several_has_less_time() -> None:
    """While it is waited for, another could serve."""
    assert BrokerNodes(A).timeouts == ONLY
    assert BrokerNodes(A, B).timeouts == ONE_OF_SEVERAL
    assert ONE_OF_SEVERAL < ONLY


def test_user_and_virtual_host_are_those_of_any_node() -> None:
    """They are the same on all."""
    nodes = BrokerNodes(A, B)

    assert (nodes.user, nodes.first.vhost, nodes.are_several) == ("user", "/", True)
