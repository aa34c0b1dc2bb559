"""Run one gateway process: its listeners on one event loop, from the first socket to the last confirm.

The module has slightly more than 200 lines because start, reload and end of a process depend on one another's
order.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from math import ceil

import structlog
import uvicorn

from gateway.app import Gateway
from gateway.config import config_warnings
from gateway.config.models import Config
from gateway.errors import AddressInUse, ConfigurationError, OperatorError
from gateway.hosting.companions import Companions
from gateway.http.apps import HEALTH_PATHS
from gateway.http.listener import Listener
from gateway.http.sockets import address_of, open_sockets
from gateway.http.state import Limits
from gateway.publishers.spool.files import SpoolInUse
from gateway.supervisor import ProcessContext
from gateway.transport.program import settle_memory
from gateway.transport.readiness import wait_ready

_OTHER_FILES = 48
"""Open files of the process that are no connections of clients: listeners, servers, stores, logs."""

_READY_TIMEOUT = 2.0
"""Seconds that a process of several waits for its servers, while the others take the connections."""

_BIND_TIMEOUT = 1.0
"""Seconds that the processes of a gateway that was killed have to leave its addresses to the next one."""

_BIND_DELAY = 0.05
"""Seconds between two attempts to take an address."""

Listeners = tuple[list[socket.socket], list[socket.socket]]

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the gateway, which runs two servers on one loop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signals."""
        yield


@contextmanager
def listening(config: Config) -> Iterator[Listeners]:
    """Open the sockets of the public and of the admin listener for the block.

    Raises:
        OperatorError: an address is taken.
    """
    with ExitStack() as stack:
        yield (
            [stack.enter_context(each) for each in _open_in_time(config.server.bind, "bind")],
            [stack.enter_context(each) for each in _open_in_time(config.server.admin_bind, "admin_bind")],
        )


def _open_in_time(binds: list[str], setting: str) -> list[socket.socket]:
    """Open sockets; wait a moment for an address that a gateway still has that was killed just now."""
    ends_at = time.monotonic() + _BIND_TIMEOUT
    while True:
        try:
            return open_sockets(binds, setting)
        except AddressInUse:
            if time.monotonic() > ends_at:
                raise
            time.sleep(_BIND_DELAY)


@asynccontextmanager
async def running(
    gateway: Gateway,
    config: Config,
    listeners: Listeners | None = None,
    companions: Companions | None = None,
) -> AsyncIterator[tuple[str, str]]:
    """Serve a gateway within the block; yield an address of the public and of the admin listener.

    Args:
        gateway: the gateway.
        config: its configuration.
        listeners: sockets that other processes serve as well; without admin sockets if the console of all has them. By
            default the gateway opens its own.
        companions: run beside it. Without a console, the gateway serves the admin listener.

    Raises:
        OperatorError: an address is taken, or a store cannot be opened.
    """
    with nullcontext(listeners) if listeners else listening(config) as (public, admin):
        try:
            await gateway.start()
        except SpoolInUse as error:
            raise ConfigurationError(str(error)) from error
        except OSError as error:
            raise OperatorError(f"cannot open the stores in data_dir: {error}") from error
        if listeners:
            # Until then the connections are left to the other processes; the servers may be away for all of them.
            await wait_ready(gateway.is_ready, _READY_TIMEOUT)
        limits = _limits(config)
        listener = Listener(gateway.receiver, gateway.public, limits, HEALTH_PATHS)
        gateway.metrics.sample("webhook_connections", lambda: len(listener.connections))
        gateway.metrics.sample("webhook_requests_in_flight", lambda: listener.in_flight + listener.unproven)
        servers = [(_server(listener, config), public)]
        has_console = companions is not None and companions.has_console
        if admin and not has_console:
            servers.append((_server(Listener(None, gateway.admin, limits), config), admin))
        tasks = [
            asyncio.create_task(server.serve(sockets=sockets), name="listener") for server, sockets in servers
        ]
        if companions:
            companions.start(admin)
        settle_memory()
        webhooks = ", ".join(map(address_of, public))
        if admin and not has_console:
            log.info("listening", webhooks=webhooks, admin=", ".join(map(address_of, admin)))
        else:
            log.info("listening", webhooks=webhooks)
        try:
            yield address_of(public[0]), address_of(admin[0]) if admin else ""
        finally:
            if companions:
                companions.begin_end()
            for server, _ in servers:
                server.should_exit = True
            await asyncio.gather(*tasks)
            await gateway.stop()
            if companions:  # last, because the console reports the end as well
                await companions.stop()
            log.info("stopped")


