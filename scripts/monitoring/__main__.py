"""Write what is made from the lists: dashboards, rules and the pages about alerts."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts")]

from monitoring.files import generated_files  # noqa: E402


def main() -> None:
    """Write them all."""
    for name, text in generated_files().items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


main()
