"""``gateway spool``: inspect, verify and drain the events stored on disk."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from gateway.backends import has_embedded_queue, open_publisher
from gateway.cli.common import count_events, run
from gateway.cli.progress import progress_bar
from gateway.config import Config
from gateway.config.discovery import load_without_secrets
from gateway.devtools.formatting import format_age, format_bytes
from gateway.errors import OperatorError
from gateway.observability.logs import silence_logs
from gateway.observability.terminal import one_line
from gateway.publishers.spool.files import is_owned, spool_files
from gateway.publishers.spool.inspect import Summary, events_in, faults_of_file, summarize
from gateway.publishers.spool.records import SpooledMessage
from gateway.publishers.spool.restore import restore

_STALL_TIMEOUT = 10.0
"""Seconds without a confirm after which draining stops."""

_POLL_INTERVAL = 0.05
"""Seconds between two looks at the progress of draining."""


def run_show(path: Path) -> None:
    """Show the spool of each process."""
    config = load_without_secrets(path)
    limit = config.spool.max_size // config.server.processes
    for slot, file in find_spools(config).items():
        with reporting_errors(file):
            summary, owned = summarize(file), is_owned(file)
        state = "in use by a gateway" if owned else "not in use"
        if not owned and slot >= config.server.processes:
            state += "; no process has this number any more, the next start drains it"
        typer.echo(f"{file}: {state}")
        typer.echo(f"  spooled  {count_events(summary.events)}{_age_of_oldest(summary)}")
        full = ": full" if summary.size >= limit else ""
        typer.echo(f"  size     {format_bytes(summary.size)} of {format_bytes(limit)}{full}")
        corrupt = f"{count_events(summary.corrupt)}, see `gateway spool export --corrupt`"
        typer.echo(f"  corrupt  {corrupt if summary.corrupt else 'none'}")


def _age_of_oldest(summary: Summary) -> str:
    if summary.oldest_at is None:
        return ""
    return f", oldest {format_age(time.time() - summary.oldest_at)} old"


def run_verify(path: Path) -> None:
    """Check the spool of each process."""
    is_sound = True
    for file in find_spools(load_without_secrets(path)).values():
        with reporting_errors(file):
            faults = faults_of_file(file)
            damaged = [str(row) for row in events_in(file) if not isinstance(row, SpooledMessage)]
            summary = summarize(file)
        for fault in faults + damaged:
            typer.echo(f"{file}: {one_line(fault)}")
        if summary.corrupt:
            typer.echo(
                f"{file}: {count_events(summary.corrupt)} set aside earlier; see `gateway spool export --corrupt`"
            )
        if faults or damaged or summary.corrupt:
            is_sound = False
        else:
            typer.echo(f"{file}: {count_events(summary.events)}, no damage found")
    if not is_sound:
        raise typer.Exit(1)


def run_drain(path: Path, *, corrupt: bool) -> None:
    """Publish all spooled events, with those that were set aside if ``corrupt``."""
    silence_logs()
    config = load_without_secrets(path)
    files = find_spools(config)
    if files and has_embedded_queue(config):
        raise OperatorError(
            "rabbitmq.url is embedded; set it to the RabbitMQ server that should receive the events"
        )
    for file in files.values():
        with reporting_errors(file):
            if is_owned(file):
                raise OperatorError(f"{file} is in use by a gateway, which drains it; stop the gateway first")
    for file in files.values() if corrupt else ():
        with reporting_errors(file):
            restore(file)
    if files:
        # Events that were spooled before spool.enabled was turned off are published too.
        enabled = config.model_copy(update={"spool": config.spool.model_copy(update={"enabled": True})})
        run(_drain(enabled))


async def _drain(config: Config) -> None:
    publisher = open_publisher(config)
    try:
        await publisher.start()
    except OSError as error:
        raise OperatorError(str(error)) from error
    total, corrupt = publisher.spooled, publisher.corrupt
    progress = progress_bar("draining")
    reason, moved_at, left = "", time.monotonic(), total
    try:
        typer.echo(
            f"{count_events(total)} to publish. Press Ctrl-C to stop; the remaining events stay in the spool.",
            err=True,
        )
        with progress:
            task = progress.add_task("draining", total=total)
            while publisher.spooled and time.monotonic() - moved_at < _STALL_TIMEOUT:
                await asyncio.sleep(_POLL_INTERVAL)
                reason = publisher.unavailable_reason
                if publisher.spooled != left:
                    left, moved_at = publisher.spooled, time.monotonic()
                    progress.update(task, completed=total - left)
    finally:
        await publisher.stop()
        left, set_aside = publisher.spooled, publisher.corrupt - corrupt
        typer.echo(f"{count_events(total - left - set_aside)} published, {left:,} left")
    if set_aside:
        raise OperatorError(f"{count_events(set_aside)} set aside; see `gateway spool export --corrupt`")
    if left:
        raise OperatorError(
            f"RabbitMQ does not accept the remaining events: {reason or 'it rejects them; is a destination queue full?'}"
        )


def find_spools(config: Config) -> dict[int, Path]:
    """Return the spool file of each process by its slot, and report if there is none."""
    files = spool_files(config.data_dir)
    if not files:
        typer.echo(f"nothing is spooled: there is no spool in {config.data_dir}", err=True)
    return files


@contextmanager
def reporting_errors(file: Path) -> Iterator[None]:
    """Report an error of SQLite or the file system as an error of this file."""
    try:
        yield
    except sqlite3.Error as error:
        raise OperatorError(
            f"{file}: {error}; if the file is damaged, its gateway recovers what is readable at the next start"
        ) from error
    except BrokenPipeError:  # the reader of the export has closed the pipe
        raise
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror}") from error
