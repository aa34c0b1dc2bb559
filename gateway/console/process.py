"""The console process: serve the admin listener, and do what may take time, away from the processes that receive.

Metrics and health come first. They are read from shared memory, need neither configuration nor journal, and are served
even where everything else is broken.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import uvicorn

from gateway.config import Config
from gateway.console.configuration import load_configuration
from gateway.console.connections import ConsoleConnection
from gateway.console.frame import Frame
from gateway.console.launch import ConsoleSettings
from gateway.console.memory import return_unused
from gateway.console.metrics import ConsoleMetrics
from gateway.console.tasks import Tasks
from gateway.http.sockets import address_of
from gateway.journal.capture import CaptureRing
from gateway.observability.counters import shared_counters
from gateway.observability.launched import follow_launcher, launched
from gateway.observability.metrics import MetricsReader
from gateway.observability.outbound_counters import OutboundReader, outbound_counters
from gateway.observability.readiness import ReadinessBoard, SharedReadiness
from gateway.observability.shared_memory import SharedCounters

if TYPE_CHECKING:
    from gateway.console.assembly import Assembly

_MAX_CONNECTIONS = 256
"""Connections and tasks at a time; further requests are answered 503. Each viewer of a live page holds one."""

_GRACE = 1
"""Seconds that requests have for their end; live pages would go on for ever."""

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


def main(text: str) -> None:
    """Run the console with the settings of its launcher, in JSON, until it is asked to end or the gateway has ended."""
    with launched(text, "console", ConsoleSettings) as settings:
        asyncio.run(_serve(settings))


async def _serve(settings: ConsoleSettings) -> None:
    stop, reload = follow_launcher(settings)
    files = settings.descriptors
    counters = shared_counters(settings.slots, files.counters)
    outbound = OutboundReader(outbound_counters(files.outbound))
    frame = Frame(
        [MetricsReader(counters), ConsoleMetrics(settings.starts), outbound],
        SharedReadiness(ReadinessBoard(settings.slots, files.readiness), outbound.unavailable_reasons),
    )
    sockets = [socket.socket(fileno=each) for each in files.admin]
    server = _server(frame)
    serving = asyncio.create_task(server.serve(sockets=sockets), name="listener")
    log.info("listening", admin=", ".join(map(address_of, sockets)))
    tasks = Tasks()
    tasks.start("console", lambda: _run(settings, frame, counters, reload))
    await asyncio.wait([serving, asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    frame.end_streams()
    await serving
    await tasks.stop()


async def _run(
    settings: ConsoleSettings, frame: Frame, counters: SharedCounters, reload: asyncio.Event
) -> None:
    """Run what needs the configuration; read it again whenever ``reload`` is set.

    Raises:
        Exception: Whatever keeps the console from being built, such as a data directory that cannot be used.
    """
    assembly: Assembly | None = None
    try:
        while True:
            config, problems = await asyncio.to_thread(
                load_configuration,
                Path(settings.config),
                settings.bind,
                settings.admin_bind,
                is_dev=settings.is_dev,
            )
            if assembly:
                assembly.config, assembly.problems = config or assembly.config, problems
            elif config:
                assembly = await asyncio.to_thread(_assemble, settings, config, frame, counters)
                await assembly.start()
                frame.console = assembly.app
                await asyncio.to_thread(return_unused)
            else:
                frame.problem = "The configuration cannot be used; the log says why."
                for problem in problems:
                    log.warning("configuration rejected", problem=problem)
            await reload.wait()
            reload.clear()
    except Exception as error:
        frame.problem = f"The console cannot be opened: {error}"
        raise
    finally:
        frame.console = None
        if assembly:
            await assembly.stop()


def _assemble(settings: ConsoleSettings, config: Config, frame: Frame, counters: SharedCounters) -> Assembly:
    from gateway.console.assembly import Assembly

    captures = settings.descriptors.captures
    ring = None if captures is None else CaptureRing(captures)
    return Assembly(config, Path(settings.config).parent, frame, counters, ring)


def _server(app: Frame) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            loop="none",
            http=ConsoleConnection,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE,
        )
    )
