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
from gateway.console.child import ConsoleChild, ConsoleKeeper
from gateway.console.launch import ConsoleLauncher
from gateway.errors import OperatorError
from gateway.journal.capture import CaptureRing
from gateway.observability.counters import shared_counters
from gateway.observability.logs import close_logs, configure_logs
from gateway.observability.readiness import ReadinessBoard
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
    slots = config.server.processes
    counters, launcher, readiness = shared_counters(slots), None, None
    captures = None if config.capture == "off" else CaptureRing(slots=slots)
    if config.console.enabled:
        readiness = ReadinessBoard(slots)
        launcher = ConsoleLauncher(
            config=path,
            bind=bind,
            admin_bind=admin_bind,
            is_dev=False,
            log_format=logs,
            slots=slots,
            counters=counters.descriptor,
            readiness=readiness.descriptor,
            captures=captures.descriptor if captures else None,
        )
    if slots == 1:
        configure_logs(logs, exception_messages=config.log.exception_messages)
        keeper = ConsoleKeeper(launcher) if launcher else None
        with tracing(messaging_system_of(config), config.rabbitmq.exchange) as spans:
            gateway = Gateway(
                config,
                path.parent,
                counters=counters,
                readiness=readiness,
                spans=spans,
                captures=captures,
            )
            run(serve(gateway, config, read, console=keeper))
        return

    def reload() -> None:
        nonlocal config
        with suppress(OperatorError):  # the processes log what is wrong with it
            config = read()

    def work(process: ProcessContext) -> None:
        configure_logs(logs, process.slot, exception_messages=config.log.exception_messages)
        public, admin = listeners
        if launcher:
            launcher.disown()
            for (
                each
            ) in admin:  # while this process finishes its requests, the next gateway may need the address
                each.close()
            admin = []
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
                    readiness=readiness,
                    spans=spans,
                    captures=captures,
                )
                run(serve(gateway, config, read, (public, admin), process))
        finally:
            close_logs()

    with listening(config) as listeners:

        def close_sockets() -> None:
            for each in (*listeners[0], *listeners[1]):
                each.close()

        console = ConsoleChild(launcher, listeners[1]) if launcher else None
        Supervisor(slots, work, reload, close_sockets, console).run()
