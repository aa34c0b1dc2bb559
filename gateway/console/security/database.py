"""`<data_dir>/console.db`: tokens, sessions, login links, the audit and the idempotency keys, in one SQLite file.

The commands of `gateway console` open the file beside the console process. Of tokens, sessions and links only the
SHA-256 is kept: each has 256 random bits, which nobody finds by trying.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.transport.private_files import make_private_folder
from gateway.transport.sqlite import open_file

FILE_NAME = "console.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, role TEXT NOT NULL, hash BLOB NOT NULL, created_at REAL NOT NULL,
    created_by TEXT NOT NULL, ends_at REAL, last_used_at REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS links (
    hash BLOB PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, ends_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (
    hash BLOB PRIMARY KEY, token TEXT REFERENCES tokens ON DELETE CASCADE, name TEXT NOT NULL, role TEXT NOT NULL,
    created_at REAL NOT NULL, ends_at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_by_token ON sessions (token);
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, actor TEXT NOT NULL, role TEXT NOT NULL,
    action TEXT NOT NULL, target TEXT NOT NULL, outcome TEXT NOT NULL, client TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS audit_by_time ON audit (at);
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, request BLOB NOT NULL, at REAL NOT NULL, status INTEGER NOT NULL, headers TEXT NOT NULL,
    body BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS answers_by_time ON answers (at);
"""


class ConsoleStorageError(OSError):
    """Raised when the file cannot be opened, read or written."""


class ConsoleDatabase:
    """The open file. Its methods wait for the disk, and may be called from several threads.

    Args:
        folder: The data directory.

    Raises:
        ConsoleStorageError: The file cannot be opened.
        OSError: It cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._lock = threading.Lock()
        make_private_folder(folder)
        try:
            self._connection = open_file(self.path, _SCHEMA)
        except sqlite3.Error as error:
            raise ConsoleStorageError(f"{self.path}: {error}") from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection within a transaction that is committed at the end of the block.

        Raises:
            ConsoleStorageError: The file cannot be read or written.
        """
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.IntegrityError:  # a name that is taken: for the caller
                raise
            except sqlite3.Error as error:
                raise ConsoleStorageError(f"{self.path}: {error}") from error
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Return the rows that a statement selects.

        Raises:
            ConsoleStorageError: The file cannot be read.
        """
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise ConsoleStorageError(f"{self.path}: {error}") from error

    def key(self, name: str) -> bytes:
        """Return a random key of 32 bytes that stays the same from its first use on."""
        with self.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (name, secrets.token_bytes(32)))
            (key,) = connection.execute("SELECT value FROM keys WHERE name = ?", (name,)).fetchone()
        return bytes(key)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()


def hash_of(text: str) -> bytes:
    """Return what is kept of a secret of 256 random bits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
