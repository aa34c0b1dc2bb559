"""Structured logs: JSON lines in production, readable ones on a terminal, one line a request.

JSON lines never make the event loop wait, see :mod:`gateway.observability.log_writer`; those for a terminal may.
"""

from __future__ import annotations

import atexit
import logging
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import orjson
import structlog
from structlog.typing import EventDict

from gateway.observability.log_writer import LineWriter
from gateway.observability.terminal import printable
from gateway.signatures.times import rfc3339_milliseconds

_LAST_LINES = 1.0  # seconds for them to be written when the process ends

LogFormat = Literal["json", "console"]


class _ToStructlog(logging.Handler):
    """Passes on what libraries log."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "warning" if record.levelno >= logging.WARNING else "info"
        getattr(structlog.get_logger(), level)(record.getMessage(), logger=record.name)


class _ToSink:
    """Gives structlog a sink as what its loggers write to."""

    def __init__(self, sink: LineWriter) -> None:
        self.sink = sink

    def __call__(self, *_: object) -> LineWriter:
        return self.sink


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
        self._logger.write(_render(level, event, {**self._context, **fields}))


def _render(level: str, event: str, fields: dict[str, Any]) -> bytes:
    line = {"timestamp": rfc3339_milliseconds(time.time()), "level": level, "event": event, **fields}
    return orjson.dumps(line, str, orjson.OPT_APPEND_NEWLINE)


def _tell_lost(common: dict[str, int]) -> Callable[[int], bytes]:
    return lambda lost: _render("warning", "log lines lost", {**common, "lines": lost})


def _drop_absent(_: object, __: str, fields: EventDict) -> EventDict:
    """People need not read what is not there; programs like the same keys in every line."""
    return {name: value for name, value in fields.items() if value is not None}


def _make_printable(_: object, __: str, fields: EventDict) -> EventDict:
    """What senders wrote must not move the cursor of whoever reads along; tracebacks keep their lines."""
    return {
        name: printable(value, keep="\n" if name == "exception" else "") if type(value) is str else value
        for name, value in fields.items()
    }


def silence_logs() -> None:
    """For commands that say themselves what there is to say."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def configure_logs(log_format: LogFormat, process: int | None = None) -> None:
    """Send all logs to standard output in ``log_format``, each line with the number of the process if there are several."""
    common = {} if process is None else {"process": process}
    structlog.configure(
        context_class=lambda fields: {**common, **fields},  # type: ignore[arg-type]  # it is only called
        cache_logger_on_first_use=True,
    )
    if log_format == "json":
        structlog.configure(
            processors=[],
            wrapper_class=_JsonLogger,
            logger_factory=_ToSink(LineWriter(sys.stdout.fileno(), _tell_lost(common))),
        )
        atexit.register(close_logs)
    else:
        structlog.configure(
            processors=[
                _drop_absent,
                _make_printable,
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
        )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)


def lines_dropped() -> int:
    """How many lines were lost so far, because nobody read them in time."""
    sink = _sink()
    return sink.dropped if sink else 0


def close_logs() -> None:
    """Write what waits to be written, if that can be done in a moment; nothing is to be logged afterwards."""
    sink = _sink()
    if sink:
        sink.close(_LAST_LINES)


def _sink() -> LineWriter | None:
    factory = structlog.get_config()["logger_factory"]
    return factory.sink if isinstance(factory, _ToSink) else None
