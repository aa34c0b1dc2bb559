"""The archive in RabbitMQ: a stream, read with aio-pika.

A stream reports neither its length nor its end. So two consumers on one channel find the end: one consumes from the
position in question, the other, a witness, from the last chunk, which is there unless the stream is empty. The broker
serves consumers of one channel in their order. If the witness gets a message and the first consumer has none, there is
nothing at that position or after it. If events keep arriving, reading ends at the first event that arrived after
reading began.

The module has slightly more than 200 lines because reading a stream to its end is one protocol of two consumers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity
from msgspec.structs import replace
from typing_extensions import override

from gateway.events.message import ROUTING_KEY_HEADER, Message
from gateway.publishers import PublishUnavailable
from gateway.publishers.amqp_connect import connect
from gateway.publishers.amqp_connection import PublishConnection
from gateway.queues.archive import Archive, Archived, NotThere
from gateway.transport.amqp_client import open_amqp
from gateway.transport.amqp_nodes import BrokerNodes

_MAX_CLOCK_SKEW = 300.0
"""Seconds by which the broker's clock may be behind those of the gateways: reading starts so much earlier."""

_PREFETCH_COUNT = 200
"""Messages that the broker sends ahead of the acknowledgements."""

_ACKNOWLEDGE_EVERY = 50
"""Messages that are acknowledged together: well below the prefetch count, so that the broker never has to wait."""

_IDLE_TIMEOUT = 0.2
"""Seconds without a message after which the stream is asked whether there are more."""

_EMPTY_TIMEOUT = 5.0
"""Seconds without any message, not even from the last chunk, after which a stream counts as empty."""

_OVERTAKING_TIMEOUT = 1.0
"""Seconds that the broker may need to find the start in a stream, after it has sent the last chunk."""

_MESSAGE_TIMEOUT = 30.0
"""Seconds to wait for a message that the stream has."""

_CONFIRM_TIMEOUT = 30.0
"""Seconds to wait for the confirm of a delivered event."""

_Offset = str | int | datetime
_Messages = asyncio.Queue[AbstractIncomingMessage | None]


