"""``gateway serve``."""

from __future__ import annotations

from pathlib import Path

import structlog
import typer
from pydantic import ValidationError

from gateway.app import Gateway
from gateway.cli.runtime import run
from gateway.config import Config, config_warnings, load_config
from gateway.errors import ConfigurationError
from gateway.logs import configure_logs
from gateway.server import serve

log = structlog.get_logger()


def run_serve(path: Path, bind: str | None, admin_bind: str | None, log_format: str) -> None:
    """Run the gateway until a signal ends it."""
    if log_format not in ("json", "console"):
        raise typer.BadParameter(
            f"{log_format!r} is not a format; use json or console", param_hint="--log-format"
        )
    config = override_binds(load_config(path), bind, admin_bind)
    configure_logs("json" if log_format == "json" else "console")
    for warning in config_warnings(config):
        log.warning("configuration", warning=warning)
    gateway = Gateway(config, path.parent)
    run(serve(gateway, config))


def override_binds(config: Config, bind: str | None, admin_bind: str | None) -> Config:
    """The configuration with other addresses to listen at.

    Raises:
        ConfigurationError: one of them is no address.
    """
    changes = {
        name: value for name, value in (("bind", bind), ("admin_bind", admin_bind)) if value is not None
    }
    if not changes:
        return config
    try:
        type(config.server).model_validate(changes)
    except ValidationError as error:
        problems = (
            f"--{str(detail['loc'][0]).replace('_', '-')}: {detail['ctx']['error']}"
            for detail in error.errors()
        )
        raise ConfigurationError(*problems) from None
    return config.model_copy(update={"server": config.server.model_copy(update=changes)})
