"""Where the repository lies, for tests that read its pages, settings and sources."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
