"""A worker's queue in RabbitMQ.

``<queue>`` is a quorum queue, bound to the exchange of the events. A message that is tried again is published to
``<queue>.retry.<seconds>``, which gives it back after that time, and one that is dead to ``<queue>.dead``; both
with confirms, and only then it is acknowledged: a crash in between leaves two of it, never none, and the guard
handles one. There is a channel to consume and another to publish, for an error ends the channel that it is on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import DeliveredMessage
from pamqp import commands
from pamqp.common import FieldTable

from gateway.events.message import FORCE_HEADER, ROUTING_KEY_HEADER
from gateway.publishers import UNROUTED_SUFFIX
from gateway.publishers.declaration import Part, Settings, Unusable, declare, expect_write
from gateway.publishers.topology import breaks_routing, loses_events
from gateway.transport.amqp_client import DeclaringChannel, open_amqp
from gateway.transport.amqp_errors import PRECONDITION_FAILED
from gateway.transport.amqp_messages import RETURNS_HEADER, copy_of, returns_of
from gateway.transport.amqp_url import BrokerUrl
from gateway.transport.reconnect import ReconnectingConnection
from gateway.worker.backoff import Ladder
from gateway.worker.queue import (
    ATTEMPTS,
    DEAD_SUFFIX,
    FIRST_FAILED_AT,
    DeclarationChanged,
    Delivery,
    DeliveryLost,
    MessageHeaders,
)
from gateway.worker.worker import Worker

_CONNECT_WITHIN = 10.0
_CONFIRM_WITHIN = 10.0
_CLOSE_WITHIN = 3.0
_QUORUM: FieldTable = {"x-queue-type": "quorum"}
_SAFELY: FieldTable = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
"""Of a queue that hands its messages on to another: it lets go of one when the other has it."""

_OTHER_PATTERNS = "keeps other patterns"

log = structlog.get_logger()


class _Session:
    """A connection with its two channels; the messages that came by it can only be settled by it."""

    def __init__(
        self, connection: AbstractConnection, incoming: AbstractChannel, outgoing: AbstractChannel
    ) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.connection = connection
        self.incoming = incoming
        self.outgoing = outgoing
        self.consuming: tuple[UnderlayChannel, str] | None = None
        self._closing: asyncio.Task[None] | None = None

    def fail(self, cause: object = None) -> None:
        """End the connection, which cannot be used any more: the broker delivers again what was not settled."""
        if not self.lost.done():
            self.lost.set_exception(ConnectionError(str(cause or "connection closed")))
            self.lost.exception()  # retrieved: nobody may be waiting for it
            self._closing = asyncio.create_task(self._close(), name="closing a connection to rabbitmq")

    async def close(self) -> None:
        """See :class:`gateway.transport.reconnect.Connectable`."""
        self.fail()
        if self._closing:
            await self._closing

    async def _close(self) -> None:
        with suppress(AMQPError, OSError, RuntimeError, asyncio.CancelledError):
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self.connection.close()


class RabbitQueue:
    """The queue of ``worker`` at one broker.

    Args:
        url: ``amqp://`` or ``amqps://``.
        exchange: the exchange of the events.
        worker: whose queue it is.
    """

    def __init__(self, url: str, exchange: str, worker: Worker) -> None:
        self._url = url
        self._exchange = exchange
        self._worker = worker
        self._rungs = {
            seconds: f"{worker.queue}.retry.{seconds:g}"
            for seconds in Ladder(worker.retry_from, worker.retry_most).rungs
        }
        self._arrived: asyncio.Queue[Delivery | DeclarationChanged] = asyncio.Queue()
        self._link: ReconnectingConnection[_Session] = ReconnectingConnection("rabbitmq", self._connect)
        self._is_paused = False
        self._said: set[str] = set()

    async def check(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await (await self._open()).close()

    async def start(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await self._link.start()

    async def stop(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await self._link.stop()

    async def receive(self, limit: int) -> list[Delivery]:
        """See :class:`gateway.worker.queue.Queue`."""
        deliveries: list[Delivery] = []
        while not deliveries or (len(deliveries) < limit and not self._arrived.empty()):
            arrived = await self._arrived.get()
            if isinstance(arrived, DeclarationChanged):
                raise arrived
            if not arrived.tag[0].lost.done():  # else it is delivered again
                deliveries.append(arrived)
        return deliveries

    async def pause(self) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        self._is_paused = True
        session = self._link.current
        if session is None or session.consuming is None or self._worker.ordered_by:
            return
        channel, consumer = session.consuming
        try:
            await self._do(session, channel.basic_cancel(consumer))
            while not self._arrived.empty():
                arrived = self._arrived.get_nowait()
                if isinstance(arrived, Delivery):
                    await self.requeue(arrived)
        except DeliveryLost:
            pass  # all of it is given back by that

    async def acknowledge(self, delivery: Delivery) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        session, message = delivery.tag
        await self._do(session, message.channel.basic_ack(message.delivery_tag))

    async def requeue(self, delivery: Delivery) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        session, message = delivery.tag
        if self._worker.ordered_by:  # the end of the connection gives back all at once, in their order
            if not self._is_paused:
                session.fail("an event was handed back")
            return
        await self._do(session, message.channel.basic_reject(message.delivery_tag, requeue=True))

    async def delay(self, delivery: Delivery, seconds: float, headers: MessageHeaders) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await self._move(delivery, self._rungs[seconds], headers)

    async def dead_letter(self, delivery: Delivery, headers: MessageHeaders) -> None:
        """See :class:`gateway.worker.queue.Queue`."""
        await self._move(delivery, self._worker.queue + DEAD_SUFFIX, headers)

    async def _move(self, delivery: Delivery, queue: str, headers: MessageHeaders) -> None:
        session, message = delivery.tag
        publishing = session.outgoing.default_exchange.publish(
            _copy_of(message, {ROUTING_KEY_HEADER: delivery.routing_key, **headers}),
            queue,
            mandatory=True,
            timeout=_CONFIRM_WITHIN,
        )
        confirm = await self._do(session, publishing)
        if not isinstance(confirm, commands.Basic.Ack):
            session.fail("a message was not confirmed")
            raise DeliveryLost
        await self.acknowledge(delivery)

    async def _do(self, session: _Session, asked: Awaitable[Any]) -> Any:
        """The result of what was asked of the broker; without one the session ends, and another begins."""
        try:
            with _os_errors():
                return await asked
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
        """Return a connection on which everything is declared.

        Raises:
            OSError: there is none.
            DeclarationChanged: something is there already, and is otherwise.
        """
        with _os_errors():
            async with asyncio.timeout(_CONNECT_WITHIN):
                connection = await open_amqp(self._url)
                try:
                    incoming = await connection.channel(publisher_confirms=False)
                    outgoing = await connection.channel(publisher_confirms=True, on_return_raises=True)
                    await self._declare(DeclaringChannel(connection))
                except BaseException as error:
                    await connection.close()
                    if isinstance(error, Unusable) and error.code == PRECONDITION_FAILED:
                        raise DeclarationChanged(self._explain(str(error))) from None
                    raise
        session = _Session(connection, incoming, outgoing)
        for closing in (connection, incoming, outgoing):
            closing.close_callbacks.add(lambda _, cause: session.fail(cause))
        return session

    async def _declare(self, channel: DeclaringChannel) -> None:
        user = BrokerUrl.parse(self._url).user
        declared = await declare(channel, self._topology(), user)
        await expect_write(
            channel, [""], user
        )  # by which events are tried again, or go to the dead-letter queue
        await channel.close()
        for warning in declared.warnings:
            if warning not in self._said:
                self._said.add(warning)
                log.warning("broker differs from what is declared", server="rabbitmq", cause=warning)

    def _topology(self) -> list[Part]:
        queue, exchange = self._worker.queue, self._exchange
        settings: FieldTable = {**_QUORUM, **_SAFELY, **_to(queue + DEAD_SUFFIX)}
        if self._worker.ordered_by:
            settings["x-single-active-consumer"] = True
        delays = [
            Part(
                commands.Queue.Declare(
                    queue=rung,
                    durable=True,
                    arguments={
                        **_QUORUM,
                        **_SAFELY,
                        **_to(queue),
                        "x-message-ttl": round(seconds * 1000),
                    },
                ),
                self._breaks_a_delay,
            )
            for seconds, rung in self._rungs.items()
        ]
        bindings = [
            Part(commands.Queue.Bind(queue=queue, exchange=exchange, routing_key=pattern))
            for pattern in self._worker.events
        ]
        return [
            Part(
                commands.Exchange.Declare(
                    exchange=exchange,
                    exchange_type="topic",
                    durable=True,
                    arguments={"alternate-exchange": exchange + UNROUTED_SUFFIX},
                ),
                breaks_routing("topic"),
            ),
            # No client can ask for the bindings of a queue. This exchange routes nothing: the broker compares the one
            # argument that it compares, and so keeps the patterns that the queue was declared with.
            Part(
                commands.Exchange.Declare(
                    exchange=f"{queue}.events",
                    exchange_type="fanout",
                    durable=True,
                    internal=True,
                    arguments={"alternate-exchange": " ".join(sorted(self._worker.events))},
                ),
                self._breaks_the_patterns,
                "a change of the worker's events will not be noticed",
            ),
            Part(
                commands.Queue.Declare(queue=queue + DEAD_SUFFIX, durable=True, arguments={**_QUORUM}),
                loses_events,
            ),
            Part(
                commands.Queue.Declare(queue=queue, durable=True, arguments=settings), self._breaks_handling
            ),
            *delays,
            *bindings,
        ]

    def _breaks_the_patterns(self, settings: Settings) -> str:
        patterns = " ".join(sorted(self._worker.events))
        return "" if settings.get("alternate-exchange") == patterns else _OTHER_PATTERNS

    def _breaks_handling(self, settings: Settings) -> str:
        if settings.get("x-queue-type") != "quorum":
            return (
                "does not count deliveries, so that an event which ends its worker would come back for ever"
            )
        if self._worker.ordered_by and not settings.get("x-single-active-consumer"):
            return "has several consumers at a time, so that events are not handled in their order"
        return loses_events(settings)

    def _breaks_a_delay(self, settings: Settings) -> str:
        if settings.get("x-message-ttl") is None or settings.get("x-expires") is not None:
            return "never gives an event back"
        target = settings.get("x-dead-letter-exchange"), settings.get("x-dead-letter-routing-key")
        if target != ("", self._worker.queue):
            return f"does not give an event back to {self._worker.queue}"
        return loses_events(settings)

    def _explain(self, refusal: str) -> str:
        queue = self._worker.queue
        if _OTHER_PATTERNS in refusal:
            return (
                f"queue {queue} was declared for other events than {', '.join(self._worker.events)}; nothing was "
                f"changed. Unbind from it what it shall not get any more, delete the exchange {queue}.events and start "
                f"again, or give the worker another queue. RabbitMQ says: {refusal}"
            )
        return (
            f"what queue {queue} needs is there already and is otherwise; nothing was changed. Delete it when it is "
            f"empty and start again, or give the worker another queue. RabbitMQ says: {refusal}"
        )

    async def _consume(self, session: _Session) -> None:
        # Of aiormq, not of aio-pika, which makes each message anew and hands it on by a task of its own: that would be
        # a sixth of what it costs to handle one.
        async def arrive(message: DeliveredMessage) -> None:
            self._arrived.put_nowait(_delivery_of(session, message))

        def on_cancel(*_: object) -> None:
            session.fail("the queue was deleted")

        channel = session.incoming
        with _os_errors():
            async with asyncio.timeout(_CONNECT_WITHIN):
                await channel.set_qos(prefetch_count=self._worker.in_hand)
                underlay = await channel.get_underlay_channel()
                underlay.on_consumer_cancel_callbacks.add(on_cancel)
                consuming = await underlay.basic_consume(self._worker.queue, arrive)
                session.consuming = underlay, str(consuming.consumer_tag)


@contextmanager
def _os_errors() -> Iterator[None]:
    """Raise what aio-pika raises for a connection that is lost as the OSError that it is."""
    try:
        yield
    except (AMQPError, RuntimeError) as error:  # a closed channel is a RuntimeError to aiormq
        raise ConnectionError(str(error)) from error
    except asyncio.CancelledError as error:
        if asyncio.current_task().cancelling():  # type: ignore[union-attr]
            raise
        raise ConnectionError(
            "the connection broke off"
        ) from error  # aiormq cancels who waits for a silent broker


def _to(queue: str) -> FieldTable:
    """Arguments of a queue that gives what it lets go of to another."""
    return {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue}


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
    """The message as it was published, with these headers, and without those that RabbitMQ added on the way."""
    message = aio_pika.IncomingMessage(delivered)
    kept = {
        name: value
        for name, value in message.headers.items()
        if not name.startswith(("x-death", "x-first-death-", "x-last-death-", RETURNS_HEADER))
    }
    return copy_of(message, {**kept, **headers})
