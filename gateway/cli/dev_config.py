"""The configuration that ``gateway dev`` runs: config.yaml, the demo, or one for providers of the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gateway.cli.init import known_adapters
from gateway.config.discovery import BUNDLED_CONFIG, DATA_DIR, DEFAULT_CONFIG
from gateway.devtools.starter import config_for_dev
from gateway.transport.private_files import make_private_folder

_FILE_NAME = "dev.yaml"


def choose_config(path: Path, providers: Sequence[str], *, is_demo: bool) -> tuple[Path, str]:
    """Return the path of the configuration, and what to tell about it if it is not the file at ``path``.

    Raises:
        OperatorError: One of the providers is not an adapter.
    """
    if providers:
        text = config_for_dev(list(dict.fromkeys(known_adapters(providers))))
        folder = Path(os.environ.get("GATEWAY_DATA_DIR") or DATA_DIR)
        make_private_folder(folder)
        (folder / _FILE_NAME).write_text(text, "utf-8")
        return folder / _FILE_NAME, f"This is {folder / _FILE_NAME}, written for {', '.join(providers)}."
    if path == DEFAULT_CONFIG and (is_demo or not path.exists()):
        reason = "" if path.exists() else ": there is no config.yaml here"
        return (
            BUNDLED_CONFIG,
            f"This is the demo{reason}. `gateway init stripe github` begins a project of your own.",
        )
    return path, ""


def is_generated(path: Path) -> bool:
    """Return whether :func:`choose_config` wrote the file."""
    return path.name == _FILE_NAME
