"""The configuration: one file and one tree of models. Every mistake is reported before anything starts."""

from gateway.config.loader import load_config
from gateway.config.models import EMBEDDED, Config, ProviderConfig
from gateway.config.warnings import config_warnings

__all__ = ["EMBEDDED", "Config", "ProviderConfig", "config_warnings", "load_config"]
