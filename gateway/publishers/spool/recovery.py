"""Copy the readable rows of a damaged spool to a new file, and keep the damaged one.

The order of the steps matters: a crash between any two of them leaves either the damaged file in its place, or the
complete new file ready to take it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import structlog

from gateway.publishers.spool.files import delete_database
from gateway.publishers.spool.records import SCHEMA
from gateway.transport.sqlite import PAGE_SIZE, open_file

_BATCH_SIZE = 256
"""Ids in a range that is read at once; a range with a damaged page is halved until only that page is left."""

_PAGE_COUNT_OFFSET = 28
"""Where the header of an SQLite file has the number of pages (https://www.sqlite.org/fileformat.html, 1.3)."""

_COLUMNS = {"spool": "id, head, body, digest", "corrupt": "id, head, body, digest, reason, found_at"}
"""The columns of each table."""

log = structlog.get_logger()


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file is damaged; other errors are due to the disk, or pass."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def mark_as_damaged(path: Path) -> None:
    """Leave a note for the next start that the file is damaged, even if it looks sound then."""
    with suppress(OSError):  # the disk is full: the next start has its check only
        path.with_suffix(".damaged").touch(mode=0o600)


def repair(path: Path) -> None:
    """Replace a damaged file at ``path`` by one with its readable rows; keep a sound one.

    Raises:
        OSError: A file cannot be made or moved, or not all readable rows could be copied.
    """
    partial, complete = path.with_suffix(".recovering"), path.with_suffix(".recovered")
    mark = path.with_suffix(".damaged")
    delete_database(partial)
    if not complete.exists():  # it exists if the last start crashed below
        if not path.exists() or not (mark.exists() or _is_damaged(path)):
            return
        log.error("spool recovery started", spool=path.name)
        try:
            count = copy_rows(path, partial)
        except sqlite3.Error as error:
            raise OSError(f"{partial}: {error}") from error
        log.error("spool rows recovered", spool=path.name, rows=count)
        partial.rename(complete)
        mark.unlink(missing_ok=True)
        sync_folder(path.parent)
    kept = _free_name(path)
    for suffix in ("-wal", ""):  # the WAL first: the new file must never find it
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    sync_folder(path.parent)
    complete.rename(path)
    sync_folder(path.parent)
    log.error("damaged spool kept", spool=path.name, kept=str(kept))


def _is_damaged(path: Path) -> bool:
    try:
        with closing(open_file(path, SCHEMA)) as connection:
            for table in _COLUMNS:
                connection.execute(f"SELECT TOTAL(LENGTH(body)) FROM {table}").fetchone()  # noqa: S608 -- ours
    except sqlite3.Error as error:
        return is_damage(error)
    return False


def copy_rows(path: Path, target: Path) -> int:
    """Copy all readable rows of the file at ``path``, and return the number of messages."""
    count = 0
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=path.stem) as scratch,
        closing(open_file(target, SCHEMA)) as saved,
    ):
        for table, columns in _COLUMNS.items():
            places = ", ".join("?" * len(columns.split(",")))
            saved.execute("BEGIN")
            for row in _readable_rows(path, Path(scratch), table, columns):
                saved.execute(f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({places})", row)  # noqa: S608
                count += table == "spool"
            saved.execute("COMMIT")
    return count


def _readable_rows(path: Path, scratch: Path, table: str, columns: str) -> Iterator[tuple[Any, ...]]:
    for source in (path, _with_new_head(path, scratch)):
        with closing(sqlite3.connect(source, isolation_level=None)) as connection:
            try:
                first, last = _bounds(connection, table)
            except sqlite3.Error:
                continue
            for low in range(first, last + 1, _BATCH_SIZE):
                yield from _between(connection, table, columns, low, low + _BATCH_SIZE - 1)
            return


def _bounds(connection: sqlite3.Connection, table: str) -> tuple[int, int]:
    """Return the lowest and the highest id of a table, or wider bounds if an end is damaged."""
    first = _value(connection, f"SELECT MIN(id) FROM {table}", "SELECT 1")  # noqa: S608 -- ours
    last = _value(
        connection,
        f"SELECT MAX(id) FROM {table}",  # noqa: S608 -- ours
        "SELECT seq FROM sqlite_sequence WHERE name = 'spool'",
    )
    return first or 0, last or -1


def _value(connection: sqlite3.Connection, query: str, instead: str) -> int | None:
    try:
        row = connection.execute(query).fetchone()
    except sqlite3.Error:
        row = connection.execute(instead).fetchone()
    return row[0] if row else None


def _between(
    connection: sqlite3.Connection, table: str, columns: str, low: int, high: int
) -> Iterator[tuple[Any, ...]]:
    """Yield the readable rows with ids from ``low`` to ``high``."""
    try:
        rows = connection.execute(
            f"SELECT {columns} FROM {table} WHERE id BETWEEN ? AND ?",  # noqa: S608
            (low, high),
        ).fetchall()
    except sqlite3.Error:
        if low < high:
            middle = (low + high) // 2
            yield from _between(connection, table, columns, low, middle)
            yield from _between(connection, table, columns, middle + 1, high)
        return
    yield from rows


def _with_new_head(path: Path, scratch: Path) -> Path:
    """Return a copy of a file with a damaged header, with the first page of a new spool.

    All spools have the same tables on the same pages, so only the number of pages differs.
    """
    copy, new = scratch / "copy.db", scratch / "new.db"
    if copy.exists():
        return copy
    open_file(new, SCHEMA).close()
    shutil.copyfile(path, copy)
    head = bytearray(new.read_bytes()[:PAGE_SIZE])
    struct.pack_into(">I", head, _PAGE_COUNT_OFFSET, copy.stat().st_size // PAGE_SIZE)
    with copy.open("r+b") as file:
        file.write(head)
    return copy


def _free_name(path: Path) -> Path:
    number = 1
    while (name := path.with_name(f"{path.stem}.damaged-{number}.db")).exists():
        number += 1
    return name


def sync_folder(folder: Path) -> None:
    """Make the renames in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
