"""Dead letters in RabbitMQ.

A quorum queue shows its messages only to a consumer. So all messages are consumed without an acknowledgement, and
returned at the end, in order. Experiments have shown what that costs:

- RabbitMQ counts each return towards the queue's delivery limit, beyond which it drops the message: 20 since RabbitMQ 4,
  less if a policy says so. It counts for basic.get, basic.nack and a closed channel alike; from 4.3 on, basic.nack
  does not count. An event that was returned twice is therefore published to the end of its queue anew, which starts a
  new count, and acknowledged only after that.
- A returned message goes behind the messages that were returned before, and before all others. Only a queue
  that is browsed to its end keeps its order.
- A consumer that is still subscribed gets returned messages at once, again and again. It has to be cancelled first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, ChannelNotFoundEntity
from typing_extensions import override

from gateway.errors import OperatorError, QueueNotFound
from gateway.events.message import ROUTING_KEY_HEADER
from gateway.queues.dead_letters import DeadLetter, DeadLetterQueue
from gateway.transport.amqp_client import open_amqp
from gateway.transport.amqp_messages import RETURNS_HEADER, copy_of, returns_of
from gateway.transport.amqp_nodes import BrokerNodes

BATCH_SIZE = 500
"""Messages that are consumed at a time, each batch on a channel of its own. It bounds the memory."""

_MAX_RETURNS = 2
"""Returns of a message after which it is published anew, far below every delivery limit in use."""

_IDLE_TIMEOUT = 5.0
"""Seconds without a message after which the remaining ones must be with another consumer."""

_CONFIRM_TIMEOUT = 10.0
"""Seconds to wait for a publisher confirm."""

_RETURN_TIMEOUT = 5.0
"""Seconds to wait until the queue counts the returned messages again."""

_POLL_DELAY = 0.02
"""Seconds between two looks at that count."""


class RabbitDeadLetterQueue(DeadLetterQueue):
    """A queue of dead letters in RabbitMQ.

    Args:
        connection: The connection on which messages are consumed.
        publisher: A channel with publisher confirms on which messages are published anew.
        queue: The name of the queue.
        size: The number of messages that are ready in it now.
    """

    def __init__(
        self, connection: AbstractConnection, publisher: AbstractChannel, queue: str, size: int
    ) -> None:
        self.size = size
        self._connection = connection
        self._publisher = publisher
        self._queue = queue
        self._channels: list[AbstractChannel] = []
        self._expected_size = 0  # messages that the queue has after requeue()

    @override
    async def browse(self) -> AsyncIterator[DeadLetter]:
        left = self.size
        while left > 0:
            messages = await self._consume(min(left, BATCH_SIZE))
            if not messages:
                return
            left -= len(messages)
            for message in messages:
                headers = dict(message.headers)
                routing_key = str(headers.get(ROUTING_KEY_HEADER) or message.routing_key or "")
                yield DeadLetter(message, routing_key, message.message_id or "", headers, message.body)
                if not message.processed and returns_of(message.headers) >= _MAX_RETURNS:
                    await self._republish(message, headers, self._queue)
                    self._expected_size += 1

    async def _consume(self, count: int) -> list[AbstractIncomingMessage]:
        channel = await self._connection.channel()
        self._channels.append(channel)
        await channel.set_qos(prefetch_count=count)
        queue = await channel.get_queue(self._queue, ensure=False)
        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        tag = await queue.consume(arrived.put)
        messages: list[AbstractIncomingMessage] = []
        with suppress(TimeoutError):
            while len(messages) < count:
                messages.append(await asyncio.wait_for(arrived.get(), _IDLE_TIMEOUT))
        await queue.cancel(tag)
        self._expected_size += len(messages)
        return messages

    @override
    async def move(self, letter: DeadLetter, queue: str) -> None:
        await self._republish(letter.handle, letter.headers_without_failure(), queue)

    @override
    async def drop(self, letter: DeadLetter) -> None:
        await self._acknowledge(letter.handle)

    async def _republish(
        self, message: AbstractIncomingMessage, headers: dict[str, aio_pika.abc.FieldValue], queue: str
    ) -> None:
        headers.pop(RETURNS_HEADER, None)
        if message.routing_key != self._queue:
            # The default exchange routes by the name of the queue: the original routing key needs a header.
            headers.setdefault(ROUTING_KEY_HEADER, message.routing_key)
        await self._publisher.default_exchange.publish(
            copy_of(message, headers), queue, timeout=_CONFIRM_TIMEOUT
        )
        await self._acknowledge(message)

    async def _acknowledge(self, message: AbstractIncomingMessage) -> None:
        await message.ack()
        self._expected_size -= 1

    async def requeue(self) -> None:
        """Return all messages that were not taken out, and wait until the queue counts them again.

        Channels are closed one after another, which keeps the order.
        """
        for channel in self._channels:
            await (await channel.get_underlay_channel()).basic_nack(0, multiple=True)  # 0: all of them
            await channel.close()
        # nack is asynchronous: without this wait, a command that follows would miss some of the events.
        with suppress(TimeoutError):
            async with asyncio.timeout(_RETURN_TIMEOUT):
                while await _size_of(self._publisher, self._queue) < self._expected_size:
                    await asyncio.sleep(_POLL_DELAY)


@asynccontextmanager
async def open_rabbitmq_queue(
    nodes: BrokerNodes, queue: str, target: str | None
) -> AsyncIterator[RabbitDeadLetterQueue]:
    """Open ``queue`` at a broker; events may be moved from it to ``target``.

    Raises:
        QueueNotFound: A queue does not exist.
        OperatorError: The broker cannot be reached, now or later.
    """
    try:
        async with await open_amqp(nodes) as connection:
            publisher = await connection.channel(on_return_raises=True)
            dead_letters = RabbitDeadLetterQueue(
                connection, publisher, queue, await _size_of(publisher, queue)
            )
            if target is not None:
                await _size_of(publisher, target)
            try:
                yield dead_letters
            except (AMQPError, OSError):
                # A channel that the broker has closed has returned its messages already; the first error is the cause.
                with suppress(AMQPError, ChannelInvalidStateError, OSError):
                    await dead_letters.requeue()
                raise
            except BaseException:
                await dead_letters.requeue()
                raise
            else:
                await dead_letters.requeue()
    except (AMQPError, ChannelInvalidStateError, OSError) as error:  # TimeoutError is an OSError
        raise OperatorError(
            f"RabbitMQ: {str(error) or type(error).__name__}; nothing is lost, and what was not done waits in {queue}"
        ) from error


async def _size_of(channel: AbstractChannel, queue: str) -> int:
    """Return the number of messages that are ready in ``queue``.

    Raises:
        QueueNotFound: The queue does not exist.
    """
    try:
        declared = await channel.declare_queue(queue, passive=True)
    except ChannelNotFoundEntity:
        raise QueueNotFound(queue) from None
    return declared.declaration_result.message_count or 0
