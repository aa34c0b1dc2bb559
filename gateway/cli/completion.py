"""What the shell proposes when Tab is pressed: names that a file on this machine holds, and nothing that takes a connection."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

DEFAULT_CONFIG = "config.yaml"
"""The configuration file, unless an option or the environment names another."""


def complete_providers(ctx: Any, incomplete: str) -> list[str]:
    """Propose the providers in the configuration."""
    return _beginning(incomplete, _section(ctx, "providers"))


def complete_endpoints(ctx: Any, incomplete: str) -> list[str]:
    """Propose the endpoints in the configuration."""
    return _beginning(incomplete, _section(ctx, "endpoints"))


def complete_adapters(incomplete: str) -> list[str]:
    """Propose the adapters that come with the gateway."""
    from gateway.adapters import registry

    return _beginning(incomplete, registry.names())


def complete_samples(ctx: Any, incomplete: str) -> list[str]:
    """Propose the event types of which the provider's adapter has samples."""
    from gateway.adapters import registry

    block = _section(ctx, "providers").get(ctx.params.get("provider"))
    adapter = block.get("adapter") if isinstance(block, dict) else None
    return _beginning(incomplete, registry.sample_files(adapter) if adapter in registry.names() else ())


def complete_queues(ctx: Any, incomplete: str) -> list[str]:
    """Propose the queues in the embedded database that have dead letters. RabbitMQ is not asked: that takes too long."""
    import sqlite3

    from gateway.events.message import DEAD_SUFFIX

    folder = _content(ctx).get("data_dir", "var")
    if not isinstance(folder, str) or "${" in folder:
        folder = os.environ.get("GATEWAY_DATA_DIR", "var")
    file = Path(folder) / "embedded.db"
    with (
        suppress(sqlite3.Error),
        closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database,
    ):
        rows = database.execute("SELECT DISTINCT queue FROM messages").fetchall()
        dead = (str(name) for (name,) in rows if str(name).endswith(DEAD_SUFFIX))
        return _beginning(incomplete, (name.removesuffix(DEAD_SUFFIX) for name in dead))
    return []


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def _section(ctx: Any, name: str) -> dict[str, Any]:
    section = _content(ctx).get(name)
    return section if isinstance(section, dict) else {}


def _content(ctx: Any) -> dict[str, Any]:
    """Read the configuration without checking it; a broken file proposes nothing."""
    import yaml

    path = Path(ctx.params.get("config") or os.environ.get("GATEWAY_CONFIG") or DEFAULT_CONFIG)
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}
