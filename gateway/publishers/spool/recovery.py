"""Saving what can still be read of a damaged file, which is kept beside the new one.

The steps are ordered so that a crash between any two of them leaves either the damaged file in its place or the
complete new one ready to take it.
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

_IDS_AT_ONCE = 256
_PAGE_COUNT_AT = 28  # in the head of an SQLite file
_COLUMNS = {"spool": "id, head, body, digest", "corrupt": "id, head, body, digest, reason, found_at"}

log = structlog.get_logger()


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is to blame, and not the disk or the moment."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def mark_as_damaged(path: Path) -> None:
    """Remember for the next start that the file at ``path`` is damaged, however sound it looks then."""
    with suppress(OSError):  # on a full disk; then the next start finds out by itself
        path.with_suffix(".damaged").touch(mode=0o600)


def mend(path: Path) -> None:
    """Make the file at ``path`` usable, if there is one and it is not.

    Raises:
        OSError: a file cannot be made or moved, or not all that is readable could be saved.
    """
    salvaging, salvaged = path.with_suffix(".salvaging"), path.with_suffix(".salvaged")
    mark = path.with_suffix(".damaged")
    delete_database(salvaging)
    if not salvaged.exists():
        if not path.exists() or not (mark.exists() or _is_damaged(path)):
            return
        log.error("the spool is damaged; what can be read is saved", spool=path.name)
        try:
            count = _copy(path, salvaging)
        except sqlite3.Error as error:
            raise OSError(f"{salvaging}: {error}") from error
        log.error("rows of the damaged spool were saved", spool=path.name, rows=count)
        salvaging.rename(salvaged)
        mark.unlink(missing_ok=True)
        _sync(path.parent)
    kept = _free_name(path)
    for suffix in ("-wal", ""):  # the log first: the new file must never find it
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    _sync(path.parent)
    salvaged.rename(path)
    _sync(path.parent)
    log.error("the damaged spool is kept", spool=path.name, kept=str(kept))


def _is_damaged(path: Path) -> bool:
    try:
        with closing(open_file(path, SCHEMA)) as connection:
            for table in _COLUMNS:
                connection.execute(f"SELECT TOTAL(LENGTH(body)) FROM {table}").fetchone()  # noqa: S608 -- ours
    except sqlite3.Error as error:
        return is_damage(error)
    return False


def _copy(path: Path, target: Path) -> int:
    """Copy all readable rows of the file at ``path`` to a new one, and tell how many of them wait."""
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
            for low in range(first, last + 1, _IDS_AT_ONCE):
                yield from _between(connection, table, columns, low, low + _IDS_AT_ONCE - 1)
            return


def _bounds(connection: sqlite3.Connection, table: str) -> tuple[int, int]:
    """Ids between which all rows are; further apart than need be where an end of the table cannot be read."""
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
    """The readable ones of the rows from ``low`` to ``high``."""
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
    """A copy whose first page is that of a new file: all spools are laid out alike."""
    copy, new = scratch / "copy.db", scratch / "new.db"
    if copy.exists():
        return copy
    open_file(new, SCHEMA).close()
    shutil.copyfile(path, copy)
    head = bytearray(new.read_bytes()[:PAGE_SIZE])
    struct.pack_into(">I", head, _PAGE_COUNT_AT, copy.stat().st_size // PAGE_SIZE)
    with copy.open("r+b") as file:
        file.write(head)
    return copy


def _free_name(path: Path) -> Path:
    number = 1
    while (name := path.with_name(f"{path.stem}.damaged-{number}.db")).exists():
        number += 1
    return name


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
