"""The channel on which a publishing connection declares its topology, and declares it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pamqp import base, commands, frame, header
from typing_extensions import override

from gateway.publishers.declaration import Channel, Part, declare, expect_write

DECLARING_CHANNEL = 2
"""The number of the channel for declarations. A refused one closes its channel, which must not end publishes."""

_MIN_INTERVAL = 1.0
"""Seconds between two declarations of the topology, however many messages are returned meanwhile."""


class TopologyChannel(Channel):
    """Declares on a channel of its own, opened when needed, and again after each refusal.

    Args:
        call: Sends a synchronous method on a channel of the connection and returns its reply.
        write: Sends bytes.
        on_failure: Called when the topology cannot be declared again.
        interval: Seconds after which the topology is declared again.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        call: Callable[[base.Frame, int], Awaitable[Any]],
        write: Callable[[bytes], None],
        on_failure: Callable[[OSError], None],
        interval: float,
        clock: Callable[[], float],
    ) -> None:
        self.server_version = ""
        self._call = call
        self._write = write
        self._on_failure = on_failure
        self._interval = interval
        self._now = clock
        self._is_open = False
        self._commands: Sequence[base.Frame] = ()
        self._declared_at = clock()
        self._task: asyncio.Task[None] | None = None

    @override
    async def call(self, command: base.Frame) -> Any:
        await self._open()
        return await self._call(command, DECLARING_CHANNEL)

    @override
    async def publish(self, exchange: str, properties: commands.Basic.Properties) -> None:
        await self._open()
        self._write(frame.marshal(commands.Basic.Publish(exchange=exchange), DECLARING_CHANNEL))
        self._write(frame.marshal(header.ContentHeader(0, 0, properties), DECLARING_CHANNEL))
        await self.call(commands.Basic.Qos())  # its reply comes after the broker has read the message

    def note_server(self, start: commands.Connection.Start) -> None:
        """Note which version of RabbitMQ has answered."""
        self.server_version = str((start.server_properties or {}).get("version", ""))

    async def declare(self, topology: Sequence[Part], targets: Sequence[str], user: str) -> list[str]:
        """Declare ``topology`` and check that ``user`` may publish to ``targets``.

        Returns:
            Warnings for the operator, one line each.

        Raises:
            BrokerRefusal: The broker refuses one of these.
        """
        declared = await declare(self, topology, user)
        await expect_write(self, targets, user)
        self._commands, self._declared_at = declared.commands, self._now()
        return declared.warnings

    def redeclare(self) -> None:
        """Declare the topology again, at most once a second: a part of it may be missing."""
        if self._task is None and self._now() - self._declared_at > _MIN_INTERVAL:
            self._task = asyncio.get_running_loop().create_task(
                self._redeclare(), name="redeclare the topology"
            )
            self._task.add_done_callback(self._on_redeclared)

    def redeclare_if_due(self) -> None:
        """Declare the topology again if the last time is longer ago than the interval."""
        if self._now() - self._declared_at > self._interval:
            self.redeclare()

    def note_closed(self) -> None:
        """Note that the broker has closed the channel."""
        self._is_open = False

    async def _open(self) -> None:
        if not self._is_open:
            await self._call(commands.Channel.Open(), DECLARING_CHANNEL)
            self._is_open = True

    async def _redeclare(self) -> None:
        self._declared_at = self._now()
        for command in self._commands:
            await self.call(command)

    def _on_redeclared(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()):
            # What was there is gone, or has changed: the next connection finds out how to go on.
            self._on_failure(error if isinstance(error, OSError) else ConnectionError(repr(error)))
