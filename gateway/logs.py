"""Structured logs: JSON lines in production, readable ones on a terminal, one line a request.

Lines are gathered for a few milliseconds and leave in one write; those of an ending process too.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
import time
from typing import Any, BinaryIO, Literal

import orjson
import structlog
from structlog.typing import EventDict

from providers.times import rfc3339_milliseconds

_GATHERED_FOR = 0.005  # seconds

LogFormat = Literal["json", "console"]


class _Sink:
    """A file for structlog that gathers what is written within a few milliseconds."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []

    def write(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) > 1:
            return
        try:
            asyncio.get_running_loop().call_later(_GATHERED_FOR, self.drain)
        except RuntimeError:
            self.drain()

    def drain(self) -> None:
        """Write what was gathered."""
        lines, self._lines = self._lines, []
        self._stream.write(b"".join(lines))
        self._stream.flush()


class _ToStructlog(logging.Handler):
    """Passes on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "warning" if record.levelno >= logging.WARNING else "info"
        getattr(structlog.get_logger(), level)(record.getMessage(), logger=record.name)


class _JsonLogger(structlog.BoundLoggerBase):
    """Renders at once: structlog's chain of processors costs more than the rendering, at every request."""

    def info(self, event: str, **fields: Any) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write("error", event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        trace = structlog.processors.format_exc_info(None, "error", {"exc_info": True})
        self._write("error", event, {**fields, **trace})

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        moment = rfc3339_milliseconds(time.time())
        line = {"timestamp": moment, "level": level, "event": event, **self._context, **fields}
        self._logger.write(orjson.dumps(line, str, orjson.OPT_APPEND_NEWLINE))


def _drop_absent(_: object, __: str, fields: EventDict) -> EventDict:
    """People need not read what is not there; programs like the same keys in every line."""
    return {name: value for name, value in fields.items() if value is not None}


def silence_logs() -> None:
    """For commands that say themselves what there is to say."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def configure_logs(log_format: LogFormat) -> None:
    """Send all logs to standard output in ``log_format``."""
    if log_format == "json":
        sink = _Sink(sys.stdout.buffer)
        atexit.register(sink.drain)
        structlog.configure(
            processors=[],
            wrapper_class=_JsonLogger,
            logger_factory=lambda *_: sink,
            cache_logger_on_first_use=True,
        )
    else:
        structlog.configure(
            processors=[
                _drop_absent,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
                structlog.dev.ConsoleRenderer(
                    colors=sys.stdout.isatty(),
                    sort_keys=False,
                    exception_formatter=structlog.dev.plain_traceback,  # the other one shows local variables
                ),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.PrintLoggerFactory(),
            cache_logger_on_first_use=True,
        )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)
