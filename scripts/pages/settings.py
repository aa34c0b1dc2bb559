"""The reference of the configuration: every setting with its default, its meaning and an example."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gateway.adapters.spec import DeliverySpec
from gateway.config.models import Config, ProviderConfig
from gateway.config.outbound_models import EndpointConfig, OutboundRetention
from gateway.config.tls_models import TlsConfig
from gateway.signatures.schemes.hmac import HmacSpec
from gateway.signatures.schemes.timestamps import TimestampSpec
from gateway.signatures.units import format_duration, format_size

_HEAD = """\
# Configuration

Every setting of `config.yaml`. Durations have a unit (`250ms`, `30s`, `5m`, `12h`, `4d`), and so have sizes (`64KiB`, `1MiB`). Unknown
settings are errors. `gateway check` validates a file, and `gateway check --json-schema` prints the JSON Schema for editors. This page
is generated from the program.

`${NAME}` is the environment variable `NAME`, which must be set; if it is unset and `NAME_FILE` is set, it is the content of that file
without its trailing newline. `${NAME:-default}` is optional.
"""
_HIDDEN = {"scheme"}


class Section(NamedTuple):
    """A table of the page.

    Attributes:
        key: The name of its examples in settings.yaml.
        title: Its heading.
        text: What is said above it.
        model: The model whose fields are its rows.
        left_out: Fields that another table has.
    """

    key: str
    title: str
    text: str
    model: type[BaseModel]
    left_out: frozenset[str] = frozenset()

    @property
    def settings(self) -> dict[str, FieldInfo]:
        """The fields of the table by their names in the file."""
        return {
            field.alias or name: field
            for name, field in self.model.model_fields.items()
            if name not in self.left_out | _HIDDEN
        }


def sections() -> Iterator[Section]:
    """Yield the tables in their order."""
    for name, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield Section(name, f"`{name}`", field.description or "", model)
    yield Section("tls", "`redis.tls` and `rabbitmq.tls`", TlsConfig.__doc__ or "", TlsConfig)
    yield Section("retention", "`outbound.retention`", OutboundRetention.__doc__ or "", OutboundRetention)
    yield Section("endpoint", "`endpoints.<name>`", EndpointConfig.__doc__ or "", EndpointConfig)
    yield Section(
        "provider",
        "`providers.<name>`",
        ProviderConfig.__doc__ or "",
        ProviderConfig,
        frozenset(DeliverySpec.model_fields),
    )
    yield Section("delivery", "The content of requests", DeliverySpec.__doc__ or "", DeliverySpec)
    yield Section("signature", "`signature` of adapter `hmac`", HmacSpec.__doc__ or "", HmacSpec)
    yield Section("timestamp", "`signature.timestamp`", TimestampSpec.__doc__ or "", TimestampSpec)


def examples() -> dict[str, dict[str, Any]]:
    """Return the examples by table and setting."""
    text = Path(__file__).with_name("settings.yaml").read_text("utf-8")
    return {str(key): dict(each) for key, each in yaml.safe_load(text).items()}


def settings_page() -> str:
    """Return the page in Markdown."""
    parts = [_HEAD]
    for section in sections():
        if section.key == "tls":
            parts.append(_plain_settings())
        parts.append(_table(section))
    return "\n".join(parts)


def _plain_settings() -> str:
    """Return the section of settings that are values of the file itself, not of a section."""
    rows = [
        f"| `{name}` | {_default(field) or '`var`'} | {field.description} |"
        for name, field in Config.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel))
        and name not in {"providers", "endpoints"}
    ]
    return "\n".join(
        ["## At the top level\n", "| setting | default | meaning |", "| --- | --- | --- |", *rows, ""]
    )


def _table(section: Section) -> str:
    known = examples().get(section.key, {})
    rows = [
        f"| `{name}` | {_default(field)} | {field.description} | {_example(name, known)} |"
        for name, field in section.settings.items()
    ]
    head = ["| setting | default | meaning | example |", "| --- | --- | --- | --- |"]
    return "\n".join([f"## {section.title}\n", f"{section.text}\n", *head, *rows, ""])


def _example(name: str, known: dict[str, Any]) -> str:
    if name not in known:
        return ""
    value = known[name]
    text = value if isinstance(value, str) and not set(value) & set('"{}[]:,&;=#*') else _flow(value)
    return f"`{name}: {text}`".replace("|", "\\|")


def _flow(value: object) -> str:
    """Return a value as YAML on one line; JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)


def _default(field: FieldInfo) -> str:
    default: Any = field.default
    if default is PydanticUndefined:
        return "required"
    if default is None or default in ([], {}, "") or isinstance(default, BaseModel | Path):
        return f"`{default}`" if isinstance(default, Path) else ""
    match default:
        case bool():
            text = str(default).lower()
        case list():
            text = ", ".join(default)
        case dict():
            text = _flow(default)
        case float():
            text = format_duration(default)
        case int() if "format_size" in str(field.metadata):  # other integers have no unit
            text = format_size(default)
        case _:
            text = str(default)
    return f"`{text}`"
