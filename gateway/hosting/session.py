"""Run a worker: inside somebody's event loop, or as a program with signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from os import PathLike
from pathlib import Path

import structlog
import uvloop

from gateway.backends import messaging_system_of, open_runner
from gateway.config import Config
from gateway.config.discovery import DEFAULT_CONFIG, load_without_secrets
from gateway.errors import OperatorError
from gateway.hosting.unrouted_notice import report_unrouted
from gateway.observability.logs import LogFormat, configure_logs, log_to_stdlib
from gateway.observability.terminal import is_terminal, printable
from gateway.observability.tracing import tracing
from gateway.worker import Worker
from gateway.worker.runner import Runner

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger()


async def run(worker: Worker, config: str | PathLike[str] | Config | None) -> None:
    """Run ``worker`` until the task is cancelled; see :meth:`gateway.worker.Worker.run`."""
    loaded = _load(config)
    if not structlog.is_configured():
        log_to_stdlib(exception_messages=loaded.log.exception_messages)
    async with _open(worker, loaded) as runner:
        await run_runner(worker, runner, loaded)


@asynccontextmanager
async def running(worker: Worker, config: str | PathLike[str] | Config | None) -> AsyncIterator[None]:
    """Run ``worker`` beside the block; see :meth:`gateway.worker.Worker.running`."""
    loaded = _load(config)
    if not structlog.is_configured():
        log_to_stdlib(exception_messages=loaded.log.exception_messages)
    async with _open(worker, loaded) as runner:
        task = asyncio.create_task(run_runner(worker, runner, loaded), name=f"worker {worker.queue}")
        watch = _FailureWatch(task)
        try:
            yield
        except asyncio.CancelledError:
            if not watch.has_cancelled_block():
                raise
        finally:
            watch.stop()
            runner.end()
            await task  # raises the worker's failure in place of the cancellation that it caused


def run_sync(worker: Worker, config: str | PathLike[str] | Config | None) -> None:
    """Run ``worker`` as the whole of a program; see :meth:`gateway.worker.Worker.run_sync`."""
    if _has_running_loop():
        raise RuntimeError("an event loop runs in this thread; write `await worker.run()` there")
    try:
        loaded = _load(config)
        if not structlog.is_configured():
            log_format: LogFormat = "console" if is_terminal(sys.stdout) else "json"
            configure_logs(log_format, exception_messages=loaded.log.exception_messages)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            loop.run(_run_until_signal(worker, loaded))
    except OperatorError as error:
        sys.stderr.write(printable(str(error), keep="\n") + "\n")
        sys.exit(error.exit_code)


async def _run_until_signal(worker: Worker, config: Config) -> None:
    async with _open(worker, config) as runner:
        end_on_signal(runner.end)
        await run_runner(worker, runner, config)


def end_on_signal(end: Callable[[], None]) -> None:
    """Call ``end`` at the first SIGTERM or SIGINT; exit at once at the second.

    Outside the main thread, which alone gets signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, _exit_immediately)
        end()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)


async def run_runner(worker: Worker, runner: Runner, config: Config) -> None:
    """Run ``worker`` until its end, and log both; report the unrouted events that it could take.

    Raises:
        OperatorError: The worker has no handlers, or its queue cannot be opened.
    """
    if not worker.handled:
        raise OperatorError(
            f"the worker of {worker.queue} has no handlers; add a function with @worker.on(...)"
        )
    log.info("worker started", queue=worker.queue, events=list(worker.events), handled=list(worker.handled))
    reporting = asyncio.create_task(report_unrouted(config, worker), name="reporting unrouted events")
    try:
        await runner.run()
    except OSError as error:
        raise OperatorError(f"the queue cannot be opened: {error}") from error
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        log.info("worker ended", queue=worker.queue, **runner.counts)
        if runner.abandoned:
            log.warning("handlers still running", queue=worker.queue, threads=runner.abandoned)


@asynccontextmanager
async def _open(worker: Worker, config: Config) -> AsyncIterator[Runner]:
    with ExitStack() as stack:
        spans = stack.enter_context(tracing(messaging_system_of(config), config.rabbitmq.exchange))
        try:
            yield open_runner(config, worker, spans)
        finally:
            await asyncio.to_thread(stack.close)  # it waits for the last spans to be sent


def _load(config: str | PathLike[str] | Config | None) -> Config:
    if isinstance(config, Config):
        return config
    return load_without_secrets(Path(config or os.environ.get("GATEWAY_CONFIG") or DEFAULT_CONFIG))


def _has_running_loop() -> bool:
    with suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False


def _exit_immediately(number: int, _: object) -> None:
    # Not the default action, which the kernel withholds from the first process of a container.
    os._exit(128 + number)


class _FailureWatch:
    """Cancels the current task when ``task`` ends by itself, which means that it failed."""

    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task
        self._block = asyncio.current_task()
        self._cancellations = self._block.cancelling() if self._block else 0  # before ours
        self._has_cancelled = False
        task.add_done_callback(self._cancel_block)

    def stop(self) -> None:
        """Let the task end without a consequence."""
        self._task.remove_done_callback(self._cancel_block)

    def has_cancelled_block(self) -> bool:
        """Return whether the failure, and nothing else, has cancelled the block; take the cancellation back."""
        return (
            self._has_cancelled and self._block is not None and self._block.uncancel() <= self._cancellations
        )

    def _cancel_block(self, _: asyncio.Task[None]) -> None:
        if self._block is not None:
            self._has_cancelled = True
            self._block.cancel()
