"""Structured logs: JSON lines in production, readable ones on a terminal, one line a request.

Lines of one turn of the event loop leave in one write, before the next turn begins.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import BinaryIO, Literal

import orjson
import structlog

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
    common: list[Callable[..., object]] = [
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
    ]
    if log_format == "json":
        structlog.configure(
            processors=[
                *common,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=orjson.dumps),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.BytesLoggerFactory(_Sink(sys.stdout.buffer)),  # type: ignore[arg-type]
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[*common, structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False), structlog.dev.ConsoleRenderer()],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            cache_logger_on_first_use=True,
        )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)
