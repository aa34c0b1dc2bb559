"""The console of ``gateway dev``: its log goes through the lines of the terminal, and a link logs a browser in."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from gateway.config import Config
from gateway.console.child import ConsoleKeeper
from gateway.console.launch import ConsoleLauncher
from gateway.console.security.access import Access
from gateway.journal.capture import CaptureRing
from gateway.observability.counters import shared_counters
from gateway.observability.readiness import ReadinessBoard
from gateway.observability.shared_memory import SharedCounters
from gateway.operations.actions import system_user

_NOT_FIELDS = frozenset(("timestamp", "level", "event"))
"""The members of a line of JSON that are not fields of the log event."""

log = structlog.get_logger()


class DevConsole:
    """The console beside one ``gateway dev``.

    Args:
        path: The file of the configuration.
        config: The configuration.
        bind: The addresses of the command line.
        admin_bind: The same of the admin listener.

    Attributes:
        captures: The refused requests that it shares with the gateway; None if none are kept.
        counters: The numbers that it shares with the gateway.
        readiness: The state that it shares with the gateway.
        keeper: Starts it, and keeps it running.
    """

    def __init__(
        self, path: Path, config: Config, bind: list[str] | None, admin_bind: list[str] | None
    ) -> None:
        self.captures = None if config.capture == "off" else CaptureRing()
        self.counters: SharedCounters = shared_counters(1)
        self.readiness = ReadinessBoard(1)
        self._lines, output = os.pipe()
        self._output = output
        launcher = ConsoleLauncher(
            config=path,
            bind=bind,
            admin_bind=admin_bind,
            is_dev=True,
            log_format="json",
            slots=1,
            counters=self.counters.descriptor,
            readiness=self.readiness.descriptor,
            captures=self.captures.descriptor if self.captures else None,
            output=output,
        )
        self.keeper = ConsoleKeeper(launcher)

    @asynccontextmanager
    async def lines_forwarded(self) -> AsyncIterator[None]:
        """Put the lines of its log into the log of this process, for as long as the block runs."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        with os.fdopen(self._lines, "rb", 0) as pipe:
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
            task = asyncio.create_task(_forward(reader), name="lines of the console")
            try:
                yield
            finally:
                os.close(self._output)  # what it has written is read to the end
                await task
                transport.close()


def login_link(config: Config, console: str) -> str:
    """Return an address of the console that logs a browser in, once, within a minute."""
    if config.console.auth != "token":
        return console
    access = Access(config.data_dir)
    try:
        return access.login_link(console, system_user())
    finally:
        access.close()


async def _forward(reader: asyncio.StreamReader) -> None:
    async for line in reader:
        try:
            members = json.loads(line)
            level, event = members["level"], members["event"]
        except (ValueError, KeyError, TypeError):  # a program that crashes writes what it likes
            level, event, members = "warning", line.decode(errors="replace").rstrip(), {}
        fields = {name: value for name, value in members.items() if name not in _NOT_FIELDS}
        write = {"info": log.info, "error": log.error}.get(level, log.warning)
        write(event, **fields)
