"""Holding queues of RabbitMQ.

A quorum queue can only be looked into by consuming. So all that is in it is consumed without an acknowledgement, and
handed back at the end, in order. What that costs was found out by trying:

- RabbitMQ counts each return towards the queue's delivery limit, beyond which it drops the event: 20 since RabbitMQ 4,
  less where a policy says so. It does so for basic.get, basic.nack and a channel that is closed alike, but for
  basic.nack from 4.3 on. An event that was returned twice is therefore published to the end of its queue anew, which
  begins a new count, and only then acknowledged.
- What is returned goes behind what was returned before, and before what never was. Only a queue that is browsed
  to its end keeps its order.
- A consumer that is still there gets what is returned at once, again and again. It has to be cancelled first.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, ChannelNotFoundEntity

from gateway.errors import OperatorError
from gateway.events.message import ROUTING_KEY_HEADER
from gateway.queues.dead_letters.letter import DeadLetter
from gateway.transport.amqp_client import open_amqp
from gateway.transport.amqp_messages import RETURNS_HEADER, copy_of, returns_of

_AT_ONCE = 500
"""Messages that are consumed at a time, which is how many are in memory, on a channel of their own."""

_MOST_RETURNS = 2
_PATIENCE = 5.0  # seconds without a message, after which another consumer must have the rest
_CONFIRM_TIMEOUT = 10.0
_POLL_EVERY = 0.02


class RabbitHolding:
    """See :class:`gateway.queues.dead_letters.DeadLetterQueue`."""

    def __init__(
        self, connection: AbstractConnection, publisher: AbstractChannel, queue: str, size: int
    ) -> None:
        self.size = size
        self._connection = connection
        self._publisher = publisher
        self._queue = queue
        self._channels: list[AbstractChannel] = []
        self._to_be_there = 0

    async def browse(self) -> AsyncIterator[DeadLetter]:
        """See :class:`gateway.queues.dead_letters.DeadLetterQueue`."""
        left = self.size
        while left > 0:
            messages = await self._take(min(left, _AT_ONCE))
            if not messages:
                return
            left -= len(messages)
            for message in messages:
                headers = dict(message.headers)
                routing_key = str(headers.get(ROUTING_KEY_HEADER) or message.routing_key or "")
                yield DeadLetter(message, routing_key, message.message_id or "", headers, message.body)
                if not message.processed and returns_of(message.headers) >= _MOST_RETURNS:
                    await self._publish(message, headers, self._queue)
                    self._to_be_there += 1

    async def _take(self, count: int) -> list[AbstractIncomingMessage]:
        channel = await self._connection.channel()
        self._channels.append(channel)
        await channel.set_qos(prefetch_count=count)
        queue = await channel.get_queue(self._queue, ensure=False)
        arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        tag = await queue.consume(arrived.put)
        messages: list[AbstractIncomingMessage] = []
        with suppress(TimeoutError):
            while len(messages) < count:
                messages.append(await asyncio.wait_for(arrived.get(), _PATIENCE))
        await queue.cancel(tag)
        self._to_be_there += len(messages)
        return messages

    async def move(self, held: DeadLetter, queue: str) -> None:
        """See :class:`gateway.queues.dead_letters.DeadLetterQueue`."""
        await self._publish(held.handle, held.lasting_headers(), queue)

    async def drop(self, held: DeadLetter) -> None:
        """See :class:`gateway.queues.dead_letters.DeadLetterQueue`."""
        await self._acknowledge(held.handle)

    async def _publish(
        self, message: AbstractIncomingMessage, headers: dict[str, aio_pika.abc.FieldValue], queue: str
    ) -> None:
        headers.pop(RETURNS_HEADER, None)
        if message.routing_key != self._queue:  # the default exchange needs the name of the queue there
            headers.setdefault(ROUTING_KEY_HEADER, message.routing_key)
        await self._publisher.default_exchange.publish(
            copy_of(message, headers), queue, timeout=_CONFIRM_TIMEOUT
        )
        await self._acknowledge(message)

    async def _acknowledge(self, message: AbstractIncomingMessage) -> None:
        await message.ack()
        self._to_be_there -= 1

    async def requeue(self) -> None:
        """Return what was not taken out. One channel after the other, for their order to be kept."""
        for channel in self._channels:
            await (await channel.get_underlay_channel()).basic_nack(0, multiple=True)  # 0: all of them
            await channel.close()
        # That is done in its own time, and who counts the events meanwhile would go without some of them.
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while await _count(self._publisher, self._queue) < self._to_be_there:
                    await asyncio.sleep(_POLL_EVERY)


@asynccontextmanager
async def hold_messages(url: str, queue: str, target: str | None) -> AsyncIterator[RabbitHolding]:
    """See :func:`gateway.queues.dead_letters.open_holding`."""
    try:
        async with await open_amqp(url) as connection:
            publisher = await connection.channel(on_return_raises=True)
            holding = RabbitHolding(connection, publisher, queue, await _count(publisher, queue))
            if target is not None:
                await _count(publisher, target)
            try:
                yield holding
            except (AMQPError, OSError):
                with suppress(AMQPError, ChannelInvalidStateError, OSError):
                    await holding.requeue()  # a channel that is closed has given its messages back by that
                raise
            except BaseException:
                await holding.requeue()
                raise
            else:
                await holding.requeue()
    except (AMQPError, ChannelInvalidStateError, OSError) as error:  # a timeout is an OSError, too
        raise OperatorError(
            f"RabbitMQ: {str(error) or type(error).__name__}; nothing is lost, and what was not done waits in {queue}"
        ) from error


async def _count(channel: AbstractChannel, queue: str) -> int:
    """How many events are in ``queue``.

    Raises:
        OperatorError: there is no such queue.
    """
    try:
        declared = await channel.declare_queue(queue, passive=True)
    except ChannelNotFoundEntity:
        raise OperatorError(f"there is no queue {queue}") from None
    return declared.declaration_result.message_count or 0
