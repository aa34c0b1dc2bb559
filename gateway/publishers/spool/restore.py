"""Let events that were set aside wait again, because what kept them from being published has been corrected."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from gateway.publishers.spool.records import COLUMNS, SCHEMA, CorruptRow, decode
from gateway.transport.sqlite import open_file


def restore(path: Path) -> int:
    """Move every row of the spool at ``path`` that was set aside back, and return how many; damaged ones stay.

    No process may own the spool.

    Raises:
        sqlite3.Error: The file cannot be read or written. Nothing was moved.
        OSError: The file cannot be opened.
    """
    restored = 0
    with closing(open_file(path, SCHEMA)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for (number,) in connection.execute("SELECT id FROM corrupt ORDER BY id").fetchall():
            row = connection.execute(f"SELECT {COLUMNS} FROM corrupt WHERE id = ?", (number,)).fetchone()  # noqa: S608 -- ours
            try:
                decode(row)
            except CorruptRow:
                continue
            connection.execute("INSERT INTO spool (head, body, digest) VALUES (?, ?, ?)", row[1:])
            connection.execute("DELETE FROM corrupt WHERE id = ?", (number,))
            restored += 1
        connection.execute("COMMIT")
    return restored
