"""``gateway tail``: stream events as they are published."""

from __future__ import annotations

import logging
import signal
from base64 import b64encode
from contextlib import suppress
from pathlib import Path

import orjson
import typer

from gateway.backends import open_tail
from gateway.cli.common import run
from gateway.config import Config
from gateway.config.discovery import load_without_secrets
from gateway.errors import MalformedJson, OperatorError
from gateway.events.strict_json import UnreadableNumber, load_event, load_json
from gateway.observability.terminal import one_line, printable_json
from gateway.transport.topic_patterns import key_segment, routing_pattern


def run_tail(path: Path, pattern: str, *, as_json: bool) -> None:
    """Print events until Ctrl-C."""
    config = load_without_secrets(path)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.disable()  # libraries log what they also raise
    with suppress(KeyboardInterrupt):
        run(_tail(config, routing_pattern(pattern), as_json=as_json))


async def _tail(config: Config, pattern: str, *, as_json: bool) -> None:
    try:
        async with open_tail(config, pattern) as events:
            typer.echo(f"Waiting for events that match {one_line(pattern)}. Press Ctrl-C to stop.", err=True)
            async for body in events:
                typer.echo(to_json_line(body) if as_json else describe(body))
    except OSError as error:
        raise OperatorError(f"cannot read events: {error}") from error


def to_json_line(body: bytes) -> str:
    """Return the event as one line of JSON. A message that is not JSON is base64-encoded."""
    try:
        load_json(body)
    except UnreadableNumber:
        pass  # still valid JSON
    except MalformedJson:
        return orjson.dumps({"body_base64": b64encode(body).decode()}).decode()
    return printable_json(body.decode())


def describe(body: bytes) -> str:
    """Describe an event in one line. Anyone may publish to the exchange: the message need not be an event."""
    event = load_event(body)
    if not event:
        return f"not an event  {len(body)} bytes"
    named = [str(event.get("receivedat", ""))[11:19], event.get("provider", "")]
    named += [key_segment(str(event["eventtype"])) if event.get("eventtype") else "", event.get("id", "")]
    details = [f"{name}={event[name]}" for name in ("subject", "account", "actor") if name in event]
    return "  ".join(map(one_line, [*(word or "?" for word in named), *details, f"{len(body)} bytes"]))
