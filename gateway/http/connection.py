"""One connection: requests are handled, answered, and ended in time.

Ours and not uvicorn's, because deadlines for heads, bodies and answers, limits on what connections hold, and answers
that are not lost over unread bytes need the protocol itself. :mod:`gateway.http.reader` is the reading half.

The module has more than 200 lines because a connection is one state, on which the transport, the requests and the
clock all act.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Coroutine
from typing import Any, cast

from typing_extensions import override

from gateway.errors import Overloaded, RequestTimeout
from gateway.http.asgi import ask
from gateway.http.incoming import HEAD_TIMEOUT, NO_HEAD, Incoming
from gateway.http.reader import RequestReader
from gateway.http.rendering import render_head
from gateway.http.state import ListenerState, OpenConnection
from gateway.receive.context import RequestContext
from gateway.receive.jobs import Job
from gateway.receive.receiver import Receiver
from gateway.receive.responses import NO_CONTENT, Response
from gateway.signatures.rejections import Rejection

KEEP_ALIVE_GRACE = 1.0
"""Seconds that an idle connection stays open beyond the time announced in its last response."""

_LINGER_TIMEOUT = 1.0
"""Seconds for a client to read why it was refused while it still sends."""

_SLOW_BODY = 1.0
"""Seconds after which a request that still arrives may be refused when connections are full."""


class Connection(RequestReader, OpenConnection):
    """One connection of a client.

    Attributes:
        is_unwritable: whether its client does not read the responses.
    """

    def __init__(self, state: ListenerState) -> None:
        super().__init__(state)
        self._client = ""  # the client that it is counted for
        self._is_lingering = False  # it has its last response, and is read until the client has seen that
        self.is_unwritable = False

    # --- called by the transport ------------------------------------------------------------------

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = _plain(peer[0]) if isinstance(peer, tuple) else ""
        state = self._state
        self.since = now = self._loop.time()
        self.due_at = now + HEAD_TIMEOUT
        limit = state.limits.connections
        self._client = state.count(self._peer)
        has_enough = state.has_too_many(self._client)  # then no other connection has to go for its sake
        has_room = has_enough or len(state.connections) < limit or state.make_room(now)
        state.connections.add(self)
        state.watch()
        if len(state.connections) > 2 * limit:
            self.transport.abort()
        elif not has_room:
            self._refuse_unread(Overloaded("too many connections"))
        elif has_enough:
            self._refuse_unread(Overloaded("too many connections of one address"))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        if self._client:
            self._state.discount(self._client)
        self._release_head()
        self._parser = None  # the parser holds this object, and this object the parser
        left = [incoming for incoming in (self.incoming, *self.queue) if incoming]
        self.incoming = self.busy = None
        self.queue.clear()
        for incoming in left:  # the task of the request that is handled looks after that one
            self._forget_body(incoming)
            if incoming.record and not incoming.is_refused and self._state.receiver:
                self._state.receiver.abandon(incoming.record)

    @override
    def eof_received(self) -> bool:
        self.stopped_reading = True
        return self.busy is not None  # a client that has sent everything may still wait for its response

    @override
    def pause_writing(self) -> None:
        self.is_unwritable = True
        self._pace_reading()

    @override
    def resume_writing(self) -> None:
        self.is_unwritable = False
        self._pace_reading()

    def _pace_reading(self) -> None:
        if self.queue or self.is_unwritable:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    # --- deadlines and limits ---------------------------------------------------------------------

    def shutdown(self) -> None:
        """Finish what has begun as the process ends; uvicorn calls it."""
        self._state.is_closing = True
        if not (self.busy or self.incoming or self.is_in_head or self._is_lingering or self._has_arrived()):
            self.transport.close()

    @override
    def abort(self) -> None:
        self.transport.abort()

    @override
    def expire(self) -> None:
        if self._is_lingering or self.transport.is_closing():
            self.transport.abort()
        elif self.busy:
            self._give_up(self.busy)
        elif self.incoming or self.is_in_head:
            self._refuse_unread(RequestTimeout())
        elif not self._has_arrived():
            self.transport.close()

    @override
    def rank(self, now: float) -> tuple[int, float] | None:
        # First go connections that wait for a request or the rest of its head, the longest first; then those whose
        # body has been arriving for long.
        if self.busy or self.transport.is_closing():
            return None
        if self.incoming is None:
            return 0, self.since
        opened_at = self.incoming.opened_at
        return (1, opened_at) if now - opened_at > _SLOW_BODY else None

    @override
    def give_way(self) -> bool:
        if not self._is_lingering and self._has_arrived():
            return False
        if (self.incoming or self.is_in_head) and not self._is_lingering:
            self._refuse_unread(Overloaded("too many connections"))
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()
        self._state.connections.discard(self)
        return True

    def _has_arrived(self) -> bool:
        """Return whether bytes have arrived that the event loop is about to read: closing now would reset them."""
        if self.is_unwritable:  # nothing is read from it
            return False
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    # --- requests ---------------------------------------------------------------------------------

    @override
    def _refuse(self, incoming: Incoming, rejection: Rejection) -> None:
        self._forget_body(incoming)
        if incoming.record is None or self._state.receiver is None:  # not a webhook
            self.transport.abort()
        elif not incoming.is_refused:
            self._state.receiver.refuse(incoming.record, rejection)

    @override
    def _refuse_unread(self, rejection: Rejection) -> None:
        receiver, incoming = self._state.receiver, self.incoming
        if incoming is not None:
            self._refuse(incoming, rejection)
        elif receiver is not None:
            record = receiver.refuse_unread(self._peer, rejection)
            incoming = Incoming(NO_HEAD, record, self._loop.time(), stays_open=False)
        else:
            self.transport.abort()
        if incoming is not None and not self.transport.is_closing():
            self._end(incoming)

    @override
    def _end(self, incoming: Incoming) -> None:
        self.incoming = None
        self.is_in_head = False
        self._release_head()
        self.stopped_reading = self._has_unread = True
        self._take(incoming)

    @override
    def _take(self, incoming: Incoming) -> None:
        if self.busy is None:
            if incoming.record is None:  # a webhook gets the deadline of its provider
                self.due_at = incoming.body_due_at
            self._handle(incoming)
        else:
            self.queue.append(incoming)
            self._pace_reading()

    def _handle(self, incoming: Incoming) -> None:
        """Answer a request, at once or by a task."""
        record, state = incoming.record, self._state
        receiver = state.receiver
        if record is None or receiver is None:
            self._start(incoming, self._run_app(incoming))
            return
        if record.response is None and isinstance(record, RequestContext):
            if state.in_flight >= state.limits.in_flight:
                receiver.refuse(record, Overloaded("too many events at a time"))
            elif (job := receiver.examine(record, incoming.take_body())) is not None:
                if job.width or state.unproven < state.limits.unproven:
                    state.in_flight += job.width
                    state.unproven += not job.width
                    self.due_at = incoming.opened_at + record.route.deadline
                    self._start(incoming, self._run(incoming, receiver, record, job))
                    return
                receiver.refuse(record, Overloaded("too many requests wait for a key"))
        self._forget_body(incoming)
        self._respond(incoming, record.response)

    def _start(self, incoming: Incoming, work: Coroutine[Any, Any, None]) -> None:
        self.busy = incoming
        incoming.task = task = self._loop.create_task(work)
        self._state.tasks.add(task)

    async def _run(self, incoming: Incoming, receiver: Receiver, context: RequestContext, job: Job) -> None:
        width, state = job.width, self._state
        try:
            await receiver.run(context, job)
        finally:
            state.in_flight -= width
            state.unproven -= not width
            state.buffered -= incoming.forget()
            state.tasks.discard(incoming.task)
        self._go_on(incoming, context.response)

    async def _run_app(self, incoming: Incoming) -> None:
        try:
            response = await ask(self._state.app, incoming.head, incoming.take_body())
        finally:
            self._forget_body(incoming)
            self._state.tasks.discard(incoming.task)
        self._go_on(incoming, response)

    def _go_on(self, incoming: Incoming, response: Response | None) -> None:
        """Answer the request that was handled, and turn to those that arrived behind it."""
        if self.busy is not incoming:  # it was answered at its deadline, or its client has disconnected
            return
        self.busy = None
        self._respond(incoming, response)
        if self.queue:
            while self.queue and self.busy is None:
                self._handle(self.queue.popleft())
            self._pace_reading()

    def _give_up(self, incoming: Incoming) -> None:
        """Answer a request at its deadline. Its job goes on: if it succeeds, the provider's retry is a duplicate."""
        self.stopped_reading = self._has_unread = True
        record, receiver = incoming.record, self._state.receiver
        if record is None or receiver is None:
            self.abort()
        else:  # its body stays in memory, and counted, until the job ends
            receiver.refuse(record, Overloaded("no answer within the deadline"))
            self._go_on(incoming, record.response)

    # --- responses --------------------------------------------------------------------------------

    def _respond(self, incoming: Incoming, response: Response | None) -> None:
        transport, state = self.transport, self._state
        if response is None or transport.is_closing():
            return
        is_last = (self.stopped_reading or state.is_closing) and not self.queue
        keep_alive = None if is_last else state.limits.keep_alive
        body = response.body
        head = render_head(response.status, response.fields, len(body), keep_alive)
        if incoming.head.method == "HEAD" or response.status == NO_CONTENT:
            body = b""
        transport.write(head + state.date_line + body)
        self.since = now = self._loop.time()
        if is_last:
            self._hang_up(now)
        elif self.incoming:
            self.due_at = self.incoming.body_due_at
        elif keep_alive is not None:
            self.due_at = now + (HEAD_TIMEOUT if self.is_in_head else keep_alive + KEEP_ALIVE_GRACE)

    def _hang_up(self, now: float) -> None:
        """Close the connection; but while the client may still send, not before it can have read the response.

        Closing over unread bytes resets the connection, and a reset can overtake the response.
        """
        self.stopped_reading = True
        self.due_at = now + _LINGER_TIMEOUT
        if self._has_unread and self.transport.can_write_eof():
            self._is_lingering = True
            self.transport.write_eof()
        else:
            self.transport.close()

    def _forget_body(self, incoming: Incoming) -> None:
        self._state.buffered -= incoming.forget()


def _plain(peer: str) -> str:
    """Return an IPv4 address as such; a socket for both families writes it in IPv6 notation."""
    return peer.removeprefix("::ffff:") if "." in peer else peer
