"""The configuration: one file, one tree of models, checked before anything starts."""

from gateway.config.loader import load_config
from gateway.config.models import Config, ProviderConfig
from gateway.config.value_checks import EMBEDDED
from gateway.config.warnings import config_warnings

__all__ = ["EMBEDDED", "Config", "ProviderConfig", "config_warnings", "load_config"]
