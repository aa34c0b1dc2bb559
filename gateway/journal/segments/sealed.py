"""Sealed segments: how one is made, read, and rid of an event."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gateway.journal.entry import cut
from gateway.journal.forgetting import ERASED
from gateway.journal.segments.files import SegmentFile, sync_folder
from gateway.journal.segments.rows import SELECTED, TABLES, WORD_FIELDS, KnownWords
from gateway.journal.segments.search import CHUNK, Tallies
from gateway.transport.private_files import make_private, private_opener
from gateway.transport.sqlite import PAGE_SIZE

MAX_CONNECTIONS = 64
"""Segments that are kept open: 6.4 million entries, at 256 KiB of cache and a few words each."""

_READ_CACHE = 256
"""KiB of cache of a segment that is read."""

_BUILD_CACHE = 8_192
"""KiB of cache while indexes are built: 100,000 ids are sorted within it."""

_INDEXES = """
CREATE INDEX main.entries_by_event ON entries (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX main.entries_by_subject ON entries (subject) WHERE subject IS NOT NULL;
CREATE INDEX main.entries_by_account ON entries (account) WHERE account IS NOT NULL;
CREATE INDEX main.entries_by_trace ON entries (trace) WHERE trace IS NOT NULL;
CREATE INDEX main.entries_by_request ON entries (request) WHERE request IS NOT NULL;
CREATE INDEX main.entries_by_group ON entries (provider, type, outcome);
CREATE TABLE main.tallies AS SELECT provider, type, outcome, count(*) AS times FROM entries GROUP BY 1, 2, 3;
"""


class SealedSegment:
    """A sealed segment that is open for reading. Use it within :meth:`use`: one thread at a time.

    Raises:
        sqlite3.DatabaseError: It cannot be read.
        ValueError: Likewise.

    Attributes:
        connection: The connection.
        words: Its words.
        tallies: How many entries there are of each provider, type and outcome.
        marks: Ids that divide it into parts of equal size.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._identity = _identity_of(path)
        self.connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False
        )
        try:
            self.connection.execute(f"PRAGMA cache_size = -{_READ_CACHE}")
            if self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,):
                raise ValueError("the file is empty")  # a database for SQLite
            self.words = KnownWords()
            self.words.read(self.connection)
            self.tallies: Tallies = {
                (provider, type_, outcome): times
                for provider, type_, outcome, times in self.connection.execute("SELECT * FROM tallies")
            }
            self.marks = [mark for (mark,) in self.connection.execute("SELECT id FROM marks")]
        except BaseException:
            self.connection.close()
            raise

    @contextmanager
    def use(self) -> Iterator[SealedSegment]:
        """Keep other threads from the segment, and the segment open."""
        with self._lock:
            yield self

    def is_of(self, path: Path) -> bool:
        """Return whether the file at ``path`` is this one still; an erasure replaces it."""
        return self._identity == _identity_of(path)

    def close(self) -> None:
        """Close it, once no thread uses it."""
        with self._lock:
            self.connection.close()


