"""The configuration: one file, one tree of models, every mistake in it found before anything starts."""

from gateway.config.conflicts import config_warnings
from gateway.config.loader import load_config
from gateway.config.models import EMBEDDED, Config, ProviderConfig

__all__ = ["EMBEDDED", "Config", "ProviderConfig", "config_warnings", "load_config"]
