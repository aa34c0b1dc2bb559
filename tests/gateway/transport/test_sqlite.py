"""Opening a file that another program is about to open or to close."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from gateway.transport.sqlite import open_file


def test_a_file_that_is_locked_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """A gateway that was killed may leave processes that close it while the next gateway starts."""
    path = tmp_path / "some.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("CREATE TABLE t (a)")
    other.execute("BEGIN EXCLUSIVE")
    closing = threading.Timer(0.3, other.close)
    closing.start()
    opened = open_file(path, "CREATE TABLE IF NOT EXISTS t (a);")

    assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    opened.close()
    closing.join()
