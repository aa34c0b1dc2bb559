"""``gateway serve``: run the gateway in production."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import structlog

from gateway.app import Gateway
from gateway.backends import messaging_system_of
from gateway.cli.common import parse_log_format, run
from gateway.config import Config, load_config
from gateway.config.overrides import override_binds
from gateway.errors import OperatorError
from gateway.journal.capture import CaptureRing
from gateway.observability.counters import shared_counters
from gateway.observability.logs import close_logs, configure_logs
from gateway.observability.tracing import tracing
from gateway.server import listening, serve
from gateway.supervisor import ProcessContext, Supervisor

log = structlog.get_logger()


def run_serve(
    path: Path, bind: list[str] | None, admin_bind: list[str] | None, log_format: str | None
) -> None:
    """Run the gateway until a signal stops it."""
    logs = parse_log_format(log_format)

    def read() -> Config:
        return override_binds(load_config(path), bind, admin_bind)

    config = read()
    captures = None if config.capture == "off" else CaptureRing(slots=config.server.processes)
    if config.server.processes == 1:
        configure_logs(logs, exception_messages=config.log.exception_messages)
        with tracing(messaging_system_of(config), config.rabbitmq.exchange) as spans:
            run(serve(Gateway(config, path.parent, spans=spans, captures=captures), config, read))
        return
    slots = config.server.processes
    counters = shared_counters(slots)

    def reload() -> None:
        nonlocal config
        with suppress(OperatorError):  # the processes log what is wrong with it
            config = read()

    def work(process: ProcessContext) -> None:
        configure_logs(logs, process.slot, exception_messages=config.log.exception_messages)
        try:
            if process.predecessor:
                log.warning("process replaced", predecessor=process.predecessor)
            with tracing(messaging_system_of(config), config.rabbitmq.exchange) as spans:
                gateway = Gateway(
                    config,
                    path.parent,
                    slot=process.slot,
                    slots=slots,
                    counters=counters,
                    spans=spans,
                    captures=captures,
                )
                run(serve(gateway, config, read, listeners, process))
        finally:
            close_logs()

    with listening(config) as listeners:

        def close_sockets() -> None:
            for each in (*listeners[0], *listeners[1]):
                each.close()

        Supervisor(slots, work, reload, close_sockets).run()
