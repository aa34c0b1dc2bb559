"""A worker's queue in RabbitMQ.

``<queue>`` is a quorum queue, bound to the exchange of the events. A message that is tried again is published to
``<queue>.retry.<seconds>``, which returns it after that time; a dead letter is published to ``<queue>.dead``. The
original is acknowledged only after the publication was confirmed: a crash in between leaves two copies, never none, and
only one of them is handled, because both have one lease.

The session has one channel for consuming and another for publishing, since an error closes the channel that it is on. Any
error ends the whole session: the broker then delivers again what was not settled, and a new session begins.

The module is long because connecting, receiving and settling share the session, and none of them works without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import DeliveredMessage
from pamqp import commands
from typing_extensions import override

from gateway.events.message import ATTEMPTS, FIRST_FAILED_AT, FORCE_HEADER, ROUTING_KEY_HEADER
from gateway.publishers.declaration import Unusable, declare, expect_write
from gateway.transport.amqp_client import DeclaringChannel, open_amqp, os_errors
from gateway.transport.amqp_errors import PRECONDITION_FAILED
from gateway.transport.amqp_messages import RETURNS_HEADER, copy_of, returns_of
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.reconnect import ReconnectingConnection
from gateway.worker.queue import DeclarationChanged, Delivery, DeliveryLost, MessageHeaders, Queue
from gateway.worker.topology import WorkerTopology
from gateway.worker.worker import Worker

_CONNECT_TIMEOUT = 10.0
"""Seconds to connect and declare everything, or to begin to consume."""

_CONFIRM_TIMEOUT = 10.0
"""Seconds to wait for a confirm. A quorum queue confirms in milliseconds unless it has lost its majority."""

_CLOSE_TIMEOUT = 3.0
"""Seconds that the broker has to answer a close, so that one which hangs does not hold up a reconnect."""

log = structlog.get_logger()


class _Session:
    """One connection with its two channels; only it can settle the messages it delivered."""

    def __init__(
        self, connection: AbstractConnection, incoming: AbstractChannel, outgoing: AbstractChannel
    ) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.connection = connection
        self.incoming = incoming
        self.outgoing = outgoing
        self.consumer: tuple[UnderlayChannel, str] | None = None
        self._closing: asyncio.Task[None] | None = None

    def fail(self, cause: object = None) -> None:
        """End the session: the broker delivers again what was not settled."""
        if not self.lost.done():
            self.lost.set_exception(ConnectionError(str(cause or "connection closed")))
            self.lost.exception()  # marks it as retrieved: asyncio would log it if nobody happens to wait
            self._closing = asyncio.create_task(self._close(), name="closing a connection to rabbitmq")

    async def close(self) -> None:
        """End the session, and wait until the connection is closed."""
        self.fail()
        if self._closing:
            await self._closing

    async def _close(self) -> None:
        # A connection that is broken already cannot be closed in good order, and does not need to be.
        with suppress(AMQPError, OSError, RuntimeError, asyncio.CancelledError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self.connection.close()


class RabbitQueue(Queue):
    """The queue of ``worker`` at a broker.

    Args:
        nodes: The broker, or the nodes of its cluster.
        exchange: The exchange of the events.
        worker: The declaration.

    Attributes:
        connection: The connection to the broker, for tests that cut it.
    """

    def __init__(self, nodes: BrokerNodes, exchange: str, worker: Worker) -> None:
        self._nodes = nodes
        self._worker = worker
        self._topology = WorkerTopology(worker, exchange, is_in_cluster=nodes.are_several)
        self._arrived: asyncio.Queue[Delivery | DeclarationChanged] = asyncio.Queue()
        self.connection: ReconnectingConnection[_Session] = ReconnectingConnection("rabbitmq", self._connect)
        self._is_paused = False
        self._warned: set[str] = set()

    @override
    async def check(self) -> None:
        await (await self._open()).close()

    @override
    async def start(self) -> None:
        await self.connection.start()

    @override
    async def stop(self) -> None:
        await self.connection.stop()

    @override
    async def receive(self, limit: int) -> list[Delivery]:
        deliveries: list[Delivery] = []
        while not deliveries or (len(deliveries) < limit and not self._arrived.empty()):
            arrived = await self._arrived.get()
            if isinstance(arrived, DeclarationChanged):
                raise arrived
            session, _ = arrived.tag
            if not session.lost.done():  # else the broker delivers it again, and this copy cannot be settled
                deliveries.append(arrived)
        return deliveries

    @override
    async def pause(self) -> None:
        self._is_paused = True
        session = self.connection.current
        # An ordered worker returns everything at once when its connection ends; see requeue().
        if session is None or session.consumer is None or self._worker.ordered_by:
            return
        channel, tag = session.consumer
        try:
            await self._ask(session, channel.basic_cancel(tag))
            while not self._arrived.empty():
                arrived = self._arrived.get_nowait()
                if isinstance(arrived, Delivery):
                    await self.requeue(arrived)
        except DeliveryLost:
            pass  # the session has ended, and that returns all of them

    @override
    async def acknowledge(self, delivery: Delivery) -> None:
        session, message = delivery.tag
        await self._ask(session, message.channel.basic_ack(message.delivery_tag))

    @override
    async def requeue(self, delivery: Delivery) -> None:
        session, message = delivery.tag
        if self._worker.ordered_by:
            # One by one they would change places: the end of the connection returns all at once, in their order.
            if not self._is_paused:
                session.fail("an event was requeued")
            return
        await self._ask(session, message.channel.basic_reject(message.delivery_tag, requeue=True))

    @override
    async def delay(self, delivery: Delivery, seconds: float, headers: MessageHeaders) -> None:
        await self._move(delivery, self._topology.delays[seconds], headers)

    @override
    async def dead_letter(self, delivery: Delivery, headers: MessageHeaders) -> None:
        await self._move(delivery, self._topology.dead, headers)

    async def _move(self, delivery: Delivery, queue: str, headers: MessageHeaders) -> None:
        """Publish a copy with ``headers`` to ``queue``; acknowledge the original once confirmed."""
        session, message = delivery.tag
        publishing = session.outgoing.default_exchange.publish(
            _copy_of(message, {ROUTING_KEY_HEADER: delivery.routing_key, **headers}),
            queue,
            mandatory=True,
            timeout=_CONFIRM_TIMEOUT,
        )
        confirm = await self._ask(session, publishing)
        if not isinstance(confirm, commands.Basic.Ack):
            session.fail("a message was not confirmed")
            raise DeliveryLost
        await self.acknowledge(delivery)

    async def _ask(self, session: _Session, request: Awaitable[Any]) -> Any:
        """Return the broker's reply to ``request``. Without one, end the session.

        Raises:
            DeliveryLost: There was no reply.
        """
        try:
            with os_errors():
                return await request
        except OSError as error:
            session.fail(error)
            raise DeliveryLost from error

    async def _connect(self) -> _Session:
        try:
            session = await self._open()
        except DeclarationChanged as error:
            self._arrived.put_nowait(error)
            raise ConnectionError(str(error)) from error
        try:
            if not self._is_paused:
                await self._consume(session)
        except BaseException:
            await session.close()
            raise
        return session

    async def _open(self) -> _Session:
        """Connect and declare everything.

        Raises:
            OSError: The broker cannot be reached.
            DeclarationChanged: Something exists already and differs from the worker's declaration.
        """
        with os_errors():
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                connection = await open_amqp(self._nodes)
                try:
                    incoming = await connection.channel(publisher_confirms=False)
                    outgoing = await connection.channel(publisher_confirms=True, on_return_raises=True)
                    await self._declare(DeclaringChannel(connection))
                except BaseException as error:
                    await connection.close()
                    if isinstance(error, Unusable) and error.code == PRECONDITION_FAILED:
                        raise DeclarationChanged(self._topology.explain(str(error))) from None
                    raise
        session = _Session(connection, incoming, outgoing)
        for closing in (connection, incoming, outgoing):
            closing.close_callbacks.add(lambda _, cause: session.fail(cause))
        return session

    async def _declare(self, channel: DeclaringChannel) -> None:
        user = self._nodes.user
        declared = await declare(channel, self._topology.parts(), user)
        # The default exchange, through which events reach the delay queues and the dead-letter queue.
        await expect_write(channel, [""], user)
        await channel.close()
        for warning in declared.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                log.warning("broker differs from what is declared", server="rabbitmq", cause=warning)

    async def _consume(self, session: _Session) -> None:
        # With aiormq rather than aio-pika, which builds a second message object and starts a task for each delivery:
        # a sixth of the cost of handling one.
        async def on_message(message: DeliveredMessage) -> None:
            self._arrived.put_nowait(_delivery_of(session, message))

        def on_cancel(*_: object) -> None:
            session.fail("the queue was deleted")

        channel = session.incoming
        with os_errors():
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                await channel.set_qos(prefetch_count=self._worker.prefetch)
                underlay = await channel.get_underlay_channel()
                underlay.on_consumer_cancel_callbacks.add(on_cancel)
                consumer = await underlay.basic_consume(self._worker.queue, on_message)
                session.consumer = underlay, str(consumer.consumer_tag)


def _delivery_of(session: _Session, message: DeliveredMessage) -> Delivery:
    headers = message.header.properties.headers or {}
    attempts = headers.get(ATTEMPTS)
    return Delivery(
        message.body,
        str(headers.get(ROUTING_KEY_HEADER) or message.routing_key or ""),
        attempts if isinstance(attempts, int) else 0,
        str(headers.get(FIRST_FAILED_AT) or ""),
        str(headers.get(FORCE_HEADER) or ""),
        returns_of(headers),
        (session, message),
    )


def _copy_of(delivered: DeliveredMessage, headers: MessageHeaders) -> aio_pika.Message:
    """Return the message as published, with ``headers`` and without those RabbitMQ added."""
    message = aio_pika.IncomingMessage(delivered)
    kept = {
        name: value
        for name, value in message.headers.items()
        if not name.startswith(("x-death", "x-first-death-", "x-last-death-", RETURNS_HEADER))
    }
    return copy_of(message, {**kept, **headers})
