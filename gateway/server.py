"""Running a gateway: two listeners on one event loop, from the first socket to the last confirm."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext

import structlog
import uvicorn
from starlette.types import ASGIApp

from gateway.app import Gateway
from gateway.config.models import Config, split_bind
from gateway.errors import OperatorError
from gateway.http import Protocol
from gateway.worker import Worker

_BACKLOG = 2048
_KEEP_ALIVE = 30  # seconds
_YOUNG_OBJECTS = 20_000  # allocations between collections of the youngest objects
_GRACE = 2.0  # seconds beyond the request deadline
_PATIENCE = 2.0  # seconds for a worker to reach its servers
_POLL_EVERY = 0.01

Listeners = tuple[socket.socket, socket.socket]

log = structlog.get_logger()


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to us: there are two of it on one loop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing to capture."""
        yield


@contextmanager
def listening(config: Config) -> Iterator[Listeners]:
    """The sockets of the public and the admin listener, open within the block.

    Raises:
        OperatorError: an address is taken.
    """
    with (
        _listening(config.server.bind, "bind") as public,
        _listening(config.server.admin_bind, "admin_bind") as admin,
    ):
        yield public, admin


@asynccontextmanager
async def running(
    gateway: Gateway, config: Config, listeners: Listeners | None = None
) -> AsyncIterator[tuple[str, str]]:
    """A gateway that serves within the block; gives the addresses of the public and the admin listener.

    Raises:
        OperatorError: an address is taken, or an embedded store cannot be opened.
    """
    with nullcontext(listeners) if listeners else listening(config) as (public, admin):
        try:
            await gateway.start()
        except OSError as error:
            raise OperatorError(f"cannot open the embedded stores: {error}") from error
        if listeners:
            await _wait_ready(gateway)
        servers = [_server(gateway.public, config), _server(gateway.admin, config)]
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


async def _wait_ready(gateway: Gateway) -> None:
    """Leave connections to the other workers until this one has its servers, or they are away anyhow."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + _PATIENCE
    while not gateway.is_ready() and loop.time() < give_up_at:
        await asyncio.sleep(_POLL_EVERY)


async def serve_as_worker(gateway: Gateway, config: Config, listeners: Listeners, worker: Worker) -> None:
    """Run on sockets that other workers serve as well, until a signal or the end of the parent.

    Raises:
        OperatorError: an embedded store cannot be opened.
    """
    stop = asyncio.Event()
    worker.watch(stop.set)
    async with running(gateway, config, listeners):
        worker.note_started()
        await stop.wait()


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


def _server(app: ASGIApp, config: Config) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            interface="asgi3",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=int(config.server.deadline + _GRACE),
        )
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
