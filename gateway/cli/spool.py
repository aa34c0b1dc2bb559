"""``gateway spool``."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import typer

from gateway.backends import has_embedded_queue, open_publisher
from gateway.cli.common import events, load_without_secrets, run
from gateway.cli.dead_letters import in_json
from gateway.cli.progress import progress_bar
from gateway.config import Config
from gateway.errors import OperatorError
from gateway.observability.logs import silence_logs
from gateway.observability.terminal import one_line
from gateway.publishers.spool.files import is_owned, spool_files
from gateway.publishers.spool.inspect import corrupt_rows_in, events_in, faults_of_file, summarize
from gateway.publishers.spool.records import SpooledMessage
from gateway.transport.private_files import private_opener

_PATIENCE = 10.0  # seconds without progress
_POLL_EVERY = 0.05


def run_show(path: Path) -> None:
    """Show the spools of all processes."""
    config = load_without_secrets(path)
    limit = config.spool.max_size // config.server.processes
    for slot, file in _files(config).items():
        with _readable(file):
            summary, owned = summarize(file), is_owned(file)
        left = (
            ""
            if slot < config.server.processes
            else ", nor will a process as configured: the next start drains it"
        )
        age = "" if summary.oldest_at is None else f", the oldest for {_age(time.time() - summary.oldest_at)}"
        corrupt = (
            f"{events(summary.corrupt)}, see `gateway spool export --corrupt`" if summary.corrupt else "none"
        )
        typer.echo(f"{file}: {'a gateway runs on it' if owned else f'no gateway runs on it{left}'}")
        typer.echo(f"  waiting  {events(summary.events)}{age}")
        typer.echo(
            f"  size     {_size(summary.size)} of {_size(limit)}{': full' if summary.size >= limit else ''}"
        )
        typer.echo(f"  corrupt  {corrupt}")


def run_verify(path: Path) -> None:
    """Check the spools of all processes."""
    is_sound = True
    for file in _files(load_without_secrets(path)).values():
        with _readable(file):
            faults = faults_of_file(file)
            damaged = [str(row) for row in events_in(file) if not isinstance(row, SpooledMessage)]
            summary = summarize(file)
        for fault in faults + damaged:
            typer.echo(f"{file}: {one_line(fault)}")
        if summary.corrupt:
            typer.echo(
                f"{file}: {events(summary.corrupt)} set aside earlier; see `gateway spool export --corrupt`"
            )
        if faults or damaged or summary.corrupt:
            is_sound = False
        else:
            typer.echo(f"{file}: {events(summary.events)}, nothing wrong")
    if not is_sound:
        raise typer.Exit(1)


def run_export(path: Path, output: Path | None, *, corrupt: bool) -> None:
    """Write the events of all processes, oldest first in each."""
    files = _files(load_without_secrets(path))
    count = damaged = 0
    try:
        # There are whole events in it: a Path would make it readable to others.
        target = open(output, "xb", opener=private_opener) if output else nullcontext(sys.stdout.buffer)  # noqa: SIM115
    except OSError as error:
        raise OperatorError(f"{output}: {error.strerror}") from error
    with target as lines:
        for file in files.values():
            with _readable(file):
                for record in _corrupt_records(file) if corrupt else _records(file):
                    if record is None:
                        damaged += 1
                        continue
                    lines.write(in_json({"spool": file.name, **record}).encode() + b"\n")
                    count += 1
    typer.echo(f"{events(count)} exported", err=True)
    if damaged:
        raise OperatorError(
            f"{events(damaged)} left out, for they are damaged; `gateway spool verify` tells which"
        )


def run_drain(path: Path) -> None:
    """Publish what waits."""
    silence_logs()
    config = load_without_secrets(path)
    files = _files(config)
    if files and has_embedded_queue(config):
        raise OperatorError("rabbitmq.url is embedded; name the RabbitMQ that the events are for")
    for file in files.values():
        with _readable(file):
            if is_owned(file):
                raise OperatorError(
                    f"a gateway runs on {file} and drains it by itself; stop it first, or let it"
                )
    if files:
        # Also where events are not to be spooled any more: those that were are to go.
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
        typer.echo(f"{events(total)} to publish; Ctrl-C ends it, and the rest stays", err=True)
        with progress:
            task = progress.add_task("draining", total=total)
            while publisher.spooled and time.monotonic() - moved_at < _PATIENCE:
                await asyncio.sleep(_POLL_EVERY)
                reason = publisher.unavailable_reason
                if publisher.spooled != left:
                    left, moved_at = publisher.spooled, time.monotonic()
                    progress.update(task, completed=total - left)
    finally:
        await publisher.stop()
        left, set_aside = publisher.spooled, publisher.corrupt - corrupt
        typer.echo(f"{events(total - left - set_aside)} published, {left:,} left")
    if set_aside:
        raise OperatorError(f"{events(set_aside)} set aside; see `gateway spool export --corrupt`")
    if left:
        raise OperatorError(
            f"RabbitMQ does not take the rest: {reason or 'it refuses them; is a queue full that they go to?'}"
        )


def _files(config: Config) -> dict[int, Path]:
    files = spool_files(config.data_dir)
    if not files:
        typer.echo(f"nothing waits: there is no spool in {config.data_dir}", err=True)
    return files


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise OperatorError(
            f"{file}: {error}; if it is damaged, the next start of its gateway saves what can be read"
        ) from error
    except BrokenPipeError:  # whoever reads what is exported has had enough
        raise
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror}") from error


def _records(file: Path) -> Iterator[dict[str, Any] | None]:
    for event in events_in(file):
        yield (
            {
                "row": event.row,
                "spooled_at": _moment(event.spooled_at),
                "exchange": event.message.exchange,
                "routing_key": event.message.routing_key,
                "message_id": event.message.message_id,
                "type": event.message.type,
                "headers": event.message.headers,
                **_text("body", event.message.body),
            }
            if isinstance(event, SpooledMessage)
            else None
        )


def _corrupt_records(file: Path) -> Iterator[dict[str, Any]]:
    for row, head, body, reason, found_at in corrupt_rows_in(file):
        found = {"row": row, "reason": reason, "found_at": _moment(found_at)}
        yield {**found, **_text("head", head), **_text("body", body)}


def _text(name: str, value: Any) -> dict[str, Any]:
    """``value`` under ``name``, or in base64 where it is no text; whatever damage has made of it."""
    if not isinstance(value, bytes):
        return {name: value}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _size(count: int) -> str:
    return f"{count / 1024**2:,.1f} MiB" if count >= 1024**2 else f"{count / 1024:,.1f} KiB"


def _age(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number} {unit}{'' if number == 1 else 's'}"
    return "less than a minute"
