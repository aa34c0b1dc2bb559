"""Structured logs: JSON lines in production, readable ones on a terminal, one line a request.

Lines of one turn of the event loop leave in one write, before the next turn begins.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from typing import BinaryIO, Literal

import orjson
import structlog
from structlog.typing import EventDict, Processor

from providers.times import rfc3339_milliseconds

LogFormat = Literal["json", "console"]


class _Sink:
    """A file for structlog that gathers what is written in one turn of the event loop."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._stream.write(line)
            self._stream.flush()
            return
        if not self._lines:
            loop.call_soon(self._drain)
        self._lines.append(line)

    def flush(self) -> None:
        """Nothing: the end of the turn does it."""

    def _drain(self) -> None:
        lines, self._lines = self._lines, []
        self._stream.write(b"".join(lines))
        self._stream.flush()


class _ToStructlog(logging.Handler):
    """Passes on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "warning" if record.levelno >= logging.WARNING else "info"
        getattr(structlog.get_logger(), level)(record.getMessage(), logger=record.name)


def configure_logs(log_format: LogFormat) -> None:
    """Send all logs to standard output in ``log_format``."""
    if log_format == "json":
        processors: list[Processor] = [_render_json]
        factory: Callable[..., object] = structlog.BytesLoggerFactory(_Sink(sys.stdout.buffer))  # type: ignore[arg-type]
    else:
        processors = [
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), sort_keys=False),
        ]
        factory = structlog.PrintLoggerFactory()
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)


def _render_json(_: object, level: str, fields: EventDict) -> bytes:
    """One JSON object. One processor instead of structlog's four, since this runs for every request."""
    if "exc_info" in fields:
        fields = structlog.processors.format_exc_info(None, level, fields)
    return orjson.dumps(
        {"timestamp": rfc3339_milliseconds(time.time()), "level": _LEVELS.get(level, level), **fields}, str
    )


_LEVELS = {"exception": "error", "warn": "warning"}
