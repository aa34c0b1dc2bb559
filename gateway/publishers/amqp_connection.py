"""One AMQP 0-9-1 connection that declares and publishes, and does nothing else.

The publishes of one turn of the event loop leave in few writes, and confirms are settled by delivery tag,
``multiple`` included. aio-pika serves everything else in this program; on this one path, ten messages at a time, it takes eight times
the CPU for each, and it can raise a CancelledError that nobody asked for when heartbeats fail.

Specification: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf
"""

from __future__ import annotations

import asyncio
import math
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from pamqp import base, commands, exceptions, frame, header, heartbeat
from pamqp.common import FieldTable

from gateway.events.message import APP_ID, CONTENT_TYPE, Message
from gateway.publishers import ConfirmOverdue, PublishUnavailable
from gateway.publishers.circuit_breaker import PublishBreaker
from gateway.publishers.topology import Part, declare, expect_write
from gateway.transport.address import explain_end, explain_unreachable
from gateway.transport.amqp_errors import BrokerRefusal, explain_login
from gateway.transport.amqp_url import BrokerUrl
from gateway.transport.tls import NO_FILES, TlsFiles, explain_loss, explain_tls

_HEARTBEAT_FRAME = b"\x08\x00\x00\x00\x00\x00\x00\xce"
_FRAME_END = b"\xce"
_METHOD, _HEADER, _BODY = 1, 2, 3
_CHANNEL = 1
_DECLARING_CHANNEL = 2  # a refused declaration ends the channel that it is on, and must not end publishes
_HEARTBEAT = 10  # seconds
_REACH_TIMEOUT = 3.0  # to reach the broker: a packet lost while it was away must not cost its return
_OPEN_TIMEOUT = 10.0  # to log in and declare, for which a broker that starts takes its time
_WATCH_EVERY = 0.1
_DECLARE_EVERY = 1.0
_LONGEST_UNCONFIRMED = 60  # seconds, after which a confirm is lost for good and a new connection has to do
_LARGEST_BACKLOG = 16 * 1024 * 1024  # bytes that the broker has not read, beyond which publishing stops
_MOST_UNCONFIRMED = 4096  # messages, beyond which publishing stops

_SENT_AT_ONCE = 8  # messages; the broker works on them while we make the next
_FRAME_OVERHEAD = 8  # bytes of a frame around its content

_BASIC, _PUBLISH, _ACK, _NACK = 60, 40, 80, 120
_MANDATORY = b"\x01"
# Which properties follow, as the specification numbers them: content-type, headers, delivery-mode,
# message-id, type, app-id.
_PROPERTY_FLAGS = (1 << 15) | (1 << 13) | (1 << 12) | (1 << 7) | (1 << 5) | (1 << 3)
_PERSISTENT = b"\x02"

_frame_head = struct.Struct(">BHI")
_header_head = struct.Struct(">BHIHHQH")
_confirm = struct.Struct(">HHQB")
_long = struct.Struct(">I")


@dataclass(slots=True)
class _Pending:
    """A message that waits for its confirm; ``late`` once nobody does any more."""

    confirm: asyncio.Future[None]
    sent_at: float
    message_id: str
    late: asyncio.Future[None] | None = None

    def settle(self, *, is_ack: bool) -> None:
        if self.late is not None:
            if is_ack and not self.late.done():
                self.late.set_result(None)
            self.late.cancel()
        elif self.confirm.done():  # returned, or its request was cancelled
            pass
        elif is_ack:
            self.confirm.set_result(None)
        else:
            self.confirm.set_exception(PublishUnavailable("refused by the broker (nack)"))

    def refuse(self, cause: str) -> None:
        if self.late is not None:
            self.late.cancel()
        elif not self.confirm.done():
            self.confirm.set_exception(PublishUnavailable(cause))


