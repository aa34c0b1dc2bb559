"""The journal in PostgreSQL, for several gateways that share one: partitions by day, filled by COPY.

While PostgreSQL is away, the raw files on each machine are the buffer, and nothing can be read.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from typing_extensions import override

from gateway.errors import OperatorError

try:
    import psycopg
    from psycopg import sql
except ImportError as error:
    raise OperatorError(
        "the journal is to be kept in PostgreSQL (postgres.url), but its library is not installed; run "
        "pip install 'agent-webhook-gateway[postgres]', or set postgres.url to embedded"
    ) from error

from gateway.journal import QUERY_BUDGET, Arrivals, JournalState, Page, Point
from gateway.journal.entry import Entry, cut, moment_of
from gateway.journal.forgetting import ERASED
from gateway.journal.intake import Batch, Intake, Position, Positions
from gateway.journal.postgres import points, reading
from gateway.journal.postgres.tables import DAY, day_of
from gateway.journal.postgres.writing import insert, make_tables
from gateway.journal.query import Query
from gateway.journal.raw import erase_lines, raw_folder, unread_size
from gateway.transport.postgresql import Connections, reason_of
from gateway.transport.private_files import make_private_folder, private_opener

_SOURCE_NAME = "source"
"""The file with the name of this data directory in the database; names of hosts are not unique."""

_MAX_COUNTED = 64 * 1024**2
"""Bytes of tables up to which entries are counted; of larger ones the state has PostgreSQL's estimate."""

_TIMELINE_BUDGET = 20.0
"""Seconds to find all entries of an event, which an index does."""


