"""The memory of the console, which is mostly what it loads: some 60 MB before the first page."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress


def load_httpx() -> None:
    """Load httpx without its command line, whose click, rich and pygments take 3 MB (2026-11-30)."""
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # importing it raises ImportError now
    import httpx  # noqa: F401, PLC0415 -- after the line above


def return_unused() -> None:
    """Return to the system what loading has left over: 3 MB (2026-11-30), where the C library is glibc."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
