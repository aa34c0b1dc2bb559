"""Times on the command line."""

from __future__ import annotations

import re
from datetime import datetime

import typer

from gateway.signatures.units import parse_duration


def parse_time(text: str, option: str) -> float:
    """Parse the value of ``option``, RFC 3339 or Unix seconds, and return Unix seconds.

    Raises:
        typer.BadParameter: The text is neither.
    """
    try:
        return float(text) if re.fullmatch(r"\d{1,11}(\.\d+)?", text) else _parse(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a time; write 2026-11-21T13:00:20Z or Unix seconds", param_hint=option
        ) from None


def parse_since(text: str, now: float, option: str) -> float:
    """Parse the value of ``option``, a time or a duration before ``now`` such as ``2h``, and return Unix seconds.

    Raises:
        typer.BadParameter: The text is neither.
    """
    try:
        return now - parse_duration(text)
    except ValueError:
        return parse_time(text, option)


def _parse(text: str) -> float:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("the time zone is missing")
    return time.timestamp()
