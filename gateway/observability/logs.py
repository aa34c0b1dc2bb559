"""Structured logs: JSON lines in production, readable ones on a terminal.

Each request is one line. JSON lines never make the event loop wait, see :mod:`gateway.observability.log_writer`. Lines for
a terminal may.
"""

from __future__ import annotations

import atexit
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import orjson
import structlog

from gateway.observability.console_log import console_processors, plain_processors
from gateway.observability.log_writer import LineWriter
from gateway.signatures.times import rfc3339_milliseconds

_FLUSH_TIMEOUT = 1.0
"""Seconds that the end of a process waits for its last lines: a reader that stalls must not delay it further."""

LogFormat = Literal["json", "console"]


_has_messages = False


class _ToStructlog(logging.Handler):
    """Forwards the log records of libraries to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "warning" if record.levelno >= logging.WARNING else "info"
        getattr(structlog.get_logger(), level)(record.getMessage(), logger=record.name)


class _LineWriterFactory:
    """Makes structlog's loggers write to a :class:`LineWriter`."""

    def __init__(self, writer: LineWriter) -> None:
        self.writer = writer

    def __call__(self, *_: object) -> LineWriter:
        return self.writer


class JsonLogger(structlog.BoundLoggerBase):
    """A logger that renders at once: structlog's processors cost more than the rendering."""

    def info(self, event: str, **fields: Any) -> None:
        """Log an event as ``info``."""
        self._logger.write(_render("info", event, self._context, fields))

    def warning(self, event: str, **fields: Any) -> None:
        """Log an event as ``warning``."""
        self._logger.write(_render("warning", event, self._context, fields))

    def error(self, event: str, **fields: Any) -> None:
        """Log an event as ``error``."""
        self._logger.write(_render("error", event, self._context, fields))

    def exception(self, event: str, **fields: Any) -> None:
        """Log an event as ``error`` with the traceback of the exception that is being handled."""
        trace = structlog.processors.format_exc_info(None, "error", {"exc_info": True})
        self.error(event, **{**fields, **trace})


def _render(level: str, event: str, context: Mapping[str, Any], fields: Mapping[str, Any]) -> bytes:
    now = rfc3339_milliseconds(time.time())
    line = {"timestamp": now, "level": level, "event": event, **context, **fields}
    return orjson.dumps(line, str, orjson.OPT_APPEND_NEWLINE)


def _report_lost(common: Mapping[str, object]) -> Callable[[int], bytes]:
    return lambda lost: _render("warning", "log lines lost", common, {"lines": lost})


def silence_logs() -> None:
    """Switch logs off, for commands that report everything themselves."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def configure_logs(
    log_format: LogFormat, process: int | str | None = None, *, exception_messages: bool = False
) -> None:
    """Send all logs to standard output in ``log_format``.

    Args:
        log_format: How lines look.
        process: The number of this process if there are several, or its name; every line carries it.
        exception_messages: Whether lines have the texts of handlers' exceptions, which may quote an event. A person at
            a terminal sees them in any case.
    """
    global _has_messages  # noqa: PLW0603 -- logs are configured for the whole process
    _has_messages = exception_messages or (log_format == "console" and sys.stdout.isatty())
    common = {} if process is None else {"process": process}
    structlog.configure(
        context_class=lambda fields: {**common, **fields},  # type: ignore[arg-type]  # structlog only calls it
        cache_logger_on_first_use=True,
    )
    if log_format == "json":
        structlog.configure(
            processors=[],
            wrapper_class=JsonLogger,
            logger_factory=_LineWriterFactory(LineWriter(sys.stdout.fileno(), _report_lost(common))),
        )
        atexit.register(close_logs)
    else:
        structlog.configure(
            processors=console_processors(),
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.PrintLoggerFactory(),
        )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)
    # It logs every attempt to connect. The caller gets the error, and logs the cause once.
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)


def log_to_stdlib(*, exception_messages: bool = False) -> None:
    """Send all logs to the logger ``gateway`` of the standard library, for a program that has logs of its own.

    Args:
        exception_messages: As for :func:`configure_logs`.
    """
    global _has_messages  # noqa: PLW0603 -- as above
    _has_messages = exception_messages
    structlog.configure(
        processors=plain_processors(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: logging.getLogger("gateway"),
    )


def has_exception_messages() -> bool:
    """Return whether lines may have the texts of handlers' exceptions."""
    return _has_messages


def lines_dropped() -> int:
    """Return how many lines were dropped so far because nobody read them in time."""
    writer = _line_writer()
    return writer.dropped if writer else 0


def close_logs() -> None:
    """Write the last lines, for at most a second. Do not log anything afterwards."""
    writer = _line_writer()
    if writer:
        writer.close(_FLUSH_TIMEOUT)


def _line_writer() -> LineWriter | None:
    factory = structlog.get_config()["logger_factory"]
    return factory.writer if isinstance(factory, _LineWriterFactory) else None
