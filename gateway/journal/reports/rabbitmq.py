"""The queue of reports in RabbitMQ: a classic queue, to which reports are published without confirms.

The connection is its own. RabbitMQ stops reading from a connection that publishes when it runs short of memory or disk;
on a worker's connection this would also hold up the acknowledgements of events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPError
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp import commands
from typing_extensions import override

from gateway.journal.reports import (
    MAX_REPORT_AGE,
    MAX_REPORTS,
    MAX_WAITING_SIZE,
    REPORTS_SUFFIX,
    Carrier,
    ReceivedReport,
    ReportSource,
    decode_report,
)
from gateway.publishers.client_declaring import declare_over
from gateway.publishers.declaration import Part
from gateway.publishers.topology import breaks_routing
from gateway.transport.amqp_client import open_amqp, os_errors
from gateway.transport.amqp_nodes import BrokerNodes

_CONNECT_TIMEOUT = 10.0
"""Seconds to connect, declare everything, and begin to consume."""

_SEND_TIMEOUT = 5.0
"""Seconds to send a report. A broker that is short of memory does not read it."""

_CLOSE_TIMEOUT = 1.0
"""Seconds for the broker to answer a close, so that one which hangs does not hold up the end of a worker."""

_PREFETCH = 20
"""Reports that a reader holds at most."""


def reports_topology(exchange: str) -> list[Part]:
    """Return the exchange and the queue of reports.

    RabbitMQ 4.3 and later refuse transient queues that are not exclusive, so the queue is durable. Its messages are not.
    """
    name = exchange + REPORTS_SUFFIX
    return [
        Part(
            commands.Exchange.Declare(exchange=name, exchange_type="fanout", durable=True),
            breaks_routing("fanout"),
        ),
        Part(
            commands.Queue.Declare(
                queue=name,
                durable=True,
                arguments={
                    "x-queue-type": "classic",
                    "x-max-length": MAX_REPORTS,
                    "x-max-length-bytes": MAX_WAITING_SIZE,
                    "x-overflow": "drop-head",
                    "x-message-ttl": int(MAX_REPORT_AGE * 1000),
                },
            )
        ),
        Part(
            commands.Queue.Bind(queue=name, exchange=name, routing_key=""),
            without="without it the journal does not learn what workers did",
        ),
    ]


class RabbitCarrier(Carrier):
    """Publishes reports to a broker, by the exchange of the events ``exchange``."""

    def __init__(self, nodes: BrokerNodes, exchange: str) -> None:
        self._nodes = nodes
        self._exchange = exchange
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    @override
    async def start(self) -> None:
        pass  # connected with the first report

    @override
    async def send(self, body: bytes) -> None:
        try:
            if self._channel is None or self._channel.is_closed:
                await self._connect()
            assert self._channel is not None  # noqa: S101 -- set by what is above
            with os_errors():
                async with asyncio.timeout(_SEND_TIMEOUT):
                    await self._channel.basic_publish(
                        body,
                        exchange=self._exchange + REPORTS_SUFFIX,
                        properties=commands.Basic.Properties(
                            content_type="application/json", app_id="webhook-gateway"
                        ),
                    )
        except BaseException:
            await self._close()
            raise

    @override
    async def stop(self) -> None:
        await self._close()

    async def _connect(self) -> None:
        await self._close()
        with os_errors():
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                self._connection = await open_amqp(self._nodes)
                await declare_over(self._connection, reports_topology(self._exchange), self._nodes.user)
                channel = await self._connection.channel(publisher_confirms=False)
                self._channel = await channel.get_underlay_channel()

    async def _close(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            with suppress(AMQPError, OSError, RuntimeError, asyncio.CancelledError):
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    await connection.close()


@asynccontextmanager
async def open_rabbitmq_reports(nodes: BrokerNodes, exchange: str) -> AsyncIterator[ReportSource]:
    """Open a reader of the reports at a broker.

    Raises:
        OSError: The broker cannot be reached, or refuses.
    """
    with os_errors():
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            connection = await open_amqp(nodes)
            source = _RabbitSource()
            try:
                await declare_over(connection, reports_topology(exchange), nodes.user)
                channel = await connection.channel(publisher_confirms=False)
                await channel.set_qos(prefetch_count=_PREFETCH)
                underlay = await channel.get_underlay_channel()
                for closing in (connection, channel):
                    closing.close_callbacks.add(lambda _, cause: source.fail(cause))
                underlay.on_consumer_cancel_callbacks.add(lambda *_: source.fail("the queue was deleted"))
                await underlay.basic_consume(exchange + REPORTS_SUFFIX, source.on_message)
            except BaseException:
                await connection.close()
                raise
    try:
        yield source
    finally:
        with suppress(AMQPError, OSError, RuntimeError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await connection.close()


class _RabbitSource(ReportSource):
    def __init__(self) -> None:
        self._arrived: asyncio.Queue[DeliveredMessage | None] = asyncio.Queue()
        self._failure: str | None = None

    async def on_message(self, message: DeliveredMessage) -> None:
        self._arrived.put_nowait(message)

    def fail(self, cause: object) -> None:
        """Have readers fail: what was received can no longer be acknowledged."""
        if self._failure is None:
            self._failure = str(cause or "connection closed")
            self._arrived.put_nowait(None)

    @override
    async def receive(self, wait: float) -> ReceivedReport | None:
        self._expect_open()
        try:
            message = self._arrived.get_nowait()
        except asyncio.QueueEmpty:
            try:
                async with asyncio.timeout(wait):
                    message = await self._arrived.get()
            except TimeoutError:
                return None
        self._expect_open()
        assert message is not None  # noqa: S101 -- the failure has been raised
        return ReceivedReport(decode_report(message.body), message)

    @override
    async def acknowledge(self, received: ReceivedReport) -> None:
        self._expect_open()
        message = received.tag
        assert isinstance(message, DeliveredMessage)  # noqa: S101 -- of this source
        assert message.delivery_tag is not None  # noqa: S101 -- it was delivered
        with os_errors():
            await message.channel.basic_ack(message.delivery_tag)

    def _expect_open(self) -> None:
        if self._failure is not None:
            raise ConnectionError(self._failure)
