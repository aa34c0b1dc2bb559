"""What is particular to the journal in PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from gateway.journal import Point
from gateway.journal.entry import first_id_at
from gateway.journal.indexer import Indexer
from gateway.journal.intake import Batch, Position, Positions
from gateway.journal.postgresql import PostgresJournal
from gateway.journal.query import Query
from support.journals import NOW, entries, entry, line_of
from support.postgresql_server import PASSWORD, PostgreSQLServer
from support.waiting import wait_until

ALL = Query()


def test_gateways_share_one_journal(postgres_url: str, tmp_path: Path) -> None:
    """Each has its own positions; all see everything, and all points are summed."""
    one, other = (PostgresJournal(postgres_url, tmp_path / name) for name in ("one", "other"))
    one.take(lambda _: Batch(entries(10), {"0-1": Position(1, 10)}, 2))
    seen: list[Positions] = []

    def read(positions: Positions) -> Batch:
        seen.append(positions)
        return Batch(entries(20)[10:], {"0-1": Position(9, 90)})

    other.take(read)
    for journal in (one, other, one):
        journal.add_points([Point(NOW, "stripe", "outcome:accepted", 2), Point(NOW, "", "gauge:spooled", 5)])

    assert seen == [{}]
    assert one.sealed_positions() == {"0-1": Position(1, 10)}
    assert one.find(ALL, budget=60).entries == other.find(ALL, budget=60).entries == entries(20)[::-1]
    assert (one.state().unreadable, other.state().unreadable) == (2, 0)
    assert other.points("", NOW, NOW + 60, 60) == [
        Point(NOW, "", "gauge:spooled", 10),
        Point(NOW, "stripe", "outcome:accepted", 6),
    ]
    again = PostgresJournal(postgres_url, tmp_path / "one")
    assert again.sealed_positions() == {"0-1": Position(1, 10)}
    for journal in (one, other, again):
        journal.close()


def test_gateways_that_start_together_make_the_tables_once(postgres_url: str, tmp_path: Path) -> None:
    """And add at once, each entry once, without a gap that a follower would miss."""
    journals = [PostgresJournal(postgres_url, tmp_path / str(number)) for number in range(4)]
    added = entries(400)
    threads = [
        threading.Thread(
            target=lambda number, journal: [
                journal.append(added[start : start + 10])
                for start in range(number * 100, number * 100 + 100, 10)
            ],
            args=(number, journal),
        )
        for number, journal in enumerate(journals)
    ]
    for thread in threads:
        thread.start()
    found = []
    position = 0
    while any(thread.is_alive() for thread in threads) or position < journals[0].position():
        page = journals[0].follow(ALL, position, 50)
        found += page.entries
        position = page.position
    for journal in journals:
        journal.close()

    assert sorted(found, key=lambda each: each.id) == added


def test_days_are_partitions(postgres_url: str, tmp_path: Path) -> None:
    """The oldest go first when there is too much; that of the moment stays."""
    journal = PostgresJournal(postgres_url, tmp_path)
    day = 86_400
    journal.append([entry(-day * number + each) for number in range(4) for each in range(5)])
    with psycopg.connect(postgres_url) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'journal_entries'::regclass"
        ).fetchone() or (0,)
    assert count == 4

    small = PostgresJournal(postgres_url, tmp_path, max_size=1)
    small.prune(NOW - 3600)  # the day of the newest entries, at any time of day

    assert {each.id for each in journal.find(ALL, budget=60).entries} <= {
        entry(each).id for each in range(5)
    } | {entry(each - day).id for each in range(5)}
    assert journal.find(Query(since=NOW - 3600), budget=60).entries
    journal.close()
    small.close()


def test_raw_files_are_the_buffer_while_it_is_away(
    postgresql_server: PostgreSQLServer, postgres_url: str, tmp_path: Path
) -> None:
    """Nothing is lost, nothing is there twice, and nobody sees the password."""
    raw = tmp_path / "journal" / "raw"
    raw.mkdir(parents=True)
    journal = PostgresJournal(postgres_url, tmp_path)
    indexer = Indexer(journal, raw)
    (raw / "0-1.jsonl").write_bytes(b"".join(map(line_of, entries(10))))
    indexer.start()
    wait_until(lambda: len(journal.find(ALL, budget=60).entries) == 10)

    postgresql_server.kill()
    (raw / "0-2.jsonl").write_bytes(b"".join(map(line_of, entries(30)[10:])))
    wait_until(lambda: bool(indexer.unavailable_reason))
    with pytest.raises(OSError, match="PostgreSQL") as caught:
        journal.find(ALL)
    postgresql_server.start()
    wait_until(lambda: not indexer.unavailable_reason)
    indexer.stop()

    assert PASSWORD not in str(caught.value)
    assert journal.find(ALL, limit=100, budget=60).entries == entries(30)[::-1]
    journal.close()


def test_a_user_without_rights_to_make_tables_is_enough(postgres_url: str, tmp_path: Path) -> None:
    """Where the tables and the day are there."""
    owner = PostgresJournal(postgres_url, tmp_path)
    owner.append(entries(5))
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS reader_of_tests")
        connection.execute("CREATE ROLE reader_of_tests LOGIN PASSWORD 'reader'")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_of_tests")
    address = postgres_url.partition("@")[2]
    reader = PostgresJournal(f"postgresql://reader_of_tests:reader@{address}", tmp_path)

    assert len(reader.find(ALL, budget=60).entries) == 5
    with pytest.raises(OSError, match="permission denied"):
        reader.append(entries(6))

    reader.close()
    owner.close()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY reader_of_tests")
        connection.execute("DROP ROLE reader_of_tests")


def test_a_search_that_takes_too_long_is_ended_and_goes_on(postgres_url: str, tmp_path: Path) -> None:
    """Each page gets further; together they find what there is."""
    journal = PostgresJournal(postgres_url, tmp_path)
    days = [entry(-86_400 * number, subject="rare" if number == 9 else "") for number in range(10)]
    journal.append(days)

    before, found, pages = None, [], 0
    while True:
        page = journal.find(Query(min_ms=1), before=before, budget=0.0)
        found += page.entries
        pages += 1
        if page.is_complete:
            break
        assert page.searched_until is not None
        assert before is None or (page.next is not None and page.next < before)
        before = page.next
    assert pages > 1
    assert found == []
    assert journal.find(Query(subject="rare"), budget=0.0).entries == [days[9]]
    assert first_id_at(NOW) > days[9].id
    journal.close()


def test_without_its_library_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    """No traceback."""
    program = """
import sys
sys.modules["psycopg"] = None
from pathlib import Path
from types import SimpleNamespace
from gateway.backends import open_journal
from gateway.errors import OperatorError
config = SimpleNamespace(
    postgres=SimpleNamespace(url="postgresql://127.0.0.1/none"), journal=SimpleNamespace(), data_dir=Path()
)
try:
    open_journal(config, writable=True)
except OperatorError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=tmp_path
    )

    assert "pip install 'agent-webhook-gateway[postgres]'" in done.stdout, done.stderr
    assert len(done.stdout.splitlines()) == 1
