"""``gateway explain``: find out why a captured request fails verification."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import typer

from gateway.cli.common import find_provider, load_with_dev_secrets
from gateway.cli.timestamps import parse_time
from gateway.config import Config
from gateway.config.resolve import adapter_of, max_body_of
from gateway.devtools.explain import Capture, explain, read_capture
from gateway.errors import OperatorError
from gateway.observability.terminal import printable
from gateway.operations.explain import case_of
from gateway.transport.files import FileTooLarge, read_file, read_stream

_PATH = re.compile(r"/webhooks/([a-z0-9_-]+)/?(?:[?#]|$)")
_MAX_OVERHEAD = 256 * 1024
"""Bytes of a capture that are not its body."""

_MAX_ESCAPED_LENGTH = 6
"""Bytes that one byte of a body takes in JSON: a control character becomes an escape such as ``\\u0001``."""


def run_explain(path: Path, file: Path, provider: str | None, arrived_at: str | None) -> None:
    """Print why the request in ``file`` passes or fails verification."""
    arrival_time = None if arrived_at is None else parse_time(arrived_at, "--at")
    config, _ = load_with_dev_secrets(path)
    max_body = max(max_body_of(config, each, adapter_of(each)) for each in config.providers.values())
    capture = read_capture(_read(file, max_body * _MAX_ESCAPED_LENGTH + _MAX_OVERHEAD), max_body)
    name = provider or _provider_of(capture, config)
    find_provider(config, path, name)
    explanation = explain(case_of(config, name, capture), time.time(), arrival_time)
    typer.echo(f"{name}: {len(capture.body)} bytes for adapter {config.providers[name].adapter}")
    for line in explanation.lines:
        typer.echo(printable(line, keep="\n"))
    if not explanation.is_verified:
        raise typer.Exit(1)


def _provider_of(capture: Capture, config: Config) -> str:
    found = _PATH.search(capture.url)
    if found and found[1] in config.providers:
        return found[1]
    if len(config.providers) == 1:
        return next(iter(config.providers))
    raise OperatorError(
        f"the path of the request does not name a provider; add --provider: {', '.join(sorted(config.providers))}"
    )


def _read(file: Path, limit: int) -> bytes:
    try:
        return read_stream(sys.stdin.buffer, limit) if str(file) == "-" else read_file(file, limit)
    except FileTooLarge:
        raise OperatorError(f"{file}: is larger than any request that the gateway accepts") from None
    except OSError as error:
        raise OperatorError(f"{file}: {error.strerror}") from error
