"""Threads that work beside a block of a test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def running(thread: threading.Thread, is_over: threading.Event) -> Iterator[None]:
    """Run a thread until the end of the block, of which ``is_over`` tells it, and wait for its end."""
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
