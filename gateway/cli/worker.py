"""``gateway worker``: run a worker, or declare its queues."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import typer

from gateway.backends import messaging_system_of, open_queue, open_runner
from gateway.cli.common import parse_log_format, run
from gateway.cli.metrics import serve_metrics
from gateway.config import Config
from gateway.config.discovery import load_without_secrets
from gateway.config.known_types import doubt_key_pattern
from gateway.errors import OperatorError
from gateway.hosting.reload import Reloader
from gateway.hosting.session import end_on_signal, run_runner
from gateway.observability.logs import close_logs, configure_logs
from gateway.observability.tracing import tracing
from gateway.worker import Worker
from gateway.worker.backoff import Backoff
from gateway.worker.metrics import WorkerMetrics
from gateway.worker.runner import Runner

if TYPE_CHECKING:
    from gateway.observability.tracing.spans import Spans


log = structlog.get_logger()


def run_worker(
    path: Path, target: str, log_format: str | None, metrics: str | None, *, only_check: bool
) -> None:
    """Run the worker until a signal stops it, or declare its queues."""
    logs = parse_log_format(log_format)
    config = load_without_secrets(path)
    worker = find_worker(target)
    if only_check:
        run(_check(config, worker))
        return
    configure_logs(logs, exception_messages=config.log.exception_messages)
    with tracing(messaging_system_of(config), config.rabbitmq.exchange) as spans:
        runner = run(_work(config, worker, metrics, spans))
    if runner.abandoned:  # Python would wait for threads that have exceeded their grace period
        close_logs()
        os._exit(1)


def run_reloading(path: Path, target: str, log_format: str | None, metrics: str | None) -> None:
    """Run the worker in a process of its own, again after each change of its source files."""
    command = [sys.executable, "-m", "gateway", "worker", target, "--config", str(path)]
    command += ["--log-format", parse_log_format(log_format)]
    command += ["--metrics", metrics] if metrics else []
    sys.path.insert(0, str(Path.cwd()))
    reloader = Reloader(command, target.partition(":")[0], [path], lambda line: typer.echo(line, err=True))
    raise typer.Exit(reloader.run())


def find_worker(target: str) -> Worker:
    """Import the worker that ``target``, ``module:name``, refers to. Modules in the working directory are found.

    Raises:
        OperatorError: There is no such module or worker, or the worker has no handlers.
    """
    module_name, _, name = target.partition(":")
    if not module_name or not name:
        raise OperatorError(f"{target!r} is not a worker; write MODULE:NAME, such as billing.agent:worker")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # an import inside the module failed; the traceback shows where
        raise OperatorError(
            f"there is no module {module_name!r}, neither in this directory nor installed"
        ) from None
    worker = getattr(module, name, None)
    if not isinstance(worker, Worker):
        raise OperatorError(f"{module_name} has no Worker called {name!r}")
    if not worker.handled:
        raise OperatorError(f"{target} has no handlers; add a function with @{name}.on(...)")
    return worker


async def _check(config: Config, worker: Worker) -> None:
    logging.disable()  # libraries log what they also raise
    try:
        await open_queue(config, worker).check()
    except OSError as error:
        raise OperatorError(f"the broker is unreachable: {error}") from error
    delays = Backoff(worker.retry_from, worker.retry_most).delays
    typer.echo(
        f"queue {worker.queue} is declared: {', '.join(worker.events)} to {len(worker.handled)} handlers, "
        f"{worker.attempts} attempts, {len(delays)} delays of {delays[0]:g} s to {delays[-1]:g} s"
    )


async def _work(config: Config, worker: Worker, metrics: str | None, spans: Spans | None) -> Runner:
    runner = open_runner(config, worker, spans)
    if metrics:
        serve_metrics(metrics, WorkerMetrics(worker.queue, runner))
    for pattern in dict.fromkeys((*worker.events, *worker.handled)):
        if why := doubt_key_pattern(config, pattern):
            log.warning("pattern matches nothing known", pattern=pattern, cause=why)
    end_on_signal(runner.end)
    await run_runner(worker, runner, config)
    return runner
