"""The open segment: one SQLite file that is written to, and read while it is.

Any number of processes may write to it; SQLite lets one at a time. Each transaction therefore first finds out whether
another process has written since, and reads the words anew if so.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from gateway.journal.bounds import bounded, is_plain
from gateway.journal.entry import Entry
from gateway.journal.forgetting import forgotten
from gateway.journal.intake import Batch, Positions
from gateway.journal.segments.files import OPEN_NAME
from gateway.journal.segments.open_reader import BUSY_TIMEOUT, OpenState, read_positions, read_state
from gateway.journal.segments.rows import INSERT, SELECTED, TABLES, WORD_FIELDS, Words, entry_of
from gateway.journal.segments.sealed import erase_rows
from gateway.transport.private_files import make_private

_SCHEMA = f"""
{TABLES}
CREATE INDEX IF NOT EXISTS entries_by_arrival ON entries (seq);
CREATE TABLE IF NOT EXISTS state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    sealed INTEGER NOT NULL, high INTEGER NOT NULL, opened_at REAL, unreadable INTEGER NOT NULL
);
"""
"""``sealed`` is the last arrival that is sealed, ``high`` the largest id that is; ``opened_at`` when the first entry came."""

_MAX_WAL = 4 * 1024**2
"""Bytes that the write-ahead log keeps on disk after it was copied into the file."""

FindSealed = Callable[[int], Entry | None]
"""Returns the entry with an id that is in a sealed segment."""


class SegmentWriter:
    """Writes to the open segment. Its methods are called by one thread at a time.

    Args:
        folder: The folder of the journal.
        initial: What a new file begins with.
        positions: The positions in the raw files that a new file begins with.
        find_sealed: Finds entries that are sealed.

    Raises:
        sqlite3.Error: The file cannot be opened or made.
    """

    def __init__(
        self, folder: Path, initial: OpenState, positions: Positions, find_sealed: FindSealed
    ) -> None:
        self.path = folder / OPEN_NAME
        self._find_sealed = find_sealed
        make_private(self.path)
        self._connection = connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # whole after a power failure, if older
            connection.execute(f"PRAGMA journal_size_limit = {_MAX_WAL}")
            connection.executescript(_SCHEMA)
            with self.transaction():
                if connection.execute("SELECT count(*) FROM state").fetchone() == (0,):
                    connection.execute(
                        "INSERT INTO state VALUES (1, ?, ?, NULL, 0)", (initial.sealed, initial.high)
                    )
                    self._set_positions(positions)
        except BaseException:
            connection.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Keep other writers out, and commit at the end."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            self._version = -1  # what was read within the transaction may not be so
            raise

    def take(self, read: Callable[[Positions], Batch], now: float) -> Batch:
        """Add what ``read`` returns for the committed positions."""
        with self.transaction() as connection:
            batch = read(read_positions(connection))
            self._insert(batch.entries, now)
            self._set_positions(batch.positions)
            connection.executemany("DELETE FROM positions WHERE file = ?", [(name,) for name in batch.gone])
            connection.execute("UPDATE state SET unreadable = unreadable + ?", (batch.unreadable,))
        return batch

    def append(self, entries: Sequence[Entry], now: float) -> int:
        """Add entries, and return how many were new."""
        with self.transaction():
            return self._insert(entries, now)

    def count(self) -> tuple[int, float | None]:
        """Return the number of entries, and when the first was added."""
        with self.transaction() as connection:
            state = read_state(connection)
            (last,) = connection.execute("SELECT max(seq) FROM entries").fetchone()
        return (last or state.sealed) - state.sealed, state.opened_at

    def seal(self, make: Callable[[int], tuple[int, int]]) -> None:
        """Seal all entries with ``make`` and empty the file.

        Args:
            make: Makes the segment, given the last arrival that is sealed already; it returns the last arrival and the largest
                id of the segment.
        """
        with self.transaction() as connection:
            if connection.execute("SELECT max(seq) FROM entries").fetchone() == (None,):
                return  # another process has just sealed them
            last, high = make(read_state(connection).sealed)
            connection.execute("DELETE FROM entries")
            connection.execute("DELETE FROM words")
            connection.execute(
                "UPDATE state SET sealed = ?, high = max(high, ?), opened_at = NULL", (last, high)
            )
            self._version = -1
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def erase(self, event_id: str, provider: str) -> int:
        """Erase the texts of an event, also from pages that are free, and from the write-ahead log.

        Raises:
            OSError: They are left in the log, because others read it.
        """
        with self.transaction() as connection:
            count = erase_rows(connection, event_id, provider)
        self._connection.execute("VACUUM")
        (is_busy, *_) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if is_busy:
            raise OSError(
                "somebody reads the journal all the time, so that texts are left in its log; try again"
            )
        return count

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _insert(self, entries: Sequence[Entry], now: float) -> int:
        kept = [each for entry in entries if (each := entry if is_plain(entry) else bounded(entry))]
        if not kept:
            return 0
        connection = self._connection
        self._read_words()
        state = read_state(connection)
        (last,) = connection.execute("SELECT max(seq) FROM entries").fetchone()
        first = (last or state.sealed) + 1
        if state.opened_at is None:
            connection.execute("UPDATE state SET opened_at = ?", (now,))
        late = [entry for entry in kept if entry.id <= state.high]
        fresh = [entry for entry in kept if entry.id > state.high] if late else kept
        count = self._insert_fresh(fresh, first)
        for entry in late:
            count += self._insert_one(entry, first + count, is_late=True)
        self._words.write(connection)
        return count

    def _insert_fresh(self, entries: Sequence[Entry], first: int) -> int:
        connection = self._connection
        connection.execute("SAVEPOINT fresh")
        try:
            connection.executemany(INSERT, self._words.rows(entries, first))
        except sqlite3.IntegrityError:  # an id is there already
            connection.execute("ROLLBACK TO fresh")
        else:
            connection.execute("RELEASE fresh")
            return len(entries)
        count = 0
        for entry in entries:
            count += self._insert_one(entry, first + count)
        connection.execute("RELEASE fresh")
        return count

    def _insert_one(self, entry: Entry, seq: int, *, is_late: bool = False) -> bool:
        entry = bounded(entry) or entry  # as it would come back
        while known := self._find(entry.id, is_late=is_late):
            entry = msgspec.structs.replace(entry, id=entry.id + 1)
            known = msgspec.structs.replace(known, id=entry.id)
            if known in {entry, forgotten(entry)}:
                return False
        self._connection.executemany(INSERT, self._words.rows([entry], seq))
        return True

    def _find(self, entry_id: int, *, is_late: bool) -> Entry | None:
        row = self._connection.execute(
            f"SELECT {SELECTED} FROM entries WHERE id = ?",  # noqa: S608 -- our constants
            (entry_id,),
        ).fetchone()
        if row:
            words = {
                number: word for numbers in self._words.numbers.values() for word, number in numbers.items()
            }
            client = WORD_FIELDS.index("client") + 2  # behind id and seq
            return entry_of((*row[:client], words[row[client]], *row[client + 1 :]), words)
        return self._find_sealed(entry_id) if is_late else None

    def _read_words(self) -> None:
        """Read the words anew if another process has written since."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._words = Words(self._connection)
            self._version = version

    def _set_positions(self, positions: Positions) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)",
            [(name, str(position.inode), position.offset) for name, position in positions.items()],
        )

    _version = -1
    _words: Words
