"""The nodes of one RabbitMQ cluster: whichever answers first serves, and another takes over when it is gone.

They are tried in an order that is shuffled at the start, so that many gateways do not gather on one node. After a loss the
next node is tried at once. A node that returns is not moved back to: that would break a connection that works.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

from gateway.transport.amqp_url import BrokerUrl

C = TypeVar("C")


class Timeouts(NamedTuple):
    """How long one node may take, in seconds.

    Attributes:
        connect: To accept a connection, its TLS handshake included.
        open: To log in and declare.
        heartbeat: Between two heartbeats; a node that is silent for twice as long is lost.
        confirm: To confirm a message, beyond which the confirm is lost for good and takes a new connection: its message
            blocks the spool.
    """

    connect: float
    open: float
    heartbeat: int
    confirm: float


ONLY = Timeouts(connect=3.0, open=10.0, heartbeat=10, confirm=60.0)
"""For the only node there is: a packet that is lost while it is away must not delay its return, and a broker that is
starting takes its time."""

ONE_OF_SEVERAL = Timeouts(connect=1.0, open=3.0, heartbeat=2, confirm=5.0)
"""For one of several: while it is waited for, another could serve. A frozen node keeps its connections open and is
noticed by its silence alone. A confirm can be lost for good when the leader of a queue dies."""


class BrokerNodes:
    """The addresses of the nodes of one cluster.

    Args:
        urls: ``amqp://`` or ``amqps://``, one for each node.

    Attributes:
        timeouts: How long one of them may take.
    """

    def __init__(self, *urls: str) -> None:
        self._urls = random.sample(urls, len(urls))
        self.timeouts = ONLY if len(urls) == 1 else ONE_OF_SEVERAL

    @property
    def are_several(self) -> bool:
        """Return whether the broker is a cluster."""
        return len(self._urls) > 1

    @property
    def first(self) -> BrokerUrl:
        """Return one of the addresses: user, password and virtual host are the same on all nodes."""
        return BrokerUrl.parse(self._urls[0])

    @property
    def user(self) -> str:
        """Return the user, who is the same on all nodes."""
        return self.first.user

    def certificates(self) -> list[bytes]:
        """Return a digest of the files of TLS of each node, as they are now."""
        return [BrokerUrl.parse(url).tls.fingerprint() for url in sorted(self._urls)]

    async def connect(self, open_node: Callable[[str], Awaitable[C]]) -> C:
        """Try each node once, the one that served last at the end, and return the first connection.

        Args:
            open_node: Opens a connection to the node at an address; raises OSError if that is not possible now.

        Raises:
            OSError: No node can be reached; the text has the cause of each.
        """
        causes: list[OSError] = []
        for url in list(self._urls):
            self._urls.remove(url)
            self._urls.append(url)
            try:
                return await open_node(url)
            except OSError as error:
                causes.append(error)
        if len(causes) == 1:
            raise causes[0]
        texts = dict.fromkeys(str(cause) or type(cause).__name__ for cause in causes)
        raise ConnectionError(f"no node of the cluster can be used: {'; '.join(texts)}") from causes[-1]