class SegmentCache:
    """The sealed segments that were read last.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._open: OrderedDict[str, SealedSegment] = OrderedDict()

    @contextmanager
    def use(self, file: SegmentFile) -> Iterator[SealedSegment]:
        """Open a segment, unless it is open, and keep other threads from it.

        Raises:
            FileNotFoundError: It was deleted.
            sqlite3.DatabaseError: It cannot be read.
        """
        path = self._folder / file.name
        while True:
            with self._lock:
                segment = self._open.get(file.name)
                stale = [] if segment is None or segment.is_of(path) else [segment]
                if segment is None or stale:
                    segment = SealedSegment(path)
                self._open[file.name] = segment
                self._open.move_to_end(file.name)
                if len(self._open) > MAX_CONNECTIONS:
                    stale.append(self._open.popitem(last=False)[1])
            for each in stale:
                each.close()
            with segment.use():
                if self._open.get(file.name) is segment:  # else it was closed while we waited
                    yield segment
                    return

    def discard(self, file: SegmentFile) -> None:
        """Close a segment if it is open."""
        with self._lock:
            segment = self._open.pop(file.name, None)
        if segment:
            segment.close()

    def close(self) -> None:
        """Close all segments."""
        with self._lock:
            segments, self._open = list(self._open.values()), OrderedDict()
        for segment in segments:
            segment.close()


def seal(source: Path, folder: Path) -> SegmentFile:
    """Make a sealed segment of all entries of the open one, which nobody may write to meanwhile.

    Args:
        source: The open segment.
        folder: Where the sealed one is to lie.

    Raises:
        sqlite3.Error: A file cannot be read or written.
        OSError: Likewise.
    """
    unfinished = folder / "unfinished.tmp"
    with _new_file(unfinished) as connection:
        connection.executescript(TABLES)
        connection.execute("ATTACH ? AS source", (f"{source.absolute().as_uri()}?mode=ro",))
        connection.execute("BEGIN")
        connection.execute(f"INSERT INTO main.entries SELECT {SELECTED} FROM source.entries ORDER BY id")  # noqa: S608 -- our constants
        connection.execute("INSERT INTO main.words SELECT * FROM source.words")
        connection.execute("INSERT INTO main.positions SELECT * FROM source.positions")
        connection.execute(
            "CREATE TABLE main.marks AS SELECT id FROM source.entries WHERE seq % ? = 0 ORDER BY id", (CHUNK,)
        )
        connection.execute("COMMIT")
        connection.executescript(_INDEXES)
        last, count, low, high = connection.execute(
            "SELECT max(seq), count(*), min(id), max(id) FROM main.entries"
        ).fetchone()
    file = SegmentFile(last, count, low, high)
    _put_in_place(unfinished, folder / file.name)
    return file


def erase(path: Path, event_id: str, provider: str) -> int:
    """Replace a segment by one without the texts of an event, and return the number of its entries.

    Raises:
        sqlite3.Error: A file cannot be read or written.
        OSError: Likewise.
    """
    unfinished = path.with_name("unfinished.tmp")
    with path.open("rb") as found, open(unfinished, "wb", opener=private_opener) as copy:
        shutil.copyfileobj(found, copy)
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as connection:
        count = erase_rows(connection, event_id, provider)
        connection.execute("VACUUM")
    _put_in_place(unfinished, path)
    return count


def erase_rows(connection: sqlite3.Connection, event_id: str, provider: str) -> int:
    """Erase the texts of an event from the rows of a segment, and return the number of the rows."""
    connection.execute("PRAGMA secure_delete = ON")
    columns = ", ".join(f"{name} = {0 if name in WORD_FIELDS else 'NULL'}" for name in ERASED)
    where, values = event_condition(event_id, provider)
    return connection.execute(f"UPDATE entries SET {columns} WHERE {where}", values).rowcount  # noqa: S608 -- our constants


def event_condition(event_id: str, provider: str) -> tuple[str, tuple[object, ...]]:
    """Return the condition on the rows of an event, and its values."""
    event_id = cut(event_id)
    if not provider:
        return "event_id = ?", (event_id,)
    number = "SELECT id FROM words WHERE field = ? AND word = ?"
    return f"event_id = ? AND provider = ({number})", (event_id, WORD_FIELDS.index("provider"), provider)


@contextmanager
def _new_file(path: Path) -> Iterator[sqlite3.Connection]:
    path.unlink(missing_ok=True)
    make_private(path)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}", uri=True, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = OFF")  # an unfinished file is made anew
        connection.execute("PRAGMA synchronous = OFF")  # it is synchronised once, when it is complete
        connection.execute(f"PRAGMA cache_size = -{_BUILD_CACHE}")
        yield connection
    finally:
        connection.close()


def _put_in_place(unfinished: Path, path: Path) -> None:
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)


def _identity_of(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_mtime_ns