class ArchiveStream(Archive):
    """The archive in a stream.

    Args:
        nodes: The broker, or the nodes of its cluster.
        stream: The name of the stream.
        connection: The connection on which the stream is read.
    """

    def __init__(self, nodes: BrokerNodes, stream: str, connection: AbstractConnection) -> None:
        self.last = 0
        self._nodes = nodes
        self._stream = stream
        self._connection = connection
        self._publishing: PublishConnection | None = None

    @override
    async def read(self, since: float) -> AsyncGenerator[Archived, None]:
        start = datetime.fromtimestamp(max(0.0, since - _MAX_CLOCK_SKEW), UTC)
        last = await self._last_chunk_if_any_from(start)
        if last is None:
            return
        self.last, place, taken, time_left = last, -1, 0, _MESSAGE_TIMEOUT
        messages, new = _Messages(), _Messages()
        async with self._connection.channel() as channel, self._connection.channel() as beside:
            await beside.set_qos(prefetch_count=1)
            await self._consume(beside, new, "next")
            await channel.set_qos(prefetch_count=_PREFETCH_COUNT)
            await self._consume(channel, messages, start)
            end: int | None = None
            while True:
                try:
                    message = await _next(messages, _IDLE_TIMEOUT)
                except TimeoutError:
                    if place >= 0 and await self._last_chunk_if_any_from(place + 1) is None:
                        return
                    time_left -= _IDLE_TIMEOUT
                    if time_left < 0:
                        raise ConnectionError(
                            f"{self._stream} has more events and does not send them"
                        ) from None
                    continue
                place, taken, time_left = _offset_of(message), taken + 1, _MESSAGE_TIMEOUT
                if end is None and not new.empty():
                    end = _offset_of(await _next(new, _MESSAGE_TIMEOUT))
                if end is not None and place >= end:
                    return
                if taken % _ACKNOWLEDGE_EVERY == 0:
                    await message.ack(multiple=True)
                yield Archived(place, _to_message(message))

    @override
    async def open_queue(self, queue: str) -> None:
        if queue == self._stream:
            raise NotThere(f"{queue!r} is the archive itself")
        try:
            async with self._connection.channel() as channel:
                await channel.get_queue(queue)
        except ChannelNotFoundEntity:
            raise NotThere(f"there is no queue {queue!r}; its worker makes it") from None
        self._publishing = await self._nodes.connect(
            partial(
                connect,
                topology=[],
                timeout=_CONFIRM_TIMEOUT,
                targets=[""],
                timeouts=self._nodes.timeouts,
            )
        )

    @override
    async def deliver(self, queue: str, message: Message) -> None:
        assert self._publishing  # noqa: S101 -- open_queue was called
        # The default exchange routes by the name of the queue: the original routing key needs a header.
        headers = {**message.headers, ROUTING_KEY_HEADER: message.routing_key}
        try:
            await self._publishing.publish(replace(message, exchange="", routing_key=queue, headers=headers))
        except PublishUnavailable as error:
            raise ConnectionError(f"{queue} did not take an event: {error}") from error

    async def close(self) -> None:
        """Close the connection for deliveries."""
        if self._publishing:
            await self._publishing.close()

    async def _last_chunk_if_any_from(self, start: _Offset) -> int | None:
        """Return the first offset of the last chunk; None if no event is at ``start`` or after it."""
        async with self._connection.channel() as channel:
            await channel.set_qos(prefetch_count=1)
            messages = _Messages()
            sought = await self._consume(channel, messages, start)
            await self._consume(channel, messages, "last")
            last: AbstractIncomingMessage | None = None
            try:
                message = await _next(messages, _EMPTY_TIMEOUT)
                while message.consumer_tag != sought:  # the last chunk was faster, or nothing else comes
                    last = message
                    message = await _next(messages, _OVERTAKING_TIMEOUT)
            except TimeoutError:
                return None
            while last is None:
                message = await _next(messages, _MESSAGE_TIMEOUT)
                last = message if message.consumer_tag != sought else None
            return _offset_of(last)

    async def _consume(self, channel: AbstractChannel, messages: _Messages, start: _Offset) -> str:
        async def take(message: AbstractIncomingMessage) -> None:
            messages.put_nowait(message)

        channel.close_callbacks.add(lambda *_: messages.put_nowait(None))
        queue = await channel.get_queue(self._stream, ensure=False)
        return await queue.consume(take, arguments={"x-stream-offset": start})


async def _next(messages: _Messages, seconds: float) -> AbstractIncomingMessage:
    async with asyncio.timeout(seconds):
        message = await messages.get()
    if message is None:
        raise ConnectionError("the connection to RabbitMQ was lost")
    return message


def _offset_of(message: AbstractIncomingMessage) -> int:
    offset = message.headers["x-stream-offset"]
    assert isinstance(offset, int)  # noqa: S101 -- every message of a stream has one
    return offset


def _to_message(message: AbstractIncomingMessage) -> Message:
    headers = {name: value for name, value in message.headers.items() if isinstance(value, str)}
    return Message(
        message.exchange or "",
        message.routing_key or "",
        message.message_id or "",
        message.type or "",
        headers,
        message.body,
    )


@asynccontextmanager
async def open_stream(nodes: BrokerNodes, stream: str) -> AsyncIterator[ArchiveStream]:
    """Open the archive in ``stream`` at a broker.

    Raises:
        NotThere: The stream does not exist.
        OSError: The broker cannot be reached, or fails later.
    """
    try:
        async with await open_amqp(nodes) as connection:
            try:
                async with connection.channel() as channel:
                    await channel.get_queue(stream)
            except ChannelNotFoundEntity as error:
                raise NotThere(f"there is no archive: {error}") from error
            archive = ArchiveStream(nodes, stream, connection)
            try:
                yield archive
            finally:
                await archive.close()
    except AMQPError as error:
        raise ConnectionError(str(error)) from error
