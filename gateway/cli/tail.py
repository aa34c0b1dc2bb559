"""``gateway tail``: stream events as they are published."""

from __future__ import annotations

import logging
import re
import signal
import sys
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import typer

from gateway.backends import open_tail
from gateway.cli.common import run
from gateway.cli.live import LiveLines
from gateway.config import Config
from gateway.config.discovery import load_without_secrets
from gateway.errors import MalformedJson, OperatorError
from gateway.events.strict_json import UnreadableNumber, load_event, load_json
from gateway.observability.event_lines import EventLine, time_of_day
from gateway.observability.terminal import is_terminal, one_line, printable_json
from gateway.transport.topic_patterns import key_segment, routing_pattern

_NOT_LETTERS = re.compile(r"[^a-z0-9]+")


def run_tail(path: Path, pattern: str, *, as_json: bool) -> None:
    """Print events until Ctrl-C."""
    config = load_without_secrets(path)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.disable()  # libraries log what they also raise
    with suppress(KeyboardInterrupt):
        run(_tail(config, routing_pattern(pattern), as_json=as_json))


async def _tail(config: Config, pattern: str, *, as_json: bool) -> None:
    lines = LiveLines()
    try:
        async with open_tail(config, pattern) as events, lines.ticking():
            typer.echo(f"Waiting for events that match {one_line(pattern)}. Press Ctrl-C to stop.", err=True)
            async for body in events:
                if as_json:
                    typer.echo(to_json_line(body))
                elif is_terminal(sys.stdout):
                    line = line_of_event(body)
                    lines.show(line, line.provider)
                else:
                    typer.echo(describe(body))
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


def line_of_event(body: bytes) -> EventLine:
    """Describe an event for a terminal. Anyone may publish to the exchange: the message need not be an event."""
    event = load_event(body)
    if not event:
        return EventLine(time_of_day(), "?", "not an event", f"{len(body)} bytes")
    return EventLine(
        time=time_of_day(str(event.get("receivedat", ""))),
        provider=str(event.get("provider") or "?"),
        event_type=_word(event) or "?",
        detail=_summary(event) or "  ".join(_people(event)),
        more=(str(event.get("id") or "?"),),
    )


def describe(body: bytes) -> str:
    """Describe an event in one line of columns, however long: time, provider, event type, id, and what it is about."""
    event = load_event(body)
    if not event:
        return f"not an event  {len(body)} bytes"
    named = [event.get("provider", ""), _word(event), event.get("id", "")]
    about = [event["summary"]] if event.get("summary") else []
    columns = [time_of_day(str(event.get("receivedat", ""))), *(word or "?" for word in named)]
    return "  ".join(map(one_line, [*columns, *about, *_people(event), f"{len(body)} bytes"]))


def _word(event: Mapping[str, Any]) -> str:
    return key_segment(str(event["eventtype"])) if event.get("eventtype") else ""


def _summary(event: Mapping[str, Any]) -> str:
    """Return the summary without the name of its provider, which the line has already."""
    summary = str(event.get("summary") or "")
    title, colon, rest = summary.partition(": ")
    names = {_NOT_LETTERS.sub("", str(event.get(name)).lower()) for name in ("provider", "adapter")}
    return rest if colon and _NOT_LETTERS.sub("", title.lower()) in names else summary


def _people(event: Mapping[str, Any]) -> list[str]:
    return [f"{name}={event[name]}" for name in ("subject", "account", "actor") if name in event]
