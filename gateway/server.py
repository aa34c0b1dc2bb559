"""Running a gateway: two listeners on one event loop, from the first socket to the last confirm."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from math import ceil

import structlog
import uvicorn

from gateway.app import Gateway
from gateway.config import config_warnings
from gateway.config.models import Config
from gateway.errors import ConfigurationError, OperatorError
from gateway.http.apps import HEALTH_PATHS
from gateway.http.listener import Listener
from gateway.http.sockets import address_of, open_sockets
from gateway.http.state import Limits
from gateway.publishers.spool.files import SpoolInUse
from gateway.supervisor import ProcessContext

_OTHER_FILES = 48  # that the process has open: listeners, servers, stores, logs
_YOUNG_OBJECTS = 20_000  # allocations between collections of the youngest objects
_PATIENCE = 2.0  # seconds for a worker to reach its servers
_POLL_EVERY = 0.01
Listeners = tuple[list[socket.socket], list[socket.socket]]

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us: there are two of it on one loop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield


@contextmanager
def listening(config: Config) -> Iterator[Listeners]:
    """The sockets of the public and of the admin listener, open within the block.

    Raises:
        OperatorError: an address is taken.
    """
    with ExitStack() as stack:
        yield (
            [stack.enter_context(each) for each in open_sockets(config.server.bind, "bind")],
            [stack.enter_context(each) for each in open_sockets(config.server.admin_bind, "admin_bind")],
        )


@asynccontextmanager
async def running(
    gateway: Gateway, config: Config, listeners: Listeners | None = None
) -> AsyncIterator[tuple[str, str]]:
    """A gateway that serves within the block; gives an address of the public and of the admin listener.

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
            await _wait_ready(gateway)
        limits = _limits(config)
        listener = Listener(gateway.receiver, gateway.public, limits, HEALTH_PATHS)
        gateway.metrics.sample("webhook_connections", lambda: len(listener.connections))
        gateway.metrics.sample("webhook_requests_in_flight", lambda: listener.in_flight + listener.unproven)
        servers = [_server(listener, config), _server(Listener(None, gateway.admin, limits), config)]
        tasks = [
            asyncio.create_task(server.serve(sockets=sockets), name="listener")
            for server, sockets in zip(servers, (public, admin), strict=True)
        ]
        _settle_memory()
        log.info(
            "listening", webhooks=", ".join(map(address_of, public)), admin=", ".join(map(address_of, admin))
        )
        try:
            yield address_of(public[0]), address_of(admin[0])
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*tasks)
            await gateway.stop()
            log.info("stopped")


async def _wait_ready(gateway: Gateway) -> None:
    """Leave connections to the other workers until this one has its servers, or they are away anyhow."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + _PATIENCE
    while not gateway.is_ready() and loop.time() < give_up_at:
        await asyncio.sleep(_POLL_EVERY)


async def serve(
    gateway: Gateway,
    config: Config,
    read_again: Callable[[], Config],
    listeners: Listeners | None = None,
    worker: ProcessContext | None = None,
) -> None:
    """Run until SIGTERM or SIGINT; a second one ends the process at once, SIGHUP reads the configuration again.

    Args:
        gateway: what is served.
        config: what it was made of.
        read_again: reads the configuration, and raises ConfigurationError when it is wrong.
        listeners: sockets that other workers serve as well; by default it opens its own.
        worker: tells the parent, where this is one of several workers.

    Raises:
        OperatorError: see :func:`running`.
    """
    stop, reload = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    if worker:
        worker.watch(stop.set)
    else:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _on_signal, loop, stop)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    if worker is None or worker.slot == 0:
        log_config_warnings(config)
    reloading = asyncio.create_task(_keep_reloading(gateway, read_again, reload), name="reload")
    async with running(gateway, config, listeners):
        if worker:
            worker.note_started()
        await stop.wait()
        reloading.cancel()
        gateway.announce_end()
        await asyncio.sleep(config.server.shutdown_delay or 0)


async def _keep_reloading(gateway: Gateway, read_again: Callable[[], Config], reload: asyncio.Event) -> None:
    while True:
        await reload.wait()
        reload.clear()
        try:
            config = await asyncio.to_thread(read_again)
            fixed = gateway.reload(config)
        except ConfigurationError as error:
            for problem in error.args:
                log.warning("the new configuration is wrong, the old one stays", problem=str(problem))
        except Exception:
            log.exception("the new configuration cannot be used, the old one stays")
        else:
            log.info("configuration read again")
            log_config_warnings(config)
            for setting in fixed:
                log.warning("this setting changes with the next start only", setting=setting)


def log_config_warnings(config: Config) -> None:
    """Log what in the configuration is most likely a mistake."""
    for warning in config_warnings(config):
        log.warning("configuration", warning=warning)


def _on_signal(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
        signal.signal(number, _end_at_once)
    stop.set()


def _end_at_once(number: int, _: object) -> None:
    # Not the default action: the kernel keeps that from a process that is the first of its container.
    os._exit(128 + number)


def _settle_memory() -> None:
    """Keep the garbage collector away from what lives as long as the process.

    A full collection walks hundreds of thousands of such objects, and every request waits for it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


def _server(listener: Listener, config: Config) -> _Server:
    return _Server(
        uvicorn.Config(
            listener.app,
            http=listener,  # type: ignore[arg-type]  # it asks for a class and calls it
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            # Every request ends by its deadline; what is under way then is cancelled, and its claim given back.
            timeout_graceful_shutdown=ceil(config.server.deadline),
        )
    )


def _limits(config: Config) -> Limits:
    """What is configured, as far as the system lets us open as many files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS has a lower limit than it tells
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = config.server.max_connections
    if (
        files != resource.RLIM_INFINITY and (files - _OTHER_FILES) // 2 < most
    ):  # as many more while they are refused
        most = max((files - _OTHER_FILES) // 2, 1)
        log.warning("fewer connections than server.max_connections, for want of open files", connections=most)
    server = config.server
    return Limits(
        most, server.max_in_flight, server.max_buffered, server.keep_alive, server.max_connections_per_client
    )