async def serve(
    gateway: Gateway,
    config: Config,
    read_again: Callable[[], Config],
    listeners: Listeners | None = None,
    process: ProcessContext | None = None,
    companions: Companions | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. A second one ends the process at once; SIGHUP reloads the configuration.

    Args:
        gateway: the gateway.
        config: its configuration.
        read_again: reads the configuration, and raises ConfigurationError if it is wrong.
        listeners: sockets that other processes serve as well; by default the gateway opens its own.
        process: the connection to the parent, if this is one of several processes.
        companions: run beside it; see :func:`running`.

    Raises:
        OperatorError: see :func:`running`.
    """
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    if process:
        process.watch(stop.set)
    else:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _on_signal, loop, stop)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    if process is None or process.slot == 0:
        log_config_warnings(config)
    reloading = asyncio.create_task(_keep_reloading(gateway, read_again, reload, companions), name="reload")
    async with running(gateway, config, listeners, companions):
        if process:
            process.note_started()
        await stop.wait()
        reloading.cancel()
        gateway.announce_end()
        await asyncio.sleep(config.server.shutdown_delay or 0)


async def _keep_reloading(
    gateway: Gateway, read_again: Callable[[], Config], reload: asyncio.Event, companions: Companions | None
) -> None:
    """Reload the configuration at each event; after any failure the gateway keeps the one that it has."""
    while True:
        await reload.wait()
        reload.clear()
        try:
            config = await asyncio.to_thread(read_again)
            if companions:
                companions.note(config)
            fixed = gateway.reload(config)
            await gateway.reload_certificates()
        except ConfigurationError as error:
            for problem in error.args:
                log.warning("configuration rejected", problem=str(problem))
        except Exception:
            log.exception("configuration reload failed")
        else:
            log.info("configuration reloaded")
            log_config_warnings(config)
            for setting in fixed:
                log.warning("setting needs a restart", setting=setting)
        finally:
            if companions:
                companions.reload()


def log_config_warnings(config: Config) -> None:
    """Log the parts of the configuration that are probably mistakes."""
    for warning in config_warnings(config):
        log.warning("configuration warning", warning=warning)


def _on_signal(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
        signal.signal(number, _end_at_once)
    stop.set()


def _end_at_once(number: int, _: object) -> None:
    # Not the default action: the kernel does not apply it to the first process of a container.
    os._exit(128 + number)


def _server(listener: Listener, config: Config) -> _Server:
    return _Server(
        uvicorn.Config(
            listener.app,
            http=listener,  # type: ignore[arg-type]  # uvicorn asks for a class, and only calls it
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            # Every request ends by its deadline. What is still under way then is cancelled, and its claim released.
            timeout_graceful_shutdown=ceil(config.server.deadline),
        )
    )


def _limits(config: Config) -> Limits:
    """Return the configured limits, lowered if the system does not allow as many open files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS reports a higher limit than it allows
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = config.server.max_connections
    # Half of the files: as many connections again may be open while they are being refused.
    if files != resource.RLIM_INFINITY and (files - _OTHER_FILES) // 2 < connections:
        connections = max((files - _OTHER_FILES) // 2, 1)
        log.warning("connection limit lowered", connections=connections, open_files=files)
    server = config.server
    return Limits(
        connections,
        server.max_in_flight,
        server.max_buffered,
        server.keep_alive,
        server.max_connections_per_client,
    )
