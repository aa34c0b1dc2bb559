"""Load structlog without rich, before any module loads it with rich.

structlog prefers rich for tracebacks and for one of its formatters. This program uses neither, and loading them took a
sixth of the time of a command such as ``gateway dead list`` (2026-11-30: 60 of 350 ms of CPU).
"""

from __future__ import annotations

import sys

_UNWANTED = ("rich.console", "rich.pretty", "rich.traceback")


def load_structlog() -> None:
    """Load structlog as if rich were not installed; do nothing if it is loaded already."""
    if "structlog" in sys.modules:
        return
    hidden = {name: sys.modules.get(name) for name in _UNWANTED}
    for name in _UNWANTED:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it raises ImportError now
    try:
        import structlog  # noqa: F401
    finally:
        for name, module in hidden.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
