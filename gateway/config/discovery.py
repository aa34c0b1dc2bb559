"""Find the configuration and load it without its secrets, for programs that neither sign nor verify.

Workers and most commands need only the connections, so the providers' secrets may be unset where they run.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from gateway.config.dev_session import DevSession
from gateway.config.loader import load_config
from gateway.config.models import Config

DEFAULT_CONFIG = Path("config.yaml")
"""The configuration file that is read unless another is named."""

BUNDLED_CONFIG = Path(str(resources.files("gateway.config") / "demo.yaml"))
"""The demo, which ``gateway dev`` runs in a directory without config.yaml."""

DATA_DIR = "var"
"""The default of ``data_dir``, which the demo and the configurations that ``gateway dev`` writes have."""

DEV_SECRETS = "dev.env"
"""The file in ``data_dir`` with the secrets that ``gateway dev`` generated."""

_STAND_IN = "whsec_c3RhbmRzIGluIGZvciBhIHNlY3JldCE="
"""The value of unset variables in programs that neither sign nor verify: every adapter accepts its format."""


def load_without_secrets(path: Path) -> Config:
    """Load the configuration for a program that neither signs nor verifies: secrets may be unset.

    Raises:
        ConfigurationError: With every problem found.
    """
    return load_config(find_config(path), missing=lambda _: _STAND_IN, has_secrets=False)


def find_config(path: Path) -> Path:
    """Return ``path``, unless it is the default and ``gateway dev`` uses another in this directory.

    That is the configuration of one that runs; or else the demo, if there is no config.yaml and the demo has run here.
    """
    if path != DEFAULT_CONFIG:
        return path
    if running := DevSession.find(Path(os.environ.get("GATEWAY_DATA_DIR") or DATA_DIR)):
        return running.config
    if path.exists() or not dev_secrets_path(BUNDLED_CONFIG).exists():
        return path
    return BUNDLED_CONFIG


def dev_secrets_path(config: Path) -> Path:
    """Return the path of the file in which ``gateway dev`` keeps the secrets for the configuration at ``config``."""
    return load_without_secrets(config).data_dir / DEV_SECRETS
