"""Publishing to RabbitMQ: persistent, mandatory, confirmed; the topology declared at every connect.

An event that no queue is bound for goes, by the alternate exchange, into ``<exchange>.unrouted``: a routing
mistake is a full queue, not a loss.

Where there is an archive, events are published to a fanout exchange before the topic exchange, which feeds that
and the stream. Bound to the topic exchange itself, the stream would be a queue for every event, and none would
be unrouted any more.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from dataclasses import replace

import structlog
from pamqp import commands
from pamqp.common import FieldTable

from gateway.events.message import Message
from gateway.publishers import (
    ARCHIVE_SUFFIX,
    QUARANTINE_SUFFIX,
    UNROUTED_SUFFIX,
    PublishUnavailable,
    Retention,
)
from gateway.publishers.amqp_connect import connect
from gateway.publishers.amqp_connection import PublishConnection
from gateway.publishers.topology import Part, Settings, breaks_routing, loses_events
from gateway.transport.reconnect import ReconnectingConnection

_SEGMENT_SIZE = 64 * 1024**2
"""Bytes. A stream forgets whole files; those of the usual 500 MB would keep a quiet gateway's events for years."""

_DECLARE_EVERY = 5.0  # seconds

log = structlog.get_logger()


def topology(exchange: str, *, is_archiving: bool = False) -> list[Part]:
    """Return what is declared: the topic exchange, and the quorum queues for what is unrouted or quarantined."""
    unrouted, quarantine = exchange + UNROUTED_SUFFIX, exchange + QUARANTINE_SUFFIX
    quorum: FieldTable = {"x-queue-type": "quorum"}
    returned = "without it such events are returned by the broker, and wait in the spool"

    def breaks_events(settings: Settings) -> str:
        if is_archiving and settings.get("alternate-exchange") != unrouted:
            # The archive takes every event, so none would be returned that no queue gets.
            return "has no alternate exchange, so that an event without a queue would be in the archive alone"
        return breaks_routing("topic")(settings)

    return [
        Part(
            commands.Exchange.Declare(exchange=unrouted, exchange_type="fanout", durable=True),
            breaks_routing("fanout"),
        ),
        Part(commands.Queue.Declare(queue=unrouted, durable=True, arguments={**quorum}), loses_events),
        Part(commands.Queue.Bind(queue=unrouted, exchange=unrouted, routing_key=""), without=returned),
        Part(
            commands.Exchange.Declare(
                exchange=exchange,
                exchange_type="topic",
                durable=True,
                arguments={"alternate-exchange": unrouted},
            ),
            breaks_events,
        ),
        Part(
            commands.Exchange.Declare(exchange=quarantine, exchange_type="topic", durable=True),
            breaks_routing("topic"),
        ),
        Part(commands.Queue.Declare(queue=quarantine, durable=True, arguments={**quorum}), loses_events),
        Part(commands.Queue.Bind(queue=quarantine, exchange=quarantine, routing_key="#"), without=returned),
    ]


def archive_topology(exchange: str, retention: Retention) -> list[Part]:
    """Return what is declared besides: the fanout exchange in front of the topic exchange, and the stream."""
    archive = exchange + ARCHIVE_SUFFIX
    return [
        Part(
            commands.Queue.Declare(
                queue=archive,
                durable=True,
                arguments={
                    "x-queue-type": "stream",
                    "x-max-age": f"{math.ceil(retention.max_age)}s",
                    "x-max-length-bytes": retention.max_size,
                    "x-stream-max-segment-size-bytes": _SEGMENT_SIZE,
                },
            ),
            _is_no_stream,
        ),
        Part(
            commands.Exchange.Declare(exchange=archive, exchange_type="fanout", durable=True),
            breaks_routing("fanout"),
        ),
        Part(
            commands.Queue.Bind(queue=archive, exchange=archive, routing_key=""),
            without="without it no event is archived",
        ),
        Part(
            commands.Exchange.Bind(destination=exchange, source=archive, routing_key=""),
            without="without it events go to the archive alone, and to no worker",
        ),
    ]


def _is_no_stream(settings: Settings) -> str:
    return "" if settings.get("x-queue-type") == "stream" else "is no stream"


class RabbitPublisher:
    """Publishes to one broker.

    Args:
        url: ``amqp://`` or ``amqps://``.
        exchange: the exchange for events.
        timeout: seconds that a confirm may take.
        archive: how long the archive keeps events; None when there is none.
    """

    spooled = corrupt = 0

    def __init__(
        self, url: str, exchange: str, timeout: float = 2.0, archive: Retention | None = None
    ) -> None:
        self._url = url
        self._exchange = exchange
        self._timeout = timeout
        self._archive = archive
        self._exchanges = {exchange, exchange + QUARANTINE_SUFFIX}
        self._said: set[str] = set()
        self._link: ReconnectingConnection[PublishConnection] = ReconnectingConnection(
            "rabbitmq", self._connect
        )

    @property
    def unavailable_reason(self) -> str:
        """See :class:`gateway.publishers.Publisher`."""
        return self._link.current.unavailable_reason if self._link.current else self._link.unavailable_reason

    @property
    def has_been_ready(self) -> bool:
        """See :class:`gateway.publishers.Publisher`."""
        return self._link.has_been_connected

    @property
    def is_accepting(self) -> bool:
        """See :class:`gateway.publishers.Publisher`."""
        return self._link.current is not None and self._link.current.is_accepting

    @property
    def unconfirmed(self) -> int:
        """See :class:`gateway.publishers.Publisher`."""
        return self._link.current.unconfirmed if self._link.current else 0

    async def start(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""
        await self._link.start()

    async def stop(self) -> None:
        """See :class:`gateway.publishers.Publisher`."""
        await self._link.stop()

    def publish(self, message: Message) -> Awaitable[None]:
        """See :class:`gateway.publishers.Publisher`."""
        if self._link.current is None:
            return _fail(self._link.unavailable_reason)
        if message.exchange not in self._exchanges:
            # Spooled before the configuration changed. RabbitMQ would close the channel, on everybody.
            return _fail(f"this gateway does not publish to the exchange {message.exchange!r}")
        if self._archive and message.exchange == self._exchange:
            message = replace(message, exchange=self._exchange + ARCHIVE_SUFFIX)
        return self._link.current.publish(message)

    async def _connect(self) -> PublishConnection:
        parts = topology(self._exchange, is_archiving=self._archive is not None)
        targets = [self._exchange, self._exchange + QUARANTINE_SUFFIX]
        declare_every = math.inf
        if self._archive:
            parts += archive_topology(self._exchange, self._archive)
            targets[0] += ARCHIVE_SUFFIX
            # Any of it may be taken away unnoticed: what is in the archive is not returned, whatever else it misses.
            declare_every = _DECLARE_EVERY
        connection = await connect(self._url, parts, self._timeout, declare_every, targets)
        for warning in connection.warnings:
            if warning not in self._said:
                self._said.add(warning)
                self._tell(warning)
        return connection

    def _tell(self, warning: str) -> None:
        if warning.startswith(f"queue {self._exchange + ARCHIVE_SUFFIX!r}"):
            advice = "a stream keeps what it was made with: set a policy for it, or delete it with its events"
            log.warning("the archive keeps its retention", cause=warning, advice=advice)
        else:
            log.warning("broker differs from what is declared", server="rabbitmq", cause=warning)


async def _fail(cause: str) -> None:
    raise PublishUnavailable(cause)
