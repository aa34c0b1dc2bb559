"""Publishing to RabbitMQ: persistent, mandatory, confirmed.

The topology (:mod:`gateway.publishers.topology`) is declared at every connect.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable

import structlog
from msgspec.structs import replace
from typing_extensions import override

from gateway.events.message import Message
from gateway.publishers import (
    ARCHIVE_SUFFIX,
    QUARANTINE_SUFFIX,
    MessageTooLarge,
    Publisher,
    PublishUnavailable,
    Retention,
)
from gateway.publishers.amqp_connect import connect
from gateway.publishers.amqp_connection import PublishConnection
from gateway.publishers.renewal import Renewal
from gateway.publishers.topology import archive_topology, topology
from gateway.transport.amqp_errors import BrokerRefusal
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.reconnect import ReconnectingConnection

REDECLARE_INTERVAL = 5.0
"""Seconds between two declarations of a topology with an archive.

What is in the archive is not returned, whatever other queue it misses: so a part may be deleted without a sign.
"""

log = structlog.get_logger()


class RabbitPublisher(Publisher):
    """Publishes over one connection to one broker, or to one node of a cluster.

    Args:
        nodes: The broker, or the nodes of its cluster.
        exchange: The exchange for events.
        timeout: Seconds that a confirm may take.
        archive: How long the archive keeps events; None for no archive.
    """

    spooled = corrupt = 0

    def __init__(
        self, nodes: BrokerNodes, exchange: str, timeout: float = 2.0, archive: Retention | None = None
    ) -> None:
        self._nodes = nodes
        self._exchange = exchange
        self._timeout = timeout
        self._archive = archive
        self._exchanges = {exchange, exchange + QUARANTINE_SUFFIX}
        self._renewal = Renewal(time.monotonic) if nodes.are_several else None
        self._max_size: int | None = None
        self._logged: set[str] = set()
        self._link: ReconnectingConnection[PublishConnection] = ReconnectingConnection(
            "rabbitmq", self._connect, certificates=nodes.certificates
        )

    @property
    @override
    def unavailable_reason(self) -> str:
        return self._link.current.unavailable_reason if self._link.current else self._link.unavailable_reason

    @property
    @override
    def has_been_ready(self) -> bool:
        return self._link.has_been_connected

    @property
    @override
    def is_accepting(self) -> bool:
        return self._link.current is not None and self._link.current.is_accepting

    @property
    @override
    def unconfirmed(self) -> int:
        return self._link.current.unconfirmed if self._link.current else 0

    @override
    async def start(self) -> None:
        await self._link.start()

    @override
    async def stop(self) -> None:
        await self._link.stop()

    @override
    async def reload_certificates(self) -> None:
        await self._link.reload_certificates()

    @override
    def publish(self, message: Message) -> Awaitable[None]:
        if self._max_size is not None and len(message.body) > self._max_size:
            return _fail_too_large(len(message.body), self._max_size)
        if self._link.current is None:
            return _fail(self._link.unavailable_reason)
        if message.exchange not in self._exchanges:
            # Spooled before the configuration changed. RabbitMQ would close the channel, and all publishes would fail.
            return _fail(f"this gateway does not publish to the exchange {message.exchange!r}")
        if self._archive and message.exchange == self._exchange:
            message = replace(message, exchange=self._exchange + ARCHIVE_SUFFIX)
        return self._link.current.publish(message)

    async def _connect(self) -> PublishConnection:
        parts = topology(
            self._exchange,
            is_archiving=self._archive is not None,
            is_in_cluster=self._nodes.are_several,
        )
        targets = [self._exchange, self._exchange + QUARANTINE_SUFFIX]
        declare_every = math.inf
        if self._archive:
            parts += archive_topology(self._exchange, self._archive)
            targets[0] += ARCHIVE_SUFFIX
            declare_every = REDECLARE_INTERVAL

        def open_node(url: str) -> Awaitable[PublishConnection]:
            return connect(
                url, parts, self._timeout, declare_every, targets, self._nodes.timeouts, self._renewal
            )

        try:
            connection = await self._nodes.connect(open_node)
        except OSError:
            self._max_size = None  # see _note_loss
            raise
        connection.lost.add_done_callback(self._note_loss)
        for warning in connection.warnings:
            if warning not in self._logged:
                self._logged.add(warning)
                self._log(warning)
        return connection

    def _note_loss(self, lost: asyncio.Future[None]) -> None:
        """Learn how large a message may be from the refusal of one; forget it when the broker is away.

        RabbitMQ does not tell its ``max_message_size``, but closes the channel on a larger message, and with it on all
        that are under way. Published again and again, one such message would keep all others from getting through.
        To raise the limit takes a restart of the broker, so that a limit which is forgotten then is never outdated for long.
        """
        cause = lost.exception()
        self._max_size = cause.message_limit if isinstance(cause, BrokerRefusal) else None

    def _log(self, warning: str) -> None:
        if warning.startswith(f"queue {self._exchange + ARCHIVE_SUFFIX!r}"):
            advice = (
                "a stream keeps the retention it was made with: set a policy, or delete it with its events"
            )
            log.warning("archive retention unchanged", cause=warning, advice=advice)
        else:
            log.warning("broker differs from what is declared", server="rabbitmq", cause=warning)


async def _fail_too_large(size: int, limit: int) -> None:
    raise MessageTooLarge(
        f"RabbitMQ takes messages of {limit} bytes at most, and this one has {size}: raise its max_message_size"
    )


async def _fail(cause: str) -> None:
    raise PublishUnavailable(cause)
