"""A cluster of real RabbitMQ nodes on one machine, each of which a test may kill, suspend and start again."""

from __future__ import annotations

import json
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from support.rabbitmq_server import RabbitMQServer
from support.waiting import wait_until

_SIZE = 3

_CONFIGURATION = """\
net_ticktime = 5
cluster_partition_handling = ignore
"""
"""A node that is frozen is noticed after some 5 s rather than 60. Quorum queues need no partition handling."""


class RabbitMQCluster:
    """Three nodes with quorum queues among them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.nodes: list[RabbitMQServer] = []

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            first = stack.enter_context(RabbitMQServer(_CONFIGURATION))
            self.nodes = [first]
            for _ in range(_SIZE - 1):
                self.nodes.append(stack.enter_context(RabbitMQServer(_CONFIGURATION, first)))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The last first: the port mapper is that of the first node.
        self._stack.close()

    @property
    def urls(self) -> list[str]:
        """The address of each node."""
        return [node.url for node in self.nodes]

    def node_named(self, name: str) -> RabbitMQServer:
        """Return the node of an Erlang name."""
        return next(node for node in self.nodes if node.node.name == name)

    def leader_of(self, queue: str) -> RabbitMQServer:
        """Return the node with the leader of a quorum queue."""
        asked = next(node for node in self.nodes if node.is_running)
        rows = json.loads(asked.ctl("list_queues", "name", "leader", "--formatter", "json"))
        return self.node_named(next(row["leader"] for row in rows if row["name"] == queue))

    def members_online(self, queue: str) -> int:
        """Return how many members of a quorum queue are up."""
        asked = next(node for node in self.nodes if node.is_running)
        rows = json.loads(asked.ctl("list_queues", "name", "online", "--formatter", "json"))
        return len(next(row["online"] for row in rows if row["name"] == queue))

    def ensure_running(self) -> None:
        """Repair what a test left behind, and wait until every node knows all others."""
        for node in self.nodes:
            node.ensure_running()
        try:
            wait_until(self._is_whole, 10.0, "all nodes know each other", forgive=(RuntimeError,))
        except TimeoutError:
            # Nodes that were parted do not always join each other again by themselves; a restart does it.
            for node in self.nodes[1:]:
                node.kill()
                node.start()
            wait_until(self._is_whole, 60.0, "all nodes know each other", forgive=(RuntimeError,))

    def _is_whole(self) -> bool:
        for node in self.nodes:
            status = json.loads(node.ctl("cluster_status", "--formatter", "json"))
            if len(status["running_nodes"]) < _SIZE:
                return False
        return True
