"""What is made from the models: the reference for people, and the JSON Schema for editors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.adapters.spec import DeliverySpec
from gateway.config.models import Config, ProviderConfig, ProviderDedupeConfig, TlsConfig
from gateway.signatures.schemes.hmac import HmacSpec
from gateway.signatures.schemes.timestamps import TimestampSpec
from gateway.signatures.units import format_duration, format_size

_HEAD = """# Configuration

Every setting of `config.yaml`. Durations are written with a unit (`250ms`, `30s`, `5m`, `12h`, `4d`), sizes too
(`64KiB`, `1MiB`). Unknown settings are mistakes. This page is made from the program: `gateway check --reference`.
"""
_HIDDEN = {"scheme"}


def render() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *_sections()])


def _sections() -> Iterator[str]:
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield _table(f"`{name}`", field.description, section, set())
    yield _table("`redis.tls` and `rabbitmq.tls`", TlsConfig.__doc__, TlsConfig, set())
    yield f"## `data_dir`\n\n{Config.model_fields['data_dir'].description} Default: `var`.\n"
    yield _table("`providers.<name>`", ProviderConfig.__doc__, ProviderConfig, set(DeliverySpec.model_fields))
    yield _table("What a delivery is", DeliverySpec.__doc__, DeliverySpec, set())
    yield _table("`signature` of adapter `hmac`", HmacSpec.__doc__, HmacSpec, set())
    yield _table("`signature.timestamp`", TimestampSpec.__doc__, TimestampSpec, set())


def _table(title: str, description: str | None, model: type[BaseModel], left_out: set[str]) -> str:
    rows = [
        f"| `{field.alias or name}` | {_default(field)} | {field.description} |"
        for name, field in model.model_fields.items()
        if name not in left_out | _HIDDEN
    ]
    return "\n".join(
        [
            f"## {title}\n",
            f"{description}\n",
            "| setting | default | meaning |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _default(field: FieldInfo) -> str:
    default: Any = field.default
    if default is PydanticUndefined:
        return "needed"
    if default is None or default == [] or isinstance(default, TlsConfig | ProviderDedupeConfig):
        return ""
    if isinstance(default, list):
        return f"`{', '.join(default)}`"
    if isinstance(default, float):
        return f"`{format_duration(default)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, int) and "format_size" in str(field.metadata):  # other whole numbers have no unit
        return f"`{format_size(default)}`"
    return f"`{default}`"


def config_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration file."""
    schema = Config.model_json_schema(by_alias=True)
    for definition in schema["$defs"].values():
        for setting in definition.get("properties", {}).values():
            _write_default_with_unit(setting)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _write_default_with_unit(setting: dict[str, Any]) -> None:
    """Pydantic gives the number that the program works with, not the text that stands in the file."""
    default = setting.get("default")
    if setting.get("type") == "string" and isinstance(default, (int, float)):
        setting["default"] = format_duration(default) if isinstance(default, float) else format_size(default)
