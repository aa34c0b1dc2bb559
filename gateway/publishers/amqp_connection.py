"""One AMQP 0-9-1 connection that declares and publishes, and does nothing else.

Goal: publish thousands of persistent, mandatory messages a second from one process, know for each whether the
broker took it over, and never report one as confirmed that was not.

Plan: publishes of one turn of the event loop are collected and leave in one write for every :data:`_BATCH_SIZE`.
Confirms are recognised by their size, and settled by delivery tag without a decoder. Other frames are rare and go
through pamqp. Declarations have a channel of their own, because a refused one closes its channel. One timer checks
for everything that can be overdue, ten times a second, so that no message needs a timer.

Measured (2026-11): aio-pika, which serves everything else in this program, takes eight times the CPU for a message on
this path, at ten messages at a time. It can also raise a CancelledError that nobody asked for when heartbeats fail.
Not measured: larger batches over a network with a high latency, and a broker that confirms one message at a time.

Specification: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf; confirms, ``basic.nack`` and
``connection.blocked`` are RabbitMQ's extensions (https://www.rabbitmq.com/docs/confirms).
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Sequence
from typing import Any, cast

from pamqp import base, commands, exceptions, frame, header, heartbeat
from typing_extensions import override

from gateway.events.message import Message
from gateway.publishers import ConfirmOverdue, PublishUnavailable
from gateway.publishers.amqp_confirms import UnconfirmedMessage
from gateway.publishers.amqp_declaring import DECLARING_CHANNEL, TopologyChannel
from gateway.publishers.amqp_frames import (
    ACK,
    BASIC,
    CHANNEL,
    CONFIRM,
    CONFIRM_SIZE,
    FRAME_HEAD,
    FRAME_OVERHEAD,
    HEARTBEAT_FRAME,
    MAX_FRAME,
    METHOD_FRAME,
    NACK,
    PROTOCOL_HEADER,
    encode_publish,
)
from gateway.publishers.amqp_login import login
from gateway.publishers.circuit_breaker import PublishBreaker
from gateway.publishers.declaration import Part
from gateway.publishers.renewal import RENEWED, Renewal
from gateway.transport.amqp_errors import BrokerRefusal
from gateway.transport.amqp_nodes import ONLY, Timeouts
from gateway.transport.amqp_url import BrokerUrl
from gateway.transport.tls import NO_FILES, TlsFiles, explain_tls

_WATCH_INTERVAL = 0.1
"""Seconds between two looks at what may be overdue: the precision of all timeouts here."""

_MAX_BACKLOG = 16 * 1024 * 1024
"""Bytes that the broker has not read yet, beyond which no more is published: memory is bounded."""

_MAX_UNCONFIRMED = 4096
"""Messages without a confirm, beyond which no more are published: memory is bounded."""

_BATCH_SIZE = 8
"""Messages in one write. The broker works on them while the next are encoded."""


class PublishConnection(asyncio.Protocol):
    """An open connection with one channel in confirm mode; see ``amqp_connect.connect``.

    Args:
        timeout: Seconds that a confirm may take.
        declare_every: Seconds after which the topology is declared again.
        server: Host and port, for error texts.
        tls: The files of an encrypted connection, for error texts.
        clock: Monotonic seconds; by default those of the event loop.
        timeouts: How long the broker may take.
        renewal: When a refused message is a reason to end the connection; None for never.

    Attributes:
        warnings: What an operator should know about the topology, one line each.
        lost: Done, with the cause, when the connection is no longer usable.
        blocked: Why no messages are sent at the moment: a resource alarm of the broker, or an end; empty when they are.
    """

    def __init__(
        self,
        timeout: float,
        declare_every: float = math.inf,
        server: str = "the broker",
        tls: TlsFiles = NO_FILES,
        clock: Callable[[], float] | None = None,
        timeouts: Timeouts = ONLY,
        renewal: Renewal | None = None,
    ) -> None:
        self.warnings: list[str] = []
        self._server, self._tls = server, tls
        self._loop = asyncio.get_running_loop()
        self._now = clock or self._loop.time
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.blocked = ""
        self._timeout, self._timeouts = timeout, timeouts
        self._renewal, self._ending = renewal, ""
        self._received = bytearray()
        self._outgoing: list[bytes | memoryview] = []
        self._unconfirmed: dict[int, UnconfirmedMessage] = {}  # by delivery tag, in the order of publishing
        self._breaker = PublishBreaker(self._now)
        self._last_tag = self._flushed_tag = 0
        self._max_frame = MAX_FRAME
        self._max_content = MAX_FRAME - FRAME_OVERHEAD
        self._reply: asyncio.Future[Any] | None = None
        self._return_cause = ""
        self._declaring = TopologyChannel(self.call, self._write, self.fail, declare_every, self._now)
        self._is_flush_due = False
        self._is_paused = False
        self._heard_at = self._spoke_at = self._confirmed_at = self._now()
        self._is_stalled = False
        self._watch: asyncio.TimerHandle | None = None

    @property
    def unconfirmed(self) -> int:
        """Return the number of messages without a confirm."""
        return len(self._unconfirmed)

    @property
    def unavailable_reason(self) -> str:
        """Return why nothing, or only a probe, is sent at the moment; empty if messages are."""
        if self.lost.done():
            return "the connection is lost"
        if self.blocked or self._is_paused:
            return self.blocked or "the broker does not read what it is sent"
        if self._breaker.is_open:
            return f"the broker has confirmed nothing within {self._timeout:g} s; it is retried every few seconds"
        if self._is_stalled:
            return f"the broker has confirmed nothing for {self._timeout / 4:g} s"
        return ""

    @property
    def is_accepting(self) -> bool:
        """Return whether a message would be sent now, the probe of an open breaker included."""
        is_open = not (self.lost.done() or self.blocked or self._is_paused)
        return is_open and (not self._breaker.is_open or self._breaker.is_probe_due)

    def publish(self, message: Message) -> asyncio.Future[None]:
        """Send ``message``; the future is done once confirmed, or fails with PublishUnavailable.

        Raises:
            ValueError: The message cannot be encoded. Nothing was sent.
        """
        confirm: asyncio.Future[None] = self._loop.create_future()
        # Encode first: the broker counts what it gets, so once a tag is taken nothing may raise any more.
        pieces = encode_publish(message, self._max_content)
        if refusal := self._refusal():
            confirm.set_exception(PublishUnavailable(refusal))
            return confirm
        self._last_tag = tag = self._last_tag + 1
        self._unconfirmed[tag] = UnconfirmedMessage(confirm, self._now(), message.message_id)
        self._outgoing += pieces
        if tag - self._flushed_tag >= _BATCH_SIZE:
            self._flush()
        elif not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)
        return confirm

    def _refusal(self) -> str:
        if self.lost.done() or self.blocked or self._is_paused or not self._breaker.permits():
            return self.unavailable_reason or "the broker is being probed with another message"
        if len(self._unconfirmed) >= _MAX_UNCONFIRMED:
            return f"{_MAX_UNCONFIRMED} messages wait for their confirm"
        return ""

    async def call(self, command: base.Frame, channel: int = CHANNEL) -> Any:
        """Send a synchronous method and return its reply.

        Raises:
            BrokerRefusal: The broker answered by closing the channel or the connection.
        """
        self._reply = self._loop.create_future()
        self._write(frame.marshal(command, channel))
        return await self._reply

    async def close(self) -> None:
        """Wait up to ``timeout`` for the confirms that are due, then close."""
        waiting = [pending.confirm for pending in self._unconfirmed.values() if not pending.confirm.done()]
        if waiting and not self.lost.done():
            await asyncio.wait(waiting, timeout=self._timeout)
        if not self.lost.done():
            self._flush()
            self._write(frame.marshal(commands.Connection.Close(200, "goodbye", 0, 0), 0))
            self._transport.close()
        self.fail(ConnectionError("closed"))

    async def open(self, url: BrokerUrl, topology: Sequence[Part], targets: Sequence[str]) -> None:
        """Log in, open the channel, declare ``topology`` and enable confirms.

        Args:
            url: The address, with the user and the virtual host.
            topology: What is declared, or found to be there.
            targets: The exchanges that messages are published to; the user's permission is checked.

        Raises:
            BrokerRefusal: The broker refuses one of these.
        """
        self._reply = self._loop.create_future()
        self._write(PROTOCOL_HEADER)
        self._declaring.note_server(await self._reply)
        tune = await self.call(login(url), 0)
        self._max_frame = min(tune.frame_max or MAX_FRAME, MAX_FRAME)
        self._max_content = self._max_frame - FRAME_OVERHEAD
        self._write(
            frame.marshal(
                commands.Connection.TuneOk(DECLARING_CHANNEL, self._max_frame, self._timeouts.heartbeat), 0
            )
        )
        await self.call(commands.Connection.Open(url.vhost), 0)
        await self.call(commands.Channel.Open())
        self.warnings = await self._declaring.declare(topology, targets, url.user)
        await self.call(commands.Confirm.Select())
        self._watch = self._loop.call_later(_WATCH_INTERVAL, self._watch_once)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_MAX_BACKLOG)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ssl.SSLError):
            exc = ConnectionError(explain_tls(exc, self._server, self._tls))
        self.fail(exc if isinstance(exc, OSError) else ConnectionError("connection closed by the broker"))

    @override
    def pause_writing(self) -> None:
        self._is_paused = True

    @override
    def resume_writing(self) -> None:
        self._is_paused = False

    @override
    def data_received(self, data: bytes) -> None:
        self._heard_at = self._now()
        received = self._received
        received += data
        position, end = 0, len(received)
        while end - position >= FRAME_OVERHEAD:
            kind, _, size = FRAME_HEAD.unpack_from(received, position)
            following = position + FRAME_OVERHEAD + size
            if following > end:
                if size > self._max_frame:  # a protocol header, or no AMQP at all
                    self.fail(ConnectionError("the server does not speak AMQP 0-9-1"))
                    return
                break
            if kind == METHOD_FRAME and size == CONFIRM_SIZE:
                class_id, method_id, tag, bits = CONFIRM.unpack_from(received, position + FRAME_HEAD.size)
                if class_id == BASIC and method_id in (ACK, NACK):
                    self.settle(tag, bool(bits & 1), is_ack=method_id == ACK)
                    position = following
                    continue
            self._on_frame(bytes(received[position:following]))
            if self.lost.done():
                return
            position = following
        del received[:position]

    def settle(self, tag: int, is_multiple: bool, *, is_ack: bool) -> None:
        """Settle the message of a confirm, or all up to it."""
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
        if not is_ack and self._renewal and self._renewal.is_due():
            self.end(RENEWED)
        elif self._ending and not unconfirmed:
            self.fail(ConnectionError(self._ending))

    def end(self, cause: str) -> None:
        """Send no more messages, and end the connection once those that were sent are confirmed: none is sent twice."""
        self.blocked = self._ending = cause
        if not self._unconfirmed:
            self.fail(ConnectionError(cause))

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
                self._declaring.redeclare()
            case header.ContentHeader():
                self._on_returned(value.properties.message_id)
            case commands.Channel.Close() if channel == DECLARING_CHANNEL:
                self._declaring.note_closed()
                self._write(frame.marshal(commands.Channel.CloseOk(), DECLARING_CHANNEL))
                if self._reply and not self._reply.done():
                    self._reply.set_exception(BrokerRefusal.from_close(value))
            case commands.Connection.Close() | commands.Channel.Close():
                self._on_close(value)
            case commands.Basic.Ack() | commands.Basic.Nack():
                is_ack = isinstance(value, commands.Basic.Ack)
                self.settle(value.delivery_tag, bool(value.multiple), is_ack=is_ack)
            case base.Frame() if self._reply and not self._reply.done():
                self._reply.set_result(value)

    def _on_close(self, close: commands.Connection.Close | commands.Channel.Close) -> None:
        if isinstance(close, commands.Connection.Close):
            self._write(frame.marshal(commands.Connection.CloseOk(), 0))
        self.fail(BrokerRefusal.from_close(close))

    def _on_returned(self, message_id: str | None) -> None:
        # A return has no delivery tag, and the ack that follows it looks like any other: only the id is left.
        for pending in self._unconfirmed.values():
            if pending.message_id == message_id:
                pending.refuse(self._return_cause)

    def _flush(self) -> None:
        self._is_flush_due = False
        self._flushed_tag = self._last_tag
        if self._outgoing and not self.lost.done():
            self._write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _write(self, data: bytes) -> None:
        self._spoke_at = self._now()
        self._transport.write(data)

    def _watch_once(self) -> None:
        self.check_timeouts()
        if not self.lost.done():
            self._watch = self._loop.call_later(_WATCH_INTERVAL, self._watch_once)

    def check_timeouts(self) -> None:
        """Fail overdue confirms, send heartbeats, and end a connection on which nothing is heard."""
        now = self._now()
        for pending in self._unconfirmed.values():
            if now - pending.sent_at < self._timeout:
                self._is_stalled = now - max(pending.sent_at, self._confirmed_at) > self._timeout / 4
                break
            if pending.late is None:
                self._report_overdue(pending)
        oldest = next(iter(self._unconfirmed.values()), None)
        if oldest and now - oldest.sent_at > self._timeouts.confirm and (self._ending or not self.blocked):
            self.fail(ConnectionError(f"a message was not confirmed for {self._timeouts.confirm:g} s"))
            return
        self._declaring.redeclare_if_due()
        if now - self._spoke_at > self._timeouts.heartbeat / 2:
            self._write(HEARTBEAT_FRAME)
        if now - self._heard_at > 2 * self._timeouts.heartbeat:
            self.fail(ConnectionError(f"nothing heard from the broker for {2 * self._timeouts.heartbeat} s"))

    def _report_overdue(self, pending: UnconfirmedMessage) -> None:
        self._breaker.note_timeout(pending.sent_at)
        pending.late = self._loop.create_future()
        if not pending.confirm.done():
            cause = f"not confirmed within {self._timeout:g} s"
            pending.confirm.set_exception(ConfirmOverdue(cause, pending.late))

    def fail(self, error: OSError) -> None:
        """End the connection, and fail every message and every call that waits on it."""
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
