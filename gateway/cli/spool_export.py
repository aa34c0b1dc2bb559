"""``gateway spool export``: print spooled or corrupt events as JSON lines."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import typer

from gateway.cli.common import count_events
from gateway.cli.dead_letters import to_json
from gateway.cli.spool import find_spools, reporting_errors
from gateway.config.discovery import load_without_secrets
from gateway.devtools.formatting import format_time
from gateway.errors import OperatorError
from gateway.publishers.spool.inspect import corrupt_rows_in, events_in
from gateway.publishers.spool.records import SpooledMessage
from gateway.transport.private_files import private_opener


def run_export(path: Path, output: Path | None, *, corrupt: bool) -> None:
    """Write the events of each process's spool, oldest first."""
    files = find_spools(load_without_secrets(path))
    count = damaged = 0
    try:
        # The file contains whole events: Path.open would make it readable by other users.
        target = open(output, "xb", opener=private_opener) if output else nullcontext(sys.stdout.buffer)  # noqa: SIM115
    except OSError as error:
        raise OperatorError(f"{output}: {error.strerror}") from error
    with target as lines:
        for file in files.values():
            with reporting_errors(file):
                for record in _corrupt_records(file) if corrupt else _records(file):
                    if record is None:
                        damaged += 1
                        continue
                    lines.write(to_json({"spool": file.name, **record}).encode() + b"\n")
                    count += 1
    typer.echo(f"{count_events(count)} exported", err=True)
    if damaged:
        raise OperatorError(
            f"{count_events(damaged)} not exported because of damage; `gateway spool verify` lists them"
        )


def _records(file: Path) -> Iterator[dict[str, Any] | None]:
    for event in events_in(file):
        yield (
            {
                "row": event.row,
                "spooled_at": format_time(event.spooled_at),
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
        found = {"row": row, "reason": reason, "found_at": format_time(found_at)}
        yield {**found, **_text("head", head), **_text("body", body)}


def _text(name: str, value: Any) -> dict[str, Any]:
    """Return ``value`` under ``name``; bytes that are not UTF-8 are base64-encoded. Damage can change its type."""
    if not isinstance(value, bytes):
        return {name: value}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}
