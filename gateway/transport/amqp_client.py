"""Connections of aio-pika, with errors that name their cause, for workers and commands."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import AMQPChannelError
from pamqp import base, commands

from gateway.transport.address import explain_end, explain_unreachable
from gateway.transport.amqp_errors import CODES, BrokerRefusal, explain_login
from gateway.transport.amqp_nodes import ONLY, BrokerNodes, Timeouts
from gateway.transport.amqp_url import BrokerUrl, without_parameters
from gateway.transport.tls import explain_loss, explain_tls


async def open_amqp(nodes: BrokerNodes) -> AbstractConnection:
    """Open a connection to a broker, or to a node of its cluster.

    Raises:
        OSError: The broker cannot be reached, or refuses; the text is one line without a password.
    """
    if nodes.timeouts is ONLY:
        return await nodes.connect(_open)
    return await nodes.connect(partial(_open_within, nodes.timeouts))


async def _open_within(timeouts: Timeouts, url: str) -> AbstractConnection:
    seconds = timeouts.connect + timeouts.open
    try:
        async with asyncio.timeout(seconds):
            return await _open(url)
    except TimeoutError:
        server = BrokerUrl.parse(url).server
        raise TimeoutError(f"{server} did not answer within {seconds:g} s") from None


async def _open(url: str) -> AbstractConnection:
    parts = BrokerUrl.parse(url)
    context = parts.tls.context() if parts.is_tls else None
    try:
        address = without_parameters(url) + ("?auth=external" if parts.is_external else "")
        return await _connect(address, context)
    except AMQPError as error:
        if isinstance(error.__cause__, ssl.SSLError):
            raise ConnectionError(explain_tls(error.__cause__, parts.server, parts.tls)) from None
        raise ConnectionError(_cause_of(error, parts)) from None


async def _connect(url: str, context: ssl.SSLContext | None) -> AbstractConnection:
    # Handlers of events may keep the event loop for a while, so that heartbeats are as slow as with one node.
    connection = aio_pika.Connection(make_url(url, heartbeat=ONLY.heartbeat), ssl_context=context)
    try:
        await connection.connect()
    except BaseException:
        # Else the garbage collector does, which prints a warning if no event loop runs at the moment.
        await connection.close()
        raise
    return connection


def _cause_of(error: AMQPError, parts: BrokerUrl) -> str:
    """Explain in one line why there is no connection."""
    reason = error.__cause__
    if isinstance(reason, ConnectionError | EOFError) and not isinstance(reason, ConnectionRefusedError):
        ended = ConnectionError(str(error) or type(error).__name__)
        if parts.is_tls:
            return explain_loss(ended, parts.server, parts.tls)
        return explain_end(reason, parts.server, "amqps")
    if isinstance(reason, OSError):
        return explain_unreachable(reason, parts.server)
    cause = str(error) or type(error).__name__
    if "Connection.OpenOk" in cause:  # aio-pika drops what the broker answered instead
        return (
            f"the virtual host {parts.vhost!r} is not there, or user {parts.user!r} may not use it; create it, grant "
            "permissions, or correct the address"
        )
    return explain_login(cause)


@contextmanager
def os_errors() -> Iterator[None]:
    """Translate what aio-pika raises for a lost connection into the OSError that it is."""
    try:
        yield
    except (AMQPError, RuntimeError) as error:  # aiormq raises RuntimeError for a closed channel
        raise ConnectionError(str(error)) from error
    except asyncio.CancelledError as error:
        if asyncio.current_task().cancelling():  # type: ignore[union-attr]
            raise
        # Nobody cancelled this task: aiormq cancels the requests that wait when the heartbeats stop.
        raise ConnectionError("the connection broke off") from error


class DeclaringChannel:
    """A :class:`gateway.publishers.declaration.Channel` that is opened anew after each refusal."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._channel: AbstractChannel | None = None
        underlay: Any = connection.transport.connection if connection.transport else None
        self.server_version = str(getattr(underlay, "server_properties", {}).get("version", ""))

    async def call(self, command: base.Frame) -> Any:
        """Send a synchronous method and return its reply.

        Raises:
            BrokerRefusal: The broker closed the channel.
        """
        if self._channel is None:
            self._channel = await self._connection.channel(publisher_confirms=False)
        try:
            # The public type lacks the one method that takes any command.
            underlay: Any = await self._channel.get_underlay_channel()
            return await underlay.rpc(command)
        except AMQPChannelError as error:
            self._channel = None
            code = CODES.get(str(error).partition(" ")[0], 0)
            raise BrokerRefusal(f"{code} {error}", code) from None

    async def publish(self, exchange: str, properties: commands.Basic.Properties, body: bytes = b"") -> None:
        """Publish a message, and wait until the broker has read it.

        Raises:
            BrokerRefusal: The broker closed the channel.
        """
        if self._channel is None:
            self._channel = await self._connection.channel(publisher_confirms=False)
        underlay = await self._channel.get_underlay_channel()
        await underlay.basic_publish(body, exchange=exchange, routing_key="", properties=properties)
        await self.call(commands.Basic.Qos(prefetch_count=1))

    async def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            with suppress(AMQPError, RuntimeError):
                await self._channel.close()
