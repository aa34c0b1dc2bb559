"""What a program that the gateway has started checks before anything else."""

from __future__ import annotations

import sys

import msgspec
import structlog

import gateway
from gateway.observability.logs import LogFormat, close_logs, configure_logs

log = structlog.get_logger()


class LauncherVersion(msgspec.Struct, frozen=True):
    """What every version of such a program understands of its settings.

    Attributes:
        version: The version of the gateway. After an upgrade, the files on disk are another program.
        log_format: How the lines of the log look.
    """

    version: str
    log_format: LogFormat = "json"


def expect_version(settings: str, name: str) -> None:
    """Exit if the gateway that runs is of another version: its settings and its memory mean something else.

    Args:
        settings: The settings of the program, in JSON.
        name: The name of the program in its log.
    """
    launcher = msgspec.json.decode(settings, type=LauncherVersion)
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