class PublishConnection(asyncio.Protocol):
    """An open connection with one channel in confirm mode; made by :func:`connect`.

    Args:
        timeout: seconds that a confirm may take.
        declare_every: seconds after which the topology is declared again.
        server: host and port, for people.
        tls: the files of a connection that is encrypted.

    Attributes:
        warnings: what was found while declaring, for an operator.
        lost: done, with the cause, when the connection is no longer usable.
        blocked: why the broker takes no messages at the moment (an alarm); empty when it does.
    """

    def __init__(
        self,
        timeout: float,
        declare_every: float = math.inf,
        server: str = "the broker",
        tls: TlsFiles = NO_FILES,
    ) -> None:
        self.warnings: list[str] = []
        self._server = server
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.blocked = ""
        self._timeout = timeout
        self._declare_every = declare_every
        self._received = bytearray()
        self._outgoing: list[bytes] = []
        self._unconfirmed: dict[int, _Pending] = {}
        self._breaker = PublishBreaker(self._loop.time)
        self._last_tag = self._flushed_tag = 0
        self._frame_max = 131_072
        self._reply: asyncio.Future[Any] | None = None
        self._return_cause = ""
        self._topology: Sequence[base.Frame] = ()
        self._is_declaring_channel_open = False
        self._declared_at = self._loop.time()
        self._declaring: asyncio.Task[None] | None = None
        self._is_flush_due = False
        self._is_paused = False
        self._heard_at = self._spoke_at = self._confirmed_at = self._loop.time()
        self._is_stalled = False
        self._watch: asyncio.TimerHandle | None = None

    @property
    def unconfirmed(self) -> int:
        """Messages that wait for their confirm."""
        return len(self._unconfirmed)

    @property
    def unavailable_reason(self) -> str:
        """Why the broker is sent nothing at the moment, or next to nothing; empty when it is."""
        if self.lost.done():
            return "the connection is lost"
        if self.blocked or self._is_paused:
            return self.blocked or "the broker does not read what it is sent"
        if self._breaker.is_open:
            return f"the broker has confirmed nothing within {self._timeout:g} s; it is asked again every few seconds"
        if self._is_stalled:
            return f"the broker has confirmed nothing for {self._timeout / 4:g} s"
        return ""

    @property
    def is_accepting(self) -> bool:
        """Whether a message would be sent now, the probe of an open breaker included."""
        is_open = not (self.lost.done() or self.blocked or self._is_paused)
        return is_open and (not self._breaker.is_open or self._breaker.is_probe_due)

    def publish(self, message: Message) -> asyncio.Future[None]:
        """Done when the broker confirms; raises PublishUnavailable when it does not."""
        confirm: asyncio.Future[None] = self._loop.create_future()
        headers = tuple(message.headers.items())
        method, before_id, after_id = _recurring_parts(
            message.exchange, message.routing_key, message.type, headers
        )
        message_id = _short(message.message_id)
        # Only now, when nothing can raise any more: the broker counts what it gets, and so must we.
        if refusal := self._refusal():
            confirm.set_exception(PublishUnavailable(refusal))
            return confirm
        self._last_tag += 1
        self._unconfirmed[self._last_tag] = _Pending(confirm, self._loop.time(), message.message_id)
        body = message.body
        size, largest = len(body), self._frame_max - _FRAME_OVERHEAD
        properties_size = len(before_id) + len(message_id) + len(after_id)
        self._outgoing += (
            method,
            _header_head.pack(_HEADER, _CHANNEL, 14 + properties_size, _BASIC, 0, size, _PROPERTY_FLAGS),
            before_id,
            message_id,
            after_id,
            _FRAME_END,
        )
        if 0 < size <= largest:
            self._outgoing += (_frame_head.pack(_BODY, _CHANNEL, size), body, _FRAME_END)
        else:
            for start in range(0, size, largest):
                part = body[start : start + largest]
                self._outgoing += (_frame_head.pack(_BODY, _CHANNEL, len(part)), part, _FRAME_END)
        if self._last_tag - self._flushed_tag >= _SENT_AT_ONCE:
            self._flush()
        elif not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return confirm

    def _refusal(self) -> str:
        if self.lost.done() or self.blocked or self._is_paused or not self._breaker.permits():
            return self.unavailable_reason or "the broker is asked with another message"
        if len(self._unconfirmed) >= _MOST_UNCONFIRMED:
            return f"{_MOST_UNCONFIRMED} messages wait for their confirm"
        return ""

    async def call(self, command: base.Frame, channel: int = _CHANNEL) -> Any:
        """Send a synchronous method and wait for its reply.

        Raises:
            BrokerRefusal: the broker answered by closing the channel or the connection.
        """
        self._reply = self._loop.create_future()
        self._write(frame.marshal(command, channel))
        return await self._reply

    async def close(self) -> None:
        """Wait for the confirms that are due, then close."""
        waiting = [pending.confirm for pending in self._unconfirmed.values() if not pending.confirm.done()]
        if waiting and not self.lost.done():
            await asyncio.wait(waiting, timeout=self._timeout)
        if not self.lost.done():
            self._flush()
            self._write(frame.marshal(commands.Connection.Close(200, "goodbye", 0, 0), 0))
            self._transport.close()
        self.fail(ConnectionError("closed"))

    async def open(self, url: BrokerUrl, topology: Sequence[Part], targets: Sequence[str]) -> None:
        """Log in, open the channel, declare ``topology`` and switch confirms on.

        Args:
            url: with the user and the virtual host.
            topology: what is declared, or found to be there.
            targets: the exchanges that are published to.

        Raises:
            BrokerRefusal: the broker refuses one of these.
        """
        self._reply = self._loop.create_future()
        self._write(b"AMQP\x00\x00\x09\x01")
        await self._reply
        properties: FieldTable = {"product": APP_ID, "capabilities": _CAPABILITIES}
        tune = await self.call(
            commands.Connection.StartOk(properties, "PLAIN", f"\0{url.user}\0{url.password}", "en_US"), 0
        )
        self._frame_max = min(tune.frame_max or self._frame_max, self._frame_max)
        self._write(
            frame.marshal(commands.Connection.TuneOk(_DECLARING_CHANNEL, self._frame_max, _HEARTBEAT), 0)
        )
        await self.call(commands.Connection.Open(url.vhost), 0)
        await self.call(commands.Channel.Open())
        declaring = _Declaring(self)
        declared = await declare(declaring, topology, url.user)
        await expect_write(declaring, targets, url.user)
        self._topology, self.warnings = declared.commands, declared.warnings
        self._declared_at = self._loop.time()
        await self.call(commands.Confirm.Select())
        self._watch = self._loop.call_later(_WATCH_EVERY, self._look_after)

    async def _declare(self) -> None:
        self._declared_at = self._loop.time()
        for command in self._topology:
            await self.declare(command)

    async def declare(self, *written: base.Frame | bytes) -> Any:
        """Write to the channel for declarations, which is opened when it is not, and wait for the last reply.

        Raises:
            BrokerRefusal: the broker closed that channel; publishes go on.
        """
        if not self._is_declaring_channel_open:
            await self.call(commands.Channel.Open(), _DECLARING_CHANNEL)
            self._is_declaring_channel_open = True
        *before, command = written
        for each in before:
            self._write(each if isinstance(each, bytes) else frame.marshal(each, _DECLARING_CHANNEL))
        return await self.call(cast("base.Frame", command), _DECLARING_CHANNEL)

    def _declare_again(self) -> None:
        """Somebody has removed a part of the topology, or may have: a message came back that it has a place for."""
        if self._declaring is None and self._loop.time() - self._declared_at > _DECLARE_EVERY:
            self._declaring = self._loop.create_task(self._declare(), name="declaring the topology again")
            self._declaring.add_done_callback(self._on_declared)

    def _on_declared(self, task: asyncio.Task[None]) -> None:
        self._declaring = None
        if not task.cancelled() and (error := task.exception()) and not self.lost.done():
            # What was there is gone, or has changed: the next connection finds out what is to be done.
            self.fail(error if isinstance(error, OSError) else ConnectionError(repr(error)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_LARGEST_BACKLOG)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if isinstance(exc, ssl.SSLError):
            exc = ConnectionError(explain_tls(exc, self._server, self._tls))
        self.fail(exc if isinstance(exc, OSError) else ConnectionError("connection closed by the broker"))

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._is_paused = False

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._heard_at = self._loop.time()
        received = self._received
        received += data
        position, end = 0, len(received)
        while end - position >= 8:
            kind, _, size = _frame_head.unpack_from(received, position)
            following = position + 8 + size
            if following > end:
                if size > self._frame_max:  # a protocol header, or no AMQP at all
                    self.fail(ConnectionError("the server does not speak AMQP 0-9-1"))
                    return
                break
            if kind == _METHOD and size == 13:
                class_id, method_id, tag, bits = _confirm.unpack_from(received, position + 7)
                if class_id == _BASIC and method_id in (_ACK, _NACK):
                    self._settle(tag, bool(bits & 1), is_ack=method_id == _ACK)
                    position = following
                    continue
            self._on_frame(bytes(received[position:following]))
            if self.lost.done():
                return
            position = following
        del received[:position]

    def _settle(self, tag: int, is_multiple: bool, *, is_ack: bool) -> None:
        unconfirmed = self._unconfirmed
        if is_multiple:
            tags = []
            for earlier in unconfirmed:  # in the order of publishing
                if earlier > tag:
                    break
                tags.append(earlier)
        else:
            tags = [tag]
        is_timely = is_late = False
        for settled in tags:
            pending = unconfirmed.pop(settled, None)
            if pending is None:
                continue
            is_timely, is_late = is_timely or pending.late is None, is_late or pending.late is not None
            pending.settle(is_ack=is_ack)
        self._confirmed_at, self._is_stalled = self._heard_at, False
        if is_timely or (is_late and not unconfirmed):  # with nothing left to wait for, it works again
            self._breaker.note_confirm()
        elif is_late:
            self._breaker.note_late_confirm()

    def _on_frame(self, data: bytes) -> None:
        try:
            _, channel, value = frame.unmarshal(data)
        except (exceptions.UnmarshalingException, exceptions.AMQPError) as error:
            self.fail(ConnectionError(f"not RabbitMQ: {error}"))
            return
        match value:
            case heartbeat.Heartbeat():
                pass
            case commands.Connection.Blocked():
                self.blocked = f"the broker takes no messages: {value.reason}"
            case commands.Connection.Unblocked():
                self.blocked = ""
            case commands.Basic.Return():
                self._return_cause = f"returned by the broker: {value.reply_text}"
                self._declare_again()
            case header.ContentHeader():
                self._on_returned(value.properties.message_id)
            case commands.Channel.Close() if channel == _DECLARING_CHANNEL:
                self._is_declaring_channel_open = False
                self._write(frame.marshal(commands.Channel.CloseOk(), _DECLARING_CHANNEL))
                if self._reply and not self._reply.done():
                    self._reply.set_exception(_refusal(value))
            case commands.Connection.Close() | commands.Channel.Close():
                refusal = _refusal(value)
                self._answer_close(value)
                self.fail(refusal)
            case commands.Basic.Ack() | commands.Basic.Nack():
                self._settle(
                    value.delivery_tag, bool(value.multiple), is_ack=isinstance(value, commands.Basic.Ack)
                )
            case base.Frame() if self._reply and not self._reply.done():
                self._reply.set_result(value)

    def _on_returned(self, message_id: str | None) -> None:
        # A return names no delivery tag, and the ack that follows says nothing of it; the id is all there is.
        for pending in self._unconfirmed.values():
            if pending.message_id == message_id:
                pending.refuse(self._return_cause)

    def _answer_close(self, close: base.Frame) -> None:
        if isinstance(close, commands.Connection.Close):
            self._write(frame.marshal(commands.Connection.CloseOk(), 0))

    def _flush(self) -> None:
        self._is_flush_due = False
        self._flushed_tag = self._last_tag
        if self._outgoing and not self.lost.done():
            self._write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _write(self, data: bytes) -> None:
        self._spoke_at = self._loop.time()
        self._transport.write(data)

    def _look_after(self) -> None:
        """Fail overdue confirms, send heartbeats, and end a connection on which nothing is heard."""
        now = self._loop.time()
        for pending in self._unconfirmed.values():
            if now - pending.sent_at < self._timeout:
                self._is_stalled = now - max(pending.sent_at, self._confirmed_at) > self._timeout / 4
                break
            if pending.late is None:
                self._give_up_waiting(pending)
        oldest = next(iter(self._unconfirmed.values()), None)
        if oldest and now - oldest.sent_at > _LONGEST_UNCONFIRMED and not self.blocked:
            self.fail(ConnectionError(f"a message was not confirmed for {_LONGEST_UNCONFIRMED} s"))
            return
        if now - self._declared_at > self._declare_every:
            self._declare_again()
        if now - self._spoke_at > _HEARTBEAT / 2:
            self._write(_HEARTBEAT_FRAME)
        if now - self._heard_at > 2 * _HEARTBEAT:
            self.fail(ConnectionError(f"nothing heard from the broker for {2 * _HEARTBEAT} s"))
        else:
            self._watch = self._loop.call_later(_WATCH_EVERY, self._look_after)

    def _give_up_waiting(self, pending: _Pending) -> None:
        self._breaker.note_timeout(pending.sent_at)
        pending.late = self._loop.create_future()
        if not pending.confirm.done():
            cause = f"not confirmed within {self._timeout:g} s"
            pending.confirm.set_exception(ConfirmOverdue(cause, pending.late))

    def fail(self, error: OSError) -> None:
        """End the connection, and with it everything that waits for it."""
        if self._watch:
            self._watch.cancel()
        if not self.lost.done():
            self.lost.set_exception(error)
            self.lost.exception()  # retrieved: nobody may be waiting for it
            self._transport.abort() if not isinstance(error, BrokerRefusal) else self._transport.close()
        if self._reply and not self._reply.done():
            self._reply.set_exception(error)
        stranded, self._unconfirmed = self._unconfirmed, {}
        for pending in stranded.values():
            pending.refuse(f"connection lost before the confirm: {error}")


class _Declaring:
    """See :class:`gateway.publishers.topology.Channel`."""

    def __init__(self, connection: PublishConnection) -> None:
        self._connection = connection

    async def call(self, command: base.Frame) -> Any:
        return await self._connection.declare(command)

    async def publish(self, exchange: str, properties: commands.Basic.Properties) -> None:
        await self._connection.declare(
            commands.Basic.Publish(exchange=exchange),
            frame.marshal(header.ContentHeader(0, 0, properties), _DECLARING_CHANNEL),
            commands.Basic.Qos(),
        )


def _refusal(close: commands.Connection.Close | commands.Channel.Close) -> BrokerRefusal:
    words = f"{close.reply_code} {close.reply_text}"
    if isinstance(close, commands.Connection.Close):
        words = explain_login(words)
    return BrokerRefusal(words, close.reply_code or 0)


_CAPABILITIES: FieldTable = {
    "publisher_confirms": True,
    "basic.nack": True,
    "connection.blocked": True,
    "authentication_failure_close": True,  # else a wrong password is a closed socket and no word
}


async def connect(
    url: str,
    topology: Sequence[Part],
    timeout: float,
    declare_every: float = math.inf,
    targets: Sequence[str] = (),
) -> PublishConnection:
    """Open a connection to the broker at ``url`` and declare ``topology``, and again every so many seconds.

    Raises:
        OSError: the broker cannot be reached, or refuses (:class:`BrokerRefusal`), one of ``targets`` included.
    """
    parts = BrokerUrl.parse(url)
    context = parts.tls.context() if parts.is_tls else None
    loop = asyncio.get_running_loop()
    factory: Callable[[], PublishConnection] = lambda: PublishConnection(  # noqa: E731 -- for mypy
        timeout, declare_every, parts.server, parts.tls
    )
    try:
        async with _within(_REACH_TIMEOUT):
            _, connection = await loop.create_connection(factory, parts.host, parts.port, ssl=context)
    except ssl.SSLError as error:
        raise ConnectionError(explain_tls(error, parts.server, parts.tls)) from None
    except (TimeoutError, ConnectionResetError):
        raise
    except OSError as error:
        raise ConnectionError(explain_unreachable(error, parts.server)) from None
    try:
        async with _within(_OPEN_TIMEOUT):
            await connection.open(parts, topology, targets)
    except BaseException as error:
        connection.fail(ConnectionError("could not be opened"))
        if isinstance(error, ConnectionError) and not isinstance(error, BrokerRefusal):
            raise ConnectionError(
                explain_loss(error, parts.server, parts.tls)
                if parts.is_tls
                else explain_end(error, parts.server, "amqps")
            ) from None
        raise
    return connection


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise TimeoutError(f"the broker did not answer within {seconds:g} s") from error


@lru_cache(maxsize=1024)  # senders choose event types; memory is bounded
def _recurring_parts(
    exchange: str, routing_key: str, kind: str, headers: tuple[tuple[str, str], ...]
) -> tuple[bytes, bytes, bytes]:
    """What the messages of one kind share: the method's frame, and the properties before and after the id."""
    arguments = b"\x00\x00" + _short(exchange) + _short(routing_key) + _MANDATORY
    method = _frame_head.pack(_METHOD, _CHANNEL, 4 + len(arguments)) + struct.pack(">HH", _BASIC, _PUBLISH)
    table = b"".join(_short(name) + b"S" + _long_string(value) for name, value in headers)
    before_id = _short(CONTENT_TYPE) + _long.pack(len(table)) + table + _PERSISTENT
    return method + arguments + _FRAME_END, before_id, _short(kind) + _short(APP_ID)


def _short(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


def _long_string(text: str) -> bytes:
    data = text.encode()
    return _long.pack(len(data)) + data
