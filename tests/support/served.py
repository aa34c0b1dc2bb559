"""A gateway in memory behind its own listener, and callers that write HTTP themselves."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast
from unittest.mock import patch

from gateway import server
from gateway.app import Gateway
from gateway.config import Config
from gateway.events.schemas import Catalogue
from gateway.http.connection import Connection
from gateway.http.listener import Listener
from gateway.server import running
from support.spies import SECRET, SpyClaims, SpyPublisher, bundled_schemas
from support.waiting import PATIENCE, wait_until_async

Serve = Callable[..., Awaitable["Served"]]


def webhook(
    event_id: str = "1",
    body: bytes = b'{"zen":"Design for failure."}',
    *fields: bytes,
    line: bytes = b"POST /webhooks/github HTTP/1.1",
    framing: bytes | None = None,
) -> bytes:
    """One delivery as GitHub signs it, as bytes; ``fields`` are further lines of its head."""
    signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    head = [
        line,
        b"Host: gateway.test",
        b"Content-Type: application/json",
        b"X-GitHub-Event: zen",
        b"X-GitHub-Delivery: " + event_id.encode(),
        b"X-Hub-Signature-256: sha256=" + signature.encode(),
        b"Content-Length: %d" % len(body) if framing is None else framing,
        *fields,
    ]
    return b"\r\n".join([*head, b"", b"" if framing else body])


def chunked(body: bytes, size: int) -> bytes:
    """A body in chunks of ``size`` bytes, up to the last one, which the end of the trailers has to follow."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n"


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        status: its status.
        fields: its header fields, names in lower case.
        body: its body.
    """

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def word(self) -> tuple[int, str]:
        """Its status, and the reason or what became of the event."""
        content = json.loads(self.body)
        return self.status, content.get("reason") or content["status"]

    @property
    def is_last(self) -> bool:
        """Whether the connection ends with it."""
        return self.fields.get("connection") == "close"


class Caller:
    """One connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *parts: bytes) -> None:
        """Write without waiting for anything."""
        self._writer.write(b"".join(parts))

    async def drained(self) -> None:
        """Wait until what was written is on its way."""
        while self._writer.transport.get_write_buffer_size():
            await asyncio.sleep(0)

    def push(self, data: bytes) -> None:
        """Put bytes into the connection at once, before the gateway has a turn to read them."""
        assert os.write(self._writer.get_extra_info("socket").fileno(), data) == len(data)

    def end(self) -> None:
        """Send nothing more, but listen."""
        self._writer.write_eof()

    def leave(self) -> None:
        """Go away in order."""
        self._writer.close()

    def reset(self) -> None:
        """Go away as a process that is killed does."""
        own = self._writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def stop_reading(self) -> None:
        """Leave unread what comes."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]

    def read_on(self) -> None:
        """Read again."""
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]

    async def interim(self) -> bytes:
        """The next status line with the blank line behind it."""
        return await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE)

    async def reply(self, *, to_head: bool = False) -> Reply:
        """The next answer."""
        line, *fields = (await self.interim()).decode().split("\r\n")[:-2]
        headers = dict(field.lower().split(": ", 1) for field in fields)
        length = 0 if to_head else int(headers["content-length"])
        body = await asyncio.wait_for(self._reader.readexactly(length), PATIENCE)
        return Reply(int(line.split()[1]), headers, body)

    async def rest(self) -> bytes:
        """Everything until the gateway closes, even by a reset."""
        try:
            return await asyncio.wait_for(self._reader.read(), PATIENCE)
        except ConnectionResetError:
            return b""

    async def ask(self, *parts: bytes) -> Reply:
        """Send a request and take its answer."""
        self.send(*parts)
        return await self.reply()


class Served:
    """A gateway in memory that listens at a port of its own.

    Args:
        folder: for its data.
        logs: where the lines of its log are put.
        settings: of the configuration; ``provider`` for those of github, whose events it takes.

    Attributes:
        publisher: a broker whose confirms the test can hold back.
        claims: the claim store.
        gateway: the gateway.
        logs: the lines of its log.
    """

    def __init__(self, folder: Path, logs: list[MutableMapping[str, Any]], **settings: Any) -> None:
        provider = settings.pop("provider", {})
        server_settings = {"bind": "127.0.0.1:0", "admin_bind": "127.0.0.1:0", **settings.pop("server", {})}
        self.logs = logs
        self.publisher, self.claims = SpyPublisher([]), SpyClaims([])
        self.config = Config.model_validate(
            {
                "data_dir": str(folder),
                "server": server_settings,
                "providers": {"github": {"adapter": "github", "secrets": [SECRET], **provider}},
                **settings,
            }
        )
        with patch.object(Catalogue, "bundled", bundled_schemas):
            self.gateway = Gateway(self.config, folder, claims=self.claims, publisher=self.publisher)
        self._callers: list[Caller] = []
        self._listeners: list[Listener] = []
        self._running = running(self.gateway, self.config)
        self._is_running = False

    async def __aenter__(self) -> Self:
        def listen(*arguments: Any) -> Listener:
            self._listeners.append(Listener(*arguments))
            return self._listeners[-1]

        with patch.object(server, "Listener", listen):
            address, _ = await self._running.__aenter__()
        self._port = int(address.rpartition(":")[2])
        self._is_running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hang_up()
        await self.stop()

    async def stop(self) -> None:
        """End it as a signal does."""
        if self._is_running:
            self._is_running = False
            await self._running.__aexit__(None, None, None)

    @property
    def listener(self) -> Listener:
        """What listens to senders."""
        return self._listeners[0]

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """That one and the operator's."""
        return tuple(self._listeners)

    @property
    def connection(self) -> Connection:
        """The only connection."""
        (connection,) = self.connections
        return connection

    @property
    def connections(self) -> list[Connection]:
        """The open connections."""
        return [cast("Connection", connection) for connection in self.listener.connections]

    @property
    def published(self) -> list[str]:
        """The ids of the events that the broker has, in their order."""
        return [message.message_id for message in self.publisher.messages]

    @property
    def outcomes(self) -> Counter[str]:
        """How many requests ended in which way; each has one line in the log, and is counted once."""
        lines = Counter(str(line["outcome"]) for line in self.logs if line["event"] == "request")
        (requests,) = (
            family for family in self.gateway.metrics.collect() if family.name == "webhook_requests"
        )
        counted: Counter[str] = Counter()
        for sample in requests.samples:
            counted[sample.labels["outcome"]] += int(sample.value)
        assert lines == +counted
        return lines

    async def call(self) -> Caller:
        """A new connection."""
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self._port))
        self._callers.append(caller)
        return caller

    async def until(self, condition: Callable[[], Any], message: str) -> None:
        """Wait for something to become true in the gateway."""
        await wait_until_async(condition, PATIENCE, message)

    async def until_publishing(self, count: int = 1) -> None:
        """Wait until so many events wait for their confirm."""
        await self.until(lambda: self.publisher.waiting == count, f"{count} events wait for their confirm")

    async def until_alone(self) -> None:
        """Wait until there is no connection."""
        await self.until(lambda: not self.listener.connections, "all connections are gone")

    async def expect_released(self) -> None:
        """Raise when it holds on to anything of requests that are over."""
        self.publisher.gate.set()
        self._hang_up()
        await self.until_alone()
        await self.until(lambda: not self.listener.tasks, "nothing is being worked on")
        assert (self.listener.buffered, self.listener.in_flight) == (0, 0)

    def _hang_up(self) -> None:
        for caller in self._callers:
            caller.leave()
