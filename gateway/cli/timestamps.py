"""Moments on the command line."""

from __future__ import annotations

import re
from datetime import datetime

import typer

from gateway.signatures.units import parse_duration


def parse_moment(text: str, option: str) -> float:
    """Unix seconds of an RFC 3339 text or of a number of Unix seconds, given to ``option``.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        return float(text) if re.fullmatch(r"\d{1,11}(\.\d+)?", text) else _parse(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time; write 2026-11-21T13:00:20Z or Unix seconds", param_hint=option
        ) from None


def parse_since(text: str, now: float, option: str) -> float:
    """Unix seconds of a moment, or of so long before ``now``: ``2h``.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        return now - parse_duration(text)
    except ValueError:
        return parse_moment(text, option)


def _parse(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("without a zone")
    return moment.timestamp()
