"""The queues of the way out in RabbitMQ: quorum queues, of which each process has one connection.

AMQP has no way to list the bindings of a queue. So an exchange that routes nothing, `<queue>.events`, keeps in one of its
arguments the patterns that the queue was bound with last: the broker names them when somebody declares it with others.
Patterns that no endpoint wants any more are unbound then, also those of a process that ended long ago.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError
from aiormq.abc import DeliveredMessage
from pamqp import commands
from typing_extensions import override

from gateway.events.message import ROUTING_KEY_HEADER
from gateway.outbound.intake import (
    OUTBOUND_SUFFIX,
    PREFETCH,
    VIOLATIONS_HEADER,
    Arrival,
    Intake,
    needed_patterns,
)
from gateway.publishers import QUARANTINE_SUFFIX
from gateway.publishers.client_declaring import declare_over
from gateway.publishers.declaration import Part
from gateway.publishers.topology import loses_events, topology
from gateway.transport.amqp_client import DeclaringChannel, open_amqp, os_errors
from gateway.transport.amqp_errors import PRECONDITION_FAILED, BrokerRefusal
from gateway.transport.amqp_messages import copy_of
from gateway.transport.amqp_nodes import BrokerNodes

_CONNECT_TIMEOUT = 10.0
"""Seconds to connect, declare everything, and begin to consume."""

_CONFIRM_TIMEOUT = 10.0
"""Seconds to wait for a confirm."""

_CLOSE_TIMEOUT = 3.0
"""Seconds that the broker has to answer a close, so that one which hangs does not hold up a new connection."""

_KEPT = re.compile(r"but current is (?:the value )?'(?P<patterns>[^']*)'")
"""RabbitMQ's words for the argument of an exchange that exists with another one."""

log = structlog.get_logger()


