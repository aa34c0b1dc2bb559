"""A gateway on a cluster of RabbitMQ, under load, and what a test asks of it while nodes fail."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support import senders
from support.gateway_process import GatewayProcess, Secrets, Section
from support.inbox import Inbox
from support.paced_sender import PacedSender
from support.proxies import proxy
from support.rabbitmq_cluster import RabbitMQCluster
from support.rabbitmq_server import RabbitMQServer
from support.senders import Delivery, RetryingSender
from support.waiting import wait_until

CLUSTER_PATIENCE = 90.0
"""Seconds for a cluster to recover on a busy machine."""

_QUORUM = {"x-queue-type": "quorum", "x-quorum-initial-group-size": 3, "x-queue-leader-locator": "balanced"}

_PACE = 0.04
"""Seconds between two events of one of the four senders."""


class ClusterCase:
    """Gateways on a cluster, a queue with three members, and a sender.

    Args:
        cluster: the cluster.
        gateways: the gateways, which have the same secrets.
        rate: events a second, each sent once; 0 for a sender that repeats until it is accepted, some 100 a second.
        url: where the events are sent to; the first gateway unless told.

    Attributes:
        gateway: the first gateway.
    """

    def __init__(
        self, cluster: RabbitMQCluster, gateways: Sequence[GatewayProcess], rate: float = 0.0, url: str = ""
    ) -> None:
        self.cluster = cluster
        self.gateways = gateways
        self.gateway = gateways[0]
        self._counts: dict[str, int] = {}
        self._may_send = threading.Event()
        self._may_send.set()
        self.inbox = Inbox(self.url, "inbox", "#", arguments=_QUORUM)
        self.inbox.take_all()
        url = url or self.gateway.url
        self.sender: PacedSender | RetryingSender = (
            PacedSender(url, self._make, rate) if rate else RetryingSender(url, self._make_slowly, senders=4)
        )

    @property
    def url(self) -> str:
        """The address of a node that runs."""
        return next(node.url for node in self.cluster.nodes if node.is_running)

    def _make(self) -> Delivery:
        return senders.acme(self.gateway.secrets.acme, senders.order())

    def _make_slowly(self) -> Delivery:
        """The pause makes it some 100 a second, as the machine has nodes to run besides."""
        time.sleep(_PACE)
        self._may_send.wait(CLUSTER_PATIENCE)
        return self._make()

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

        wait_until(
            is_connected, CLUSTER_PATIENCE, "the gateway is connected to one node", forgive=(RuntimeError,)
        )
        return found[0]

    def wait_accepted(self, more: int) -> None:
        """Wait until so many more events are accepted."""
        goal = len(self.sender.accepted) + more
        wait_until(
            lambda: len(self.sender.accepted) >= goal, CLUSTER_PATIENCE, f"{more} more events are accepted"
        )

    def wait_drained(self) -> None:
        """Send no more events until none is spooled: a busy machine has some in the spool at any moment."""
        self._may_send.clear()
        try:
            wait_until(lambda: self.spooled() == 0, CLUSTER_PATIENCE, "the spool is drained")
        except TimeoutError as error:
            error.add_note(self.cluster.describe())
            raise
        finally:
            self._may_send.set()

    def spooled(self) -> float:
        """Return how many events are spooled by all gateways together."""
        return self.metric("webhook_spooled")

    def metric(self, name: str) -> float:
        """Return the sum of a metric over all gateways and providers."""
        return sum(
            float(value)
            for gateway in self.gateways
            for value in re.findall(
                rf"^{name}(?:{{.*}})? (\S+)$", gateway.get("/metrics", admin=True).text, re.MULTILINE
            )
        )

    def settle(self) -> dict[str, int]:
        """Return how often each accepted event arrived, once all have."""
        self.sender.finish(CLUSTER_PATIENCE)
        self.wait_drained()
        counts = self._counts

        def have_come() -> bool:
            for arrival in Inbox(self.url, "inbox", None).take_all():
                counts[arrival.message_id or ""] = counts.get(arrival.message_id or "", 0) + 1
            return self.sender.accepted.keys() <= counts.keys()

        wait_until(have_come, CLUSTER_PATIENCE, "all accepted events have arrived", forgive=(Exception,))
        return counts

    def check(self) -> str:
        """Return what ``gateway check`` prints of the broker."""
        done = self.gateway.run("check", "--connect")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def wait_checked(self, *texts: str) -> None:
        """Wait until ``gateway check`` prints all these: the management API is some seconds behind."""
        wait_until(lambda: all(text in self.check() for text in texts), CLUSTER_PATIENCE, f"it says {texts}")

    def refusals(self) -> set[str]:
        """Return the answers that are no success."""
        answers = {answer for each in self.sender.answers.values() for answer in each}
        return {answer for answer in answers if not answer.startswith("2")}


@contextmanager
def open_case(
    cluster: RabbitMQCluster, folder: Path, redis_url: str, rate: float = 0.0
) -> Iterator[ClusterCase]:
    """Start a gateway on a cluster all of whose nodes are up, with its files in ``folder``."""
    cluster.ensure_running()
    management_url = cluster.nodes[0].management_url
    overrides = {"rabbitmq": {"urls": cluster.urls, "management_url": management_url}}
    with GatewayProcess(folder, Secrets(), redis_url=redis_url, overrides=overrides) as gateway:
        yield ClusterCase(cluster, [gateway], rate)


@contextmanager
def open_site(
    cluster: RabbitMQCluster, folder: Path, redis: Section, rate: float, in_front: str
) -> Iterator[ClusterCase]:
    """Start two gateways on a cluster, with these settings of Redis, and a proxy by this name in front of them."""
    cluster.ensure_running()
    settings: dict[str, Section] = {
        "server": {"trusted_proxies": ["127.0.0.1/32"], "shutdown_delay": "2s"},
        "rabbitmq": {"urls": cluster.urls},
        "redis": redis,
    }
    secrets = Secrets()
    with ExitStack() as stack:
        gateways = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            gateways.append(stack.enter_context(GatewayProcess(folder / name, secrets, overrides=settings)))
        ports = [gateway.address[1] for gateway in gateways]
        url = stack.enter_context(proxy(in_front, folder / "proxy", ports))
        yield ClusterCase(cluster, gateways, rate, url)
