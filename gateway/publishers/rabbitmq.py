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
from pamqp import base, commands
from pamqp.common import FieldTable

from gateway.link import Link
from gateway.publishers import (
    ARCHIVE_SUFFIX,
    QUARANTINE_SUFFIX,
    UNROUTED_SUFFIX,
    Message,
    PublishUnavailable,
    Retention,
)
from gateway.publishers.amqp import BrokerRefusal, PublishConnection, connect

_SEGMENT_SIZE = 64 * 1024**2
"""Bytes. A stream forgets whole files; those of the usual 500 MB would keep a quiet gateway's events for years."""

_RETENTION_ARGUMENTS = ("x-max-age", "x-max-length-bytes")
_DECLARE_EVERY = 5.0  # seconds

log = structlog.get_logger()


def topology(exchange: str) -> list[base.Frame]:
    """What is declared: the topic exchange, and the quorum queues for what is unrouted or quarantined."""
    unrouted, quarantine = exchange + UNROUTED_SUFFIX, exchange + QUARANTINE_SUFFIX
    quorum: FieldTable = {"x-queue-type": "quorum"}
    alternate: FieldTable = {"alternate-exchange": unrouted}
    return [
        commands.Exchange.Declare(exchange=unrouted, exchange_type="fanout", durable=True),
        commands.Queue.Declare(queue=unrouted, durable=True, arguments=quorum),
        commands.Queue.Bind(queue=unrouted, exchange=unrouted, routing_key=""),
        commands.Exchange.Declare(
            exchange=exchange, exchange_type="topic", durable=True, arguments=alternate
        ),
        commands.Exchange.Declare(exchange=quarantine, exchange_type="topic", durable=True),
        commands.Queue.Declare(queue=quarantine, durable=True, arguments=quorum),
        commands.Queue.Bind(queue=quarantine, exchange=quarantine, routing_key="#"),
    ]


def archive_topology(exchange: str, retention: Retention | None) -> list[base.Frame]:
    """What is declared besides: the fanout exchange in front, and the stream; without ``retention`` as it is."""
    archive = exchange + ARCHIVE_SUFFIX
    stream = (
        commands.Queue.Declare(queue=archive, passive=True)
        if retention is None
        else commands.Queue.Declare(
            queue=archive,
            durable=True,
            arguments={
                "x-queue-type": "stream",
                "x-max-age": f"{math.ceil(retention.max_age)}s",
                "x-max-length-bytes": retention.max_size,
                "x-stream-max-segment-size-bytes": _SEGMENT_SIZE,
            },
        )
    )
    return [
        stream,
        commands.Exchange.Declare(exchange=archive, exchange_type="fanout", durable=True),
        commands.Queue.Bind(queue=archive, exchange=archive, routing_key=""),
        commands.Exchange.Bind(destination=exchange, source=archive, routing_key=""),
    ]


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
        self._link: Link[PublishConnection] = Link("rabbitmq", self._connect)

    @property
    def trouble(self) -> str:
        """See :class:`gateway.publishers.Publisher`."""
        return self._link.current.trouble if self._link.current else self._link.trouble

    @property
    def was_ready(self) -> bool:
        """See :class:`gateway.publishers.Publisher`."""
        return self._link.was_connected

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
            return _fail(self._link.trouble)
        if message.exchange not in self._exchanges:
            # Spooled before the configuration changed. RabbitMQ would close the channel, on everybody.
            return _fail(f"this gateway does not publish to the exchange {message.exchange!r}")
        if self._archive and message.exchange == self._exchange:
            message = replace(message, exchange=self._exchange + ARCHIVE_SUFFIX)
        return self._link.current.publish(message)

    async def _connect(self) -> PublishConnection:
        declared = topology(self._exchange)
        if self._archive is None:
            return await connect(self._url, declared, self._timeout)
        try:
            return await self._connect_archiving(declared, self._archive)
        except BrokerRefusal as refusal:
            if not _is_other_retention(str(refusal)):
                raise
            log.warning(
                "the archive keeps its retention",
                cause=str(refusal),
                advice="a stream keeps what it was made with: set a policy for it, or delete it with its events",
            )
            return await self._connect_archiving(declared, None)

    async def _connect_archiving(
        self, declared: list[base.Frame], retention: Retention | None
    ) -> PublishConnection:
        # Any of this may be taken away unnoticed: what is in the archive is not returned, whatever else it misses.
        declared = [*declared, *archive_topology(self._exchange, retention)]
        return await connect(self._url, declared, self._timeout, declare_every=_DECLARE_EVERY)


def _is_other_retention(refusal: str) -> bool:
    """Whether there is a stream already, made to keep events longer or shorter; or something else of that name."""
    is_retention = any(f"inequivalent arg '{name}'" in refusal for name in _RETENTION_ARGUMENTS)
    return is_retention and "current is none" not in refusal


async def _fail(cause: str) -> None:
    raise PublishUnavailable(cause)
