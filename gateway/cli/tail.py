"""``gateway tail``."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import typer

from gateway.cli.runtime import load_without_secrets, run
from gateway.config import Config
from gateway.consumers import tail
from gateway.errors import OperatorError


def run_tail(path: Path, pattern: str, *, as_json: bool) -> None:
    """Print events until Ctrl-C."""
    config = load_without_secrets(path)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.disable()  # what a library complains of also comes as an exception, and is told by that
    with suppress(KeyboardInterrupt):
        run(_tail(config, pattern, as_json=as_json))


async def _tail(config: Config, pattern: str, *, as_json: bool) -> None:
    try:
        async with tail(config, pattern) as events:
            typer.echo(f"Waiting for events that match {pattern}; Ctrl-C ends it.", err=True)
            async for body in events:
                typer.echo(_in_one_line(body) if as_json else describe(body))
    except OSError as error:
        raise OperatorError(f"cannot read events: {error}") from error


def _in_one_line(body: bytes) -> bytes:
    """The same event: in JSON, line breaks stand between the values and never within one."""
    return body.replace(b"\r", b" ").replace(b"\n", b" ")


def describe(body: bytes) -> str:
    """An event in one readable line."""
    event: dict[str, Any] = orjson.loads(body)
    line = f"{event['receivedat'][11:19]}  {event['provider']}  {event['eventtype']}  {event['id']}"
    details = [f"{name}={event[name]}" for name in ("subject", "account", "actor") if name in event]
    return "  ".join([line, *details, f"{len(body)} bytes"])
