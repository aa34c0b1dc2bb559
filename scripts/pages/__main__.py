"""Write the generated parts of docs/: the reference of the configuration, its JSON Schema, and the tables in other pages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts")]

from gateway.config.reference import config_schema  # noqa: E402
from pages.api import openapi_text  # noqa: E402
from pages.blocks import pages_with_blocks, with_blocks  # noqa: E402
from pages.repository import DOCS  # noqa: E402
from pages.settings import settings_page  # noqa: E402


def main() -> None:
    """Write them all."""
    (DOCS / "reference/configuration.md").write_text(settings_page(), "utf-8")
    (DOCS / "config.schema.json").write_text(json.dumps(config_schema(), indent=2) + "\n", "utf-8")
    (DOCS / "openapi.json").write_text(openapi_text(), "utf-8")
    for path in pages_with_blocks():
        path.write_text(with_blocks(path.read_text("utf-8")), "utf-8")


main()
