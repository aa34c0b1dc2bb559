"""The archive in RabbitMQ: a stream, read with aio-pika.

A stream tells neither how many events it has nor that there are no more of them. So we ask with two consumers on
one channel: one for what we look for, and a witness for the last chunk, which is always there. The broker serves
them in their order: when the witness has come and the other has not, there is nothing more. Where events keep coming,
the first that came after we began tells where to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity

from gateway.events.message import ROUTING_KEY_HEADER, Message
from gateway.publishers import PublishUnavailable
from gateway.publishers.amqp_connect import connect
from gateway.publishers.amqp_connection import PublishConnection
from gateway.queues.archive import Archived, NotThere
from gateway.transport.amqp_client import open_amqp

_CLOCKS_DIFFER = 300.0  # seconds, by which that of the broker may be behind those of the gateways
_PREFETCH = 200
_ACKNOWLEDGE_EVERY = 50
_QUIET = 0.2  # seconds, after which we ask whether there is more
_EMPTY_AFTER = 5.0
_PATIENCE = 30.0

_Place = str | int | datetime
_Messages = asyncio.Queue[AbstractIncomingMessage | None]


class ArchiveStream:
    """See :class:`gateway.queues.archive.Archive`.

    Args:
        url: of the broker.
        stream: its name.
        connection: to read by.
    """

    def __init__(self, url: str, stream: str, connection: AbstractConnection) -> None:
        self.last = 0
        self._url = url
        self._stream = stream
        self._connection = connection
        self._publishing: PublishConnection | None = None

    async def read(self, since: float) -> AsyncGenerator[Archived, None]:
        """See :class:`gateway.queues.archive.Archive`."""
        start = datetime.fromtimestamp(max(0.0, since - _CLOCKS_DIFFER), UTC)
        last = await self._last_if_any_from(start)
        if last is None:
            return
        self.last, place, taken, patience = last, -1, 0, _PATIENCE
        messages, new = _Messages(), _Messages()
        async with self._connection.channel() as channel, self._connection.channel() as beside:
            await beside.set_qos(prefetch_count=1)
            await self._consume(beside, new, "next")
            await channel.set_qos(prefetch_count=_PREFETCH)
            await self._consume(channel, messages, start)
            end: int | None = None
            while True:
                try:
                    message = await _next(messages, _QUIET)
                except TimeoutError:
                    if place >= 0 and await self._last_if_any_from(place + 1) is None:
                        return
                    patience -= _QUIET
                    if patience < 0:
                        raise ConnectionError(
                            f"{self._stream} has more events and does not send them"
                        ) from None
                    continue
                place, taken, patience = _place_of(message), taken + 1, _PATIENCE
                if end is None and not new.empty():
                    end = _place_of(await _next(new, _PATIENCE))
                if end is not None and place >= end:
                    return
                if taken % _ACKNOWLEDGE_EVERY == 0:
                    await message.ack(multiple=True)
                yield Archived(place, _read(message))

    async def open_queue(self, queue: str) -> None:
        """See :class:`gateway.queues.archive.Archive`."""
        if queue == self._stream:
            raise NotThere(f"{queue!r} is the archive itself")
        try:
            async with self._connection.channel() as channel:
                await channel.get_queue(queue)
        except ChannelNotFoundEntity:
            raise NotThere(f"there is no queue {queue!r}; its worker makes it") from None
        self._publishing = await connect(self._url, [], _PATIENCE, targets=[""])

    async def deliver(self, queue: str, message: Message) -> None:
        """See :class:`gateway.queues.archive.Archive`; through the default exchange, whose routing key is the queue."""
        assert self._publishing  # noqa: S101 -- open_queue was called
        headers = {**message.headers, ROUTING_KEY_HEADER: message.routing_key}
        try:
            await self._publishing.publish(replace(message, exchange="", routing_key=queue, headers=headers))
        except PublishUnavailable as error:
            raise ConnectionError(f"{queue} did not take an event: {error}") from error

    async def close(self) -> None:
        """Let go of the queue."""
        if self._publishing:
            await self._publishing.close()

    async def _last_if_any_from(self, start: _Place) -> int | None:
        """The first place of the last chunk, when there is an event at ``start`` or after it."""
        async with self._connection.channel() as channel:
            await channel.set_qos(prefetch_count=1)
            messages = _Messages()
            sought = await self._consume(channel, messages, start)
            await self._consume(channel, messages, "last")
            try:
                message = await _next(messages, _EMPTY_AFTER)
            except TimeoutError:  # it is empty
                return None
            if message.consumer_tag != sought:
                return None
            while message.consumer_tag == sought:
                message = await _next(messages, _PATIENCE)
            return _place_of(message)

    async def _consume(self, channel: AbstractChannel, messages: _Messages, start: _Place) -> str:
        async def take(message: AbstractIncomingMessage) -> None:
            messages.put_nowait(message)

        channel.close_callbacks.add(lambda *_: messages.put_nowait(None))
        queue = await channel.get_queue(self._stream, ensure=False)
        return await queue.consume(take, arguments={"x-stream-offset": start})


async def _next(messages: _Messages, patience: float) -> AbstractIncomingMessage:
    async with asyncio.timeout(patience):
        message = await messages.get()
    if message is None:
        raise ConnectionError("the connection to RabbitMQ was lost")
    return message


def _place_of(message: AbstractIncomingMessage) -> int:
    place = message.headers["x-stream-offset"]
    assert isinstance(place, int)  # noqa: S101 -- every message of a stream has one
    return place


def _read(message: AbstractIncomingMessage) -> Message:
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
async def open_stream(url: str, stream: str) -> AsyncIterator[ArchiveStream]:
    """See :func:`gateway.queues.archive.open_archive`."""
    try:
        async with await open_amqp(url) as connection:
            try:
                async with connection.channel() as channel:
                    await channel.get_queue(stream)
            except ChannelNotFoundEntity as error:
                raise NotThere(f"there is no archive: {error}") from error
            archive = ArchiveStream(url, stream, connection)
            try:
                yield archive
            finally:
                await archive.close()
    except AMQPError as error:
        raise ConnectionError(str(error)) from error
