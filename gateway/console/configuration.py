"""The configuration of the console: the same as that of the command that has started the gateway."""

from __future__ import annotations

from pathlib import Path

from gateway.config import Config, load_config
from gateway.config.dev_secrets import DevSecrets
from gateway.config.discovery import dev_secrets_path
from gateway.config.overrides import override_binds
from gateway.console.launch import ConsoleSettings
from gateway.errors import ConfigurationError


def load_configuration(settings: ConsoleSettings) -> tuple[Config | None, tuple[str, ...]]:
    """Load the configuration as the command does that has started the gateway; return None and why if it cannot be used."""
    path = Path(settings.config)
    try:
        if not settings.is_dev:
            return override_binds(load_config(path), settings.bind, settings.admin_bind), ()
        secrets = DevSecrets(dev_secrets_path(path))
        config = load_config(path, missing=secrets.get, is_local=True)
        return secrets.with_kept(override_binds(config, settings.bind, settings.admin_bind)), ()
    except ConfigurationError as error:
        return None, tuple(map(str, error.args))
