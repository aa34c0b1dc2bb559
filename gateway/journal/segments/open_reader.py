"""Reading the open segment, as it is at one moment, while others write to it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from gateway.journal.intake import Position
from gateway.journal.segments.files import OPEN_NAME
from gateway.journal.segments.rows import KnownWords
from gateway.journal.segments.search import CHUNK

BUSY_TIMEOUT = 5.0
"""Seconds to wait for another process that writes; sealing takes about one."""


class OpenState(msgspec.Struct):
    """What the open segment knows of the sealed ones.

    Attributes:
        sealed: The number of the last arrival that is sealed.
        high: The largest id that is sealed.
        opened_at: When its first entry was added, in Unix seconds.
        unreadable: Lines that nobody could read, of all times.
    """

    sealed: int = 0
    high: int = 0
    opened_at: float | None = None
    unreadable: int = 0


class OpenReader:
    """Reads the open segment, which may not be there yet.

    Args:
        folder: The folder of the journal.

    Attributes:
        corrupt_inode: The number of the file that is left out, since it is corrupt; 0 if none is.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / OPEN_NAME
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self.corrupt_inode = 0
        self._words = KnownWords()
        self._words_since = -1

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot | None]:
        """Read the segment as it is at one moment; None if there is none.

        Raises:
            sqlite3.Error: It cannot be read.
        """
        with self._lock:
            connection = self._connect()
            if connection is None:
                yield None
                return
            connection.execute("BEGIN")
            try:
                state = read_state(connection)
                if state.sealed != self._words_since:  # it was emptied, and numbers its words anew
                    self._words, self._words_since = KnownWords(), state.sealed
                self._words.read(connection)
                yield Snapshot(connection, state, self._words)
            finally:
                connection.execute("ROLLBACK")

    def leave_out(self) -> None:
        """Leave the segment out from now on, since it is corrupt, until another one takes its place."""
        with self._lock:
            self._disconnect()
            with suppress(FileNotFoundError):
                self.corrupt_inode = self._path.stat().st_ino

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._disconnect()

    def _connect(self) -> sqlite3.Connection | None:
        try:
            inode = self._path.stat().st_ino
        except FileNotFoundError:
            self._disconnect()
            return None
        if inode == self.corrupt_inode:
            return None
        if inode != self._inode:  # it is new, or was set aside and made anew
            self._disconnect()
        if self._connection is None:
            connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=BUSY_TIMEOUT,
                isolation_level=None,
                check_same_thread=False,
            )
            try:
                connection.execute("PRAGMA query_only = ON")
                found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'state'").fetchone()
            except sqlite3.Error:
                connection.close()
                raise
            if not found:
                connection.close()  # another process is about to make it
                return None
            self._connection, self._inode = connection, inode
        return self._connection

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None
            self._words_since = -1


class Snapshot:
    """The open segment at one moment.

    Attributes:
        connection: The connection, within a transaction.
        state: What it knows of the sealed segments.
        words: Its words.
        last: The number of the last arrival.
    """

    def __init__(self, connection: sqlite3.Connection, state: OpenState, words: KnownWords) -> None:
        self.connection = connection
        self.state = state
        self.words = words
        (last,) = connection.execute("SELECT max(seq) FROM entries").fetchone()
        self.last: int = last or self.state.sealed

    def marks(self) -> list[int]:
        """Return ids that divide the entries into parts of about equal size."""
        first = self.state.sealed // CHUNK * CHUNK
        numbers = ",".join(map(str, range(first, self.last, CHUNK)))
        return [
            mark
            for (mark,) in self.connection.execute(f"SELECT id FROM entries WHERE seq IN ({numbers})")  # noqa: S608 -- numbers
        ]

    def bounds(self) -> tuple[int, int] | None:
        """Return the smallest and the largest id; None without an entry."""
        low, high = self.connection.execute(  # both in one SELECT would be a scan
            "SELECT (SELECT min(id) FROM entries), (SELECT max(id) FROM entries)"
        ).fetchone()
        return None if low is None else (low, high)


def read_state(connection: sqlite3.Connection) -> OpenState:
    """Return what the open segment knows of the sealed ones."""
    row = connection.execute("SELECT sealed, high, opened_at, unreadable FROM state").fetchone()
    return OpenState(*row) if row else OpenState()


def read_positions(connection: sqlite3.Connection) -> Mapping[str, Position]:
    """Return the positions in the raw files that a segment has."""
    rows = connection.execute("SELECT file, inode, offset FROM positions")
    return {file: Position(int(inode), offset) for file, inode, offset in rows}
