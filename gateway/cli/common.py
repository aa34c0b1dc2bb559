"""What the commands share: options and words, the configuration without its secrets, and running an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

import typer
import uvloop

from gateway.cli.dev_secrets import DevSecrets
from gateway.config import Config, ProviderConfig, load_config
from gateway.config.bind_addresses import EVERYWHERE_4, EVERYWHERE_6, split_bind
from gateway.errors import OperatorError
from gateway.observability.logs import LogFormat

T = TypeVar("T")

DEV_SECRETS = "dev.env"

USUAL_CONFIG = Path("config.yaml")
BUNDLED_CONFIG = Path(str(resources.files("gateway.config") / "default.yaml"))
"""What ``gateway dev`` runs where there is no config.yaml."""

_STAND_IN = "whsec_c3RhbmRzIGluIGZvciBhIHNlY3JldCE="


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` on an event loop of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def log_format_of(text: str) -> LogFormat:
    """What ``--log-format`` says.

    Raises:
        typer.BadParameter: it is no format.
    """
    for known in get_args(LogFormat):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise typer.BadParameter(f"{text!r} is not a format; use json or console", param_hint="--log-format")


def events(count: int) -> str:
    """So many events, in words."""
    return f"{count:,} event{'' if count == 1 else 's'}"


def load_without_secrets(path: Path) -> Config:
    """The configuration for a command that signs and verifies nothing: unset variables do not matter to it."""
    return load_config(_find_config(path), missing=lambda _: _STAND_IN, has_secrets=False)


def load_with_dev_secrets(path: Path) -> tuple[Config, DevSecrets]:
    """The configuration, with the secrets that ``gateway dev`` made where the environment has none; and those."""
    path = _find_config(path)
    secrets = DevSecrets(dev_secrets_path(path))
    return load_config(path, missing=secrets.get, is_local=True), secrets


def dev_secrets_path(config: Path) -> Path:
    """Where ``gateway dev`` keeps the secrets that it made for the configuration at ``config``."""
    return load_without_secrets(config).data_dir / DEV_SECRETS


def _find_config(path: Path) -> Path:
    """``path``, or what ``gateway dev`` runs here when it has run here without a configuration."""
    if path != USUAL_CONFIG or path.exists() or not dev_secrets_path(BUNDLED_CONFIG).exists():
        return path
    return BUNDLED_CONFIG


def local_url(bind: str) -> str:
    """The address by which this machine calls what listens at ``bind`` (HOST:PORT)."""
    host, port = split_bind(bind)
    host = {EVERYWHERE_4: "127.0.0.1", EVERYWHERE_6: "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def find_provider(config: Config, path: Path, name: str) -> ProviderConfig:
    """The provider called ``name``.

    Raises:
        OperatorError: there is none.
    """
    try:
        return config.providers[name]
    except KeyError:
        known = ", ".join(sorted(config.providers))
        raise OperatorError(f"{path} has no provider {name!r}; it has {known}") from None
