"""Running a gateway: two listeners on one event loop, from the first socket to the last confirm."""

from __future__ import annotations

import asyncio
import gc
import resource
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from math import ceil

import structlog
import uvicorn

from gateway.app import Gateway
from gateway.asgi import HEALTH_PATHS
from gateway.config.models import Config, split_bind
from gateway.errors import OperatorError
from gateway.http import Limits, Listener

_BACKLOG = 2048
_OTHER_FILES = 48  # that the process has open: listeners, servers, stores, logs
_YOUNG_OBJECTS = 20_000  # allocations between collections of the youngest objects

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us: there are two of it on one loop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield


@asynccontextmanager
async def running(gateway: Gateway, config: Config) -> AsyncIterator[tuple[str, str]]:
    """A gateway that serves within the block; gives the addresses of the public and the admin listener.

    Raises:
        OperatorError: an address is taken, or an embedded store cannot be opened.
    """
    with (
        _listening(config.server.bind, "bind") as public,
        _listening(config.server.admin_bind, "admin_bind") as admin,
    ):
        try:
            await gateway.start()
        except OSError as error:
            raise OperatorError(f"cannot open the embedded stores: {error}") from error
        limits = _limits(config)
        servers = [
            _server(Listener(gateway.webhooks, gateway.public, limits, HEALTH_PATHS), config),
            _server(Listener(None, gateway.admin, limits), config),
        ]
        tasks = [
            asyncio.create_task(server.serve(sockets=[listener]), name="listener")
            for server, listener in zip(servers, (public, admin), strict=True)
        ]
        _settle_memory()
        addresses = _address(public), _address(admin)
        log.info("listening", webhooks=addresses[0], admin=addresses[1])
        try:
            yield addresses
        finally:
            for server in servers:
                server.should_exit = True
            await asyncio.gather(*tasks)
            await gateway.stop()
            log.info("stopped")


async def serve(gateway: Gateway, config: Config) -> None:
    """Run until SIGTERM or SIGINT; a second one ends the process at once.

    Raises:
        OperatorError: see :func:`running`.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _on_signal, loop, stop)
    async with running(gateway, config):
        await stop.wait()


def _on_signal(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
    stop.set()


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
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    most = max(soft - _OTHER_FILES, 1) if soft != resource.RLIM_INFINITY else config.server.max_connections
    if most < config.server.max_connections:
        log.warning("fewer connections than server.max_connections, for want of open files", connections=most)
    return Limits(
        min(config.server.max_connections, most), config.server.max_in_flight, config.server.max_buffered
    )


@contextmanager
def _listening(bind: str, setting: str) -> Iterator[socket.socket]:
    host, port = split_bind(bind)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise OperatorError(
            f"cannot listen at {bind}: {error.strerror or error}; is another program there? "
            f"Change server.{setting} or use --{setting.replace('_', '-')}."
        ) from error
    with listener:
        yield listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
