"""The console process: serve the admin listener, and do what may take time, away from the processes that receive.

Metrics and health come first. They are read from shared memory, need neither configuration nor journal, and are served
even where everything else is broken.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
import uvicorn

import gateway
from gateway.config import Config
from gateway.console.configuration import load_configuration
from gateway.console.connections import ConsoleConnection
from gateway.console.frame import Frame
from gateway.console.launch import ConsoleSettings, LauncherVersion
from gateway.console.memory import return_unused
from gateway.console.metrics import ConsoleMetrics
from gateway.console.tasks import Tasks
from gateway.http.sockets import address_of
from gateway.journal.capture import CaptureRing
from gateway.observability.counters import shared_counters
from gateway.observability.logs import close_logs, configure_logs
from gateway.observability.metrics import MetricsReader
from gateway.observability.readiness import ReadinessBoard, SharedReadiness
from gateway.observability.shared_memory import SharedCounters

if TYPE_CHECKING:
    from gateway.console.assembly import Assembly

_PR_SET_PDEATHSIG = 1
"""The operation of ``prctl`` that has the kernel send a signal when the parent ends."""

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
    # A terminal sends it to the gateway as well, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _expect_version(msgspec.json.decode(text, type=LauncherVersion))
    settings = msgspec.json.decode(text, type=ConsoleSettings)
    _end_with(settings.parent)
    configure_logs(settings.log_format, "console")
    try:
        if settings.predecessor:
            log.warning("process replaced", predecessor=settings.predecessor)
        asyncio.run(_serve(settings))
    finally:
        close_logs()


def _expect_version(launcher: LauncherVersion) -> None:
    """Exit if the gateway that runs is of another version: its settings and its memory mean something else."""
    if launcher.version == gateway.__version__:
        return
    configure_logs(launcher.log_format, "console")
    log.error(
        "another version is installed; restart the gateway",
        running=launcher.version,
        installed=gateway.__version__,
    )
    close_logs()
    sys.exit(1)


def _end_with(parent: int) -> None:
    """Have this process killed when the parent ends, in whatever way: it must not hold the address any longer."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)


async def _serve(settings: ConsoleSettings) -> None:
    loop = asyncio.get_running_loop()
    stop, reload = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGHUP})
    files = settings.descriptors
    loop.add_reader(files.lifeline, os._exit, 1)  # where the kernel does not end it
    counters = shared_counters(settings.slots, files.counters)
    frame = Frame(
        [MetricsReader(counters), ConsoleMetrics(settings.starts)],
        SharedReadiness(ReadinessBoard(settings.slots, files.readiness)),
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
            config, problems = await asyncio.to_thread(load_configuration, settings)
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