@asynccontextmanager
async def open_rabbitmq_intake(nodes: BrokerNodes, exchange: str) -> AsyncIterator[Intake]:
    """Open the queue of the way out for one exchange; both are declared, with what belongs to them.

    Raises:
        OSError: The broker cannot be reached, or refuses.
    """
    with os_errors():
        async with asyncio.timeout(_CONNECT_TIMEOUT):
            connection = await open_amqp(nodes)
            try:
                await _declare(connection, nodes, exchange)
                incoming = await connection.channel(publisher_confirms=False)
                outgoing = await connection.channel(publisher_confirms=True, on_return_raises=True)
                intake = _RabbitIntake(connection, outgoing, exchange)
                for closing in (connection, incoming, outgoing):
                    closing.close_callbacks.add(lambda _, cause: intake.fail(cause))
                await intake.consume(incoming)
            except BaseException:
                await connection.close()
                raise
    try:
        yield intake
    finally:
        with suppress(AMQPError, OSError, RuntimeError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await connection.close()


async def _declare(connection: AbstractConnection, nodes: BrokerNodes, exchange: str) -> None:
    queue = Part(
        commands.Queue.Declare(
            queue=exchange + OUTBOUND_SUFFIX, durable=True, arguments={"x-queue-type": "quorum"}
        ),
        loses_events,
    )
    await declare_over(connection, [*topology(exchange), queue], nodes.user)


class _RabbitIntake(Intake):
    def __init__(self, connection: AbstractConnection, outgoing: AbstractChannel, exchange: str) -> None:
        self._connection = connection
        self._outgoing = outgoing
        self._exchange = exchange
        self._queue = exchange + OUTBOUND_SUFFIX
        self._arrived: asyncio.Queue[DeliveredMessage | None] = asyncio.Queue()
        self._failure: str | None = None

    async def consume(self, channel: AbstractChannel) -> None:
        """Begin to receive."""
        await channel.set_qos(prefetch_count=PREFETCH)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda *_: self.fail("the queue was deleted"))
        await underlay.basic_consume(self._queue, self._on_message)

    async def _on_message(self, message: DeliveredMessage) -> None:
        self._arrived.put_nowait(message)

    def fail(self, cause: object) -> None:
        """Have everybody who waits fail: what was received can no longer be acknowledged."""
        if self._failure is None:
            self._failure = str(cause or "connection closed")
            self._arrived.put_nowait(None)

    @override
    async def bind(self, patterns: Collection[str]) -> None:
        self._expect_open()
        needed = needed_patterns(patterns)
        with os_errors():
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                channel = DeclaringChannel(self._connection)
                for pattern in sorted(needed):
                    await channel.call(self._binding(pattern))
                for pattern in await self._replace_kept(channel, needed):
                    await channel.call(
                        commands.Queue.Unbind(queue=self._queue, exchange=self._exchange, routing_key=pattern)
                    )
                await channel.close()

    def _binding(self, pattern: str) -> commands.Queue.Bind:
        return commands.Queue.Bind(queue=self._queue, exchange=self._exchange, routing_key=pattern)

    async def _replace_kept(self, channel: DeclaringChannel, needed: frozenset[str]) -> frozenset[str]:
        """Keep the patterns at the broker; return those of before that are needed no more.

        The new ones are bound by then. If this process ends before the old ones are unbound, they stay, and cost a message
        that nobody wants: it is dropped.
        """
        keeper = f"{self._queue}.events"
        declaration = commands.Exchange.Declare(
            exchange=keeper,
            exchange_type="fanout",
            durable=True,
            internal=True,
            arguments={"alternate-exchange": " ".join(sorted(needed))},
        )
        try:
            await channel.call(declaration)
            return frozenset()
        except BrokerRefusal as refusal:
            if refusal.code != PRECONDITION_FAILED:
                log.info("broker differs from what is declared", server="rabbitmq", cause=str(refusal))
                return frozenset()
            found = _KEPT.search(str(refusal))
        with suppress(BrokerRefusal):
            await channel.call(commands.Exchange.Delete(exchange=keeper))
        with suppress(BrokerRefusal):  # another process has made it meanwhile
            await channel.call(declaration)
        return frozenset(found["patterns"].split()) - needed if found else frozenset()

    @override
    async def receive(self, limit: int) -> list[Arrival]:
        arrivals: list[Arrival] = []
        while not arrivals or (len(arrivals) < limit and not self._arrived.empty()):
            self._expect_open()
            message = await self._arrived.get()
            self._expect_open()
            assert message is not None  # noqa: S101 -- the failure has been raised
            headers = message.header.properties.headers or {}
            key = str(headers.get(ROUTING_KEY_HEADER) or message.routing_key or "")
            arrivals.append(Arrival(message.body, key, message))
        return arrivals

    @override
    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        self._expect_open()
        message = _message_of(arrivals[-1])
        assert message.delivery_tag is not None  # noqa: S101 -- it was delivered
        with os_errors():
            await message.channel.basic_ack(message.delivery_tag, multiple=True)

    @override
    async def quarantine(self, arrival: Arrival, violations: str) -> None:
        self._expect_open()
        exchange = self._exchange + QUARANTINE_SUFFIX
        message = aio_pika.IncomingMessage(_message_of(arrival))
        copy = copy_of(message, {**message.headers, VIOLATIONS_HEADER: violations})
        with os_errors():
            target = await self._outgoing.get_exchange(exchange, ensure=False)
            confirm = await target.publish(
                copy, arrival.routing_key, mandatory=True, timeout=_CONFIRM_TIMEOUT
            )
        if not isinstance(confirm, commands.Basic.Ack):
            raise ConnectionError(f"{exchange} did not confirm a message")

    def _expect_open(self) -> None:
        if self._failure is not None:
            raise ConnectionError(self._failure)


def _message_of(arrival: Arrival) -> DeliveredMessage:
    assert isinstance(arrival.tag, DeliveredMessage)  # noqa: S101 -- of this intake
    return arrival.tag