class PostgresJournal(Intake):
    """The journal in a database.

    Args:
        url: The address of the database.
        data_dir: The data directory, where the raw files are.
        max_age: Seconds that an entry is kept.
        max_size: Bytes beyond which the oldest days are deleted.
    """

    def __init__(
        self, url: str, data_dir: Path, max_age: float = 1_209_600.0, max_size: int = 2 * 1024**3
    ) -> None:
        self._connections = Connections(url, "journal")
        self._folder = data_dir / "journal"
        self._raw = raw_folder(data_dir)
        self._max_age = max_age
        self._max_size = max_size
        self._is_made = False

    @override
    def append(self, entries: Sequence[Entry]) -> int:
        with self._writing() as connection, connection.transaction():
            return insert(connection, entries)

    @override
    def find(
        self, query: Query, *, before: int | None = None, limit: int = 50, budget: float = QUERY_BUDGET
    ) -> Page:
        with self._reading() as connection:
            if connection is None:
                return Page([], None, None, is_complete=True)
            return reading.find(connection, query, before, limit, budget)

    @override
    def follow(self, query: Query, after: int, limit: int = 500) -> Arrivals:
        with self._reading() as connection:
            return reading.follow(connection, query, after, limit) if connection else Arrivals([], after)

    @override
    def position(self) -> int:
        with self._reading() as connection:
            return reading.position(connection) if connection else 0

    @override
    def timeline(self, event_id: str, provider: str = "") -> list[Entry]:
        query = Query(event_id=event_id, providers=(provider,) if provider else ())
        return self.find(query, limit=1_000_000, budget=_TIMELINE_BUDGET).entries[::-1]

    @override
    def add_points(self, points_: Sequence[Point]) -> None:
        with self._writing() as connection:
            points.add(connection, points_, self._source())

    @override
    def points(
        self, measures: str, since: float, until: float, step: float, provider: str | None = None
    ) -> list[Point]:
        with self._reading() as connection:
            if connection is None:
                return []
            return points.select(connection, measures, since, until, step, provider)

    @override
    def forget(self, event_id: str, provider: str = "") -> int:
        erase_lines(self._raw, event_id, provider)
        changes = sql.SQL(", ").join(sql.SQL("{} = ''").format(sql.Identifier(name)) for name in ERASED)
        with self._writing() as connection:
            count = connection.execute(
                sql.SQL(
                    "UPDATE journal_entries SET {}, network = NULL WHERE event_id = %s AND event_id <> '' "
                    "AND (%s = '' OR provider = %s)"
                ).format(changes),
                (cut(event_id), provider, provider),
            ).rowcount
            if count:
                with suppress(psycopg.Error):  # a user that does not own the tables; autovacuum does it later
                    connection.execute("VACUUM journal_entries")
        return count

    @override
    def state(self) -> JournalState:
        with self._reading() as connection:
            if connection is None:
                return JournalState(0, 0, None, unread_size(self._raw, {}))
            sizes = _partition_sizes(connection)
            size = sum(size for _, size, _ in sizes)
            entries = sum(max(estimate, 0) for _, _, estimate in sizes)
            if size <= _MAX_COUNTED:
                (entries,) = connection.execute("SELECT count(*) FROM journal_entries").fetchone() or (0,)
            (oldest,) = connection.execute("SELECT min(id) FROM journal_entries").fetchone() or (None,)
            (unreadable,) = connection.execute(
                "SELECT unreadable FROM journal_sources WHERE source = %s", (self._source(),)
            ).fetchone() or (0,)
            unindexed = unread_size(self._raw, self._positions(connection))
        return JournalState(
            entries, size, None if oldest is None else moment_of(oldest), unindexed, unreadable
        )

    @override
    def prune(self, now: float) -> None:
        with self._writing() as connection:
            sizes = _partition_sizes(connection)
            total = sum(size for _, size, _ in sizes)
            for name, size, _ in sizes:
                begins_at = day_of(name) or 0.0
                is_old = begins_at + DAY < now - self._max_age
                if is_old or (total > self._max_size and begins_at + DAY <= now):
                    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
                    total -= size
            points.prune(connection, now)

    @override
    def take(self, read: Callable[[Positions], Batch]) -> Batch:
        source = self._source()
        with self._writing() as connection, connection.transaction():
            connection.execute("SELECT last FROM journal_state FOR UPDATE")
            batch = read(self._positions(connection))
            insert(connection, batch.entries)
            with connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO journal_positions VALUES (%s, %s, %s, %s) ON CONFLICT (source, file) "
                    "DO UPDATE SET inode = excluded.inode, read = excluded.read",
                    [(source, name, str(inode), offset) for name, (inode, offset) in batch.positions.items()],
                )
            if batch.gone:
                connection.execute(
                    "DELETE FROM journal_positions WHERE source = %s AND file = ANY(%s)",
                    (source, list(batch.gone)),
                )
            if batch.unreadable:
                connection.execute(
                    "INSERT INTO journal_sources VALUES (%s, %s) ON CONFLICT (source) "
                    "DO UPDATE SET unreadable = journal_sources.unreadable + excluded.unreadable",
                    (source, batch.unreadable),
                )
        return batch

    @override
    def sealed_positions(self) -> Positions:
        with self._reading() as connection:
            return self._positions(connection) if connection else {}

    @override
    def close_full(self, now: float) -> bool:
        return False

    @override
    def close(self) -> None:
        self._connections.close()

    def _positions(self, connection: psycopg.Connection) -> Positions:
        rows = connection.execute(
            "SELECT file, inode, read FROM journal_positions WHERE source = %s", (self._source(),)
        )
        return {file: Position(int(inode), read) for file, inode, read in rows}

    def _source(self) -> str:
        """Return the name of this data directory in the database."""
        path = self._folder / _SOURCE_NAME
        try:
            return path.read_text("ascii")
        except FileNotFoundError:
            make_private_folder(self._folder)
            draft = self._folder / f"{_SOURCE_NAME}.{secrets.token_hex(8)}"
            with open(draft, "w", opener=private_opener) as file:
                file.write(secrets.token_hex(16))
            with suppress(FileExistsError):  # another process was faster
                path.hardlink_to(draft)
            draft.unlink()
            return path.read_text("ascii")

    @contextmanager
    def _writing(self) -> Iterator[psycopg.Connection]:
        with self._errors(), self._connections.use() as connection:
            if not self._is_made:
                make_tables(connection)
                self._is_made = True
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[psycopg.Connection | None]:
        """Use a connection to read; None if there are no tables yet."""
        with self._errors(), self._connections.use() as connection:
            if not self._is_made:
                found = connection.execute("SELECT to_regclass('journal_points') IS NOT NULL").fetchone()
                self._is_made = found == (True,)
            yield connection if self._is_made else None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn PostgreSQL's errors into those of the port."""
        try:
            yield
        except psycopg.errors.UndefinedTable as error:  # somebody has dropped them
            self._is_made = False
            raise OSError(f"the journal in PostgreSQL: {reason_of(error)}") from error
        except psycopg.Error as error:
            raise OSError(f"the journal in PostgreSQL: {reason_of(error)}") from error


def _partition_sizes(connection: psycopg.Connection) -> list[tuple[str, int, int]]:
    """Return the name, the bytes and the estimated number of entries of each day, the oldest first."""
    rows = connection.execute(
        "SELECT c.relname, pg_total_relation_size(c.oid), c.reltuples::bigint FROM pg_inherits i "
        "JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'journal_entries'::regclass"
    )
    return sorted(((name, size, count) for name, size, count in rows), key=lambda each: day_of(each[0]) or 0)
