"""Helpers that several commands share: reading the configuration, running an event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import typer
import uvloop

from gateway.config import Config, ProviderConfig, load_config
from gateway.config.dev_secrets import DevSecrets
from gateway.config.dev_session import DevSession
from gateway.config.discovery import dev_secrets_path, find_config
from gateway.devtools.formatting import format_count
from gateway.errors import OperatorError
from gateway.observability.logs import LogFormat
from gateway.observability.terminal import is_terminal, one_line

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` on a new event loop and return its result."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def parse_log_format(text: str | None) -> LogFormat:
    """Return the value of ``--log-format``; by default, lines for people on a terminal and JSON elsewhere.

    Raises:
        typer.BadParameter: The text is not a log format.
    """
    if text is None:
        return "console" if is_terminal(sys.stdout) else "json"
    for known in get_args(LogFormat):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise typer.BadParameter(f"{text!r} is not a log format; use json or console", param_hint="--log-format")


def count_events(number: int) -> str:
    """Return a number of events as text."""
    return format_count(number, "event")


def warn_of_pattern(pattern: str, doubt: str | None) -> None:
    """Warn that a pattern is probably mistyped: nothing would be selected, and nothing would say so."""
    if doubt:
        typer.echo(f"warning: {one_line(pattern)} {doubt}", err=True)


def load_with_dev_secrets(path: Path) -> tuple[Config, DevSecrets]:
    """Load the configuration and the secrets that ``gateway dev`` generated for variables that are unset."""
    path = find_config(path)
    secrets = DevSecrets(dev_secrets_path(path))
    config = load_config(path, missing=secrets.get, is_local=True)
    running = DevSession.find(config.data_dir)
    if running and running.config == path.absolute():
        server = config.server.model_copy(update={"bind": running.bind})
        config = config.model_copy(update={"server": server})
    return config, secrets


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the nearest of the known words, as the end of a sentence; empty if none is near."""
    close = get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def find_provider(config: Config, path: Path, name: str) -> ProviderConfig:
    """Return the provider called ``name``.

    Raises:
        OperatorError: The configuration has no provider of that name.
    """
    try:
        return config.providers[name]
    except KeyError:
        known = ", ".join(sorted(config.providers))
        hint = did_you_mean(name, config.providers) or f"; it has {known}"
        raise OperatorError(f"{path} has no provider {name!r}{hint}") from None
