"""A program that the gateway has started beside itself: what it does before, around and after its own work."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import msgspec
import structlog

import gateway
from gateway.observability.logs import LogFormat, close_logs, configure_logs
from gateway.transport.program import end_with, receive_left_signals

log = structlog.get_logger()


class LaunchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What every such program receives when it starts, beside its own settings.

    Attributes:
        version: The version of the gateway. After an upgrade, the files on disk are another program.
        log_format: How the lines of the log look.
        parent: The process that starts it.
        predecessor: How the program ended whose place this one takes; empty for the first.
        lifeline: The descriptor of a pipe that nobody writes to; it ends with the gateway, in whatever way that ends.
    """

    version: str
    log_format: LogFormat = "json"
    parent: int
    predecessor: str
    lifeline: int


class _Version(msgspec.Struct, frozen=True):
    """What every version of such a program understands of its settings."""

    version: str
    log_format: LogFormat = "json"


class Requests(NamedTuple):
    """What the gateway asks of the program by signals.

    Attributes:
        stop: Set when it is to end.
        reload: Set when it is to read its configuration again.
    """

    stop: asyncio.Event
    reload: asyncio.Event


Settings = TypeVar("Settings", bound=LaunchSettings)


@contextmanager
def launched(text: str, name: str, kind: type[Settings]) -> Iterator[Settings]:
    """Run a block as such a program: it logs under its name, and ends with the gateway.

    Args:
        text: The settings, in JSON.
        name: The name of the program in its log.
        kind: The type of the settings.

    Raises:
        SystemExit: The gateway that runs is of another version: its settings and its memory mean something else.
    """
    # A terminal sends it to the gateway as well, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _expect_version(text, name)
    settings = msgspec.json.decode(text, type=kind)
    end_with(settings.parent)
    configure_logs(settings.log_format, name)
    try:
        if settings.predecessor:
            log.warning("process replaced", predecessor=settings.predecessor)
        yield settings
    finally:
        close_logs()


def follow_launcher(settings: LaunchSettings) -> Requests:
    """Have the running event loop end with the gateway, and return what the gateway asks of it."""
    loop = asyncio.get_running_loop()
    requests = Requests(asyncio.Event(), asyncio.Event())
    loop.add_signal_handler(signal.SIGTERM, requests.stop.set)
    loop.add_signal_handler(signal.SIGHUP, requests.reload.set)
    receive_left_signals()
    loop.add_reader(settings.lifeline, os._exit, 1)  # where the kernel does not end it
    return requests


def _expect_version(text: str, name: str) -> None:
    launcher = msgspec.json.decode(text, type=_Version)
    if launcher.version == gateway.__version__:
        return
    configure_logs(launcher.log_format, name)
    log.error(
        "another version is installed; restart the gateway",
        running=launcher.version,
        installed=gateway.__version__,
    )
    close_logs()
    sys.exit(1)
