"""A cluster of real RabbitMQ nodes on one machine, each of which a test may kill, suspend and start again."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import Any, Self

from support.rabbitmq_node import MANAGEMENT
from support.rabbitmq_server import RabbitMQServer
from support.waiting import wait_until

_SIZE = 3

_MAX_STARTS = 3
"""Attempts to start a cluster. A node without its port may have joined the others, which must not count it in."""

_CONFIGURATION = "cluster_partition_handling = ignore\n"
"""Quorum queues need no partition handling."""

_RECORDS = "[{amqqueue:get_name(Q), amqqueue:get_pid(Q)} || Q <- rabbit_amqqueue:list()]."

_MOVE_LEADER = (
    'rabbit_quorum_queue:transfer_leadership(element(2, rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, '
    "<<\"{queue}\">>))), '{node}')."
)
"""What `rabbitmq-queues rebalance` does for a single queue."""

QUICK_TO_NOTICE = "net_ticktime = 5\n"
"""A node that is frozen is noticed by the others after some 5 s rather than 60. On a busy machine, so may one be that is not."""


class RabbitMQCluster:
    """Three nodes with quorum queues among them; ``configuration`` is added to that of each."""

    def __init__(self, configuration: str = "") -> None:
        self._configuration = _CONFIGURATION + configuration
        self._stack = ExitStack()
        self.nodes: list[RabbitMQServer] = []

    def __enter__(self) -> Self:
        for _ in range(_MAX_STARTS - 1):
            try:
                return self._start()
            except RuntimeError as error:  # somebody has taken a port meanwhile
                if "could_not_start_listener" not in str(error):
                    raise
        return self._start()

    def _start(self) -> Self:
        with ExitStack() as stack:
            first = stack.enter_context(RabbitMQServer(self._configuration, plugins=[MANAGEMENT]))
            self.nodes = [first]
            for _ in range(_SIZE - 1):
                self.nodes.append(
                    stack.enter_context(RabbitMQServer(self._configuration, first, [MANAGEMENT]))
                )
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

    def leader_of(self, queue: str) -> RabbitMQServer:
        """Return the node with the leader of a quorum queue, once there is one that runs."""
        found: list[RabbitMQServer] = []

        def is_elected() -> bool:
            leader = next(row["leader"] for row in self._quorum_queues() if row["name"] == queue)
            found[:] = [node for node in self.nodes if node.node.name == leader and node.is_running]
            return bool(found)

        wait_until(is_elected, 60.0, f"{queue} has a leader", forgive=(RuntimeError,))
        return found[0]

    def move_leaders(self, target: RabbitMQServer) -> None:
        """Let a node lead all quorum queues."""
        name = target.node.name

        def is_done() -> bool:
            moved = [row["name"] for row in self._quorum_queues() if row["leader"] != name]
            for queue in moved:
                target.ctl("eval", _MOVE_LEADER.format(queue=queue, node=name))
            return not moved

        wait_until(is_done, 60.0, f"{name} leads all queues", forgive=(RuntimeError,))

    def _quorum_queues(self) -> list[dict[str, Any]]:
        asked = next(node for node in self.nodes if node.is_running)
        rows = json.loads(
            asked.ctl("list_queues", "name", "type", "leader", "members", "online", "--formatter", "json")
        )
        return [row for row in rows if row["type"] == "quorum"]

    def describe(self) -> str:
        """Return what each node that runs says of the quorum queues, and whom the queues' records name as leader."""
        parts = []
        for node in self.nodes:
            if node.is_running:
                with suppress(RuntimeError, subprocess.TimeoutExpired):
                    rows = node.ctl("list_queues", "name", "leader", "members", "online", timeout=20.0)
                    records = node.ctl("eval", _RECORDS, timeout=20.0)
                    parts.append(f"--- {node.node.name}\n{rows}{records}")
        return "\n".join(parts)

    @contextmanager
    def message_limit(self, size: int) -> Iterator[None]:
        """Let all nodes take messages of ``size`` bytes at most."""
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node.message_limit(size))
            yield

    def ensure_running(self) -> None:
        """Repair what a test left behind, and wait until every node knows all others, and has its queues."""
        for node in self.nodes:
            node.ensure_running()
        try:
            wait_until(self._is_whole, 30.0, "all nodes know each other", forgive=(RuntimeError,))
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
        return all(
            row["leader"] and len(row["online"]) == len(row["members"]) for row in self._quorum_queues()
        )
