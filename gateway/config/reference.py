"""Generate the JSON Schema of the configuration, for editors, from the models."""

from __future__ import annotations

from typing import Any

from gateway.config.models import Config
from gateway.signatures.units import format_duration, format_size


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file."""
    schema = Config.model_json_schema(by_alias=True)
    for definition in schema["$defs"].values():
        for setting in definition.get("properties", {}).values():
            _write_default_with_unit(setting)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _write_default_with_unit(setting: dict[str, Any]) -> None:
    """Replace a default that pydantic gives as a number by the text to write in the file."""
    default = setting.get("default")
    if setting.get("type") == "string" and isinstance(default, (int, float)):
        setting["default"] = format_duration(default) if isinstance(default, float) else format_size(default)
