"""The configuration of a program that the gateway has started: the same as that of the gateway."""

from __future__ import annotations

from pathlib import Path

from gateway.config import Config, load_config
from gateway.config.dev_secrets import DevSecrets
from gateway.config.discovery import dev_secrets_path
from gateway.config.overrides import override_binds
from gateway.errors import ConfigurationError


def load_configuration(
    path: Path, bind: list[str] | None, admin_bind: list[str] | None, *, is_dev: bool
) -> tuple[Config | None, tuple[str, ...]]:
    """Load the configuration as the command does that has started the gateway; return None and why if it cannot be used.

    Args:
        path: The file.
        bind: The addresses that the command line sets in place of ``server.bind``.
        admin_bind: The same of ``server.admin_bind``.
        is_dev: Whether the secrets of ``gateway dev`` belong to it.
    """
    try:
        if not is_dev:
            return override_binds(load_config(path), bind, admin_bind), ()
        secrets = DevSecrets(dev_secrets_path(path))
        config = load_config(path, missing=secrets.get, is_local=True)
        return secrets.with_kept(override_binds(config, bind, admin_bind)), ()
    except ConfigurationError as error:
        return None, tuple(map(str, error.args))
