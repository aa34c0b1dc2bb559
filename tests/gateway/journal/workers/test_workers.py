"""The table of workers that are alive: in memory, in SQLite and in PostgreSQL, one set of promises."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.journal.reports import Heartbeat
from gateway.journal.workers import MAX_SILENCE, MAX_WORKERS, Workers
from gateway.journal.workers.memory import MemoryWorkers
from gateway.journal.workers.postgresql import PostgresWorkers
from gateway.journal.workers.sqlite import FILE_NAME, SqliteWorkers

NOW = 1_800_000_000.0
Open = Callable[[], Workers]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def open_table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open the table, again and again: all of them see the same rows."""
    opened: list[Workers] = []
    memory = MemoryWorkers()

    def open_one() -> Workers:
        table: Workers = memory
        if request.param == "sqlite":
            table = SqliteWorkers(tmp_path)
        elif request.param == "postgresql":
            table = PostgresWorkers(request.getfixturevalue("postgres_url"))
        opened.append(table)
        return table

    yield open_one
    for table in opened:
        table.close()


def heartbeat(pid: int = 1, at: float = NOW, **fields: Any) -> Heartbeat:
    """Return a heartbeat of a worker."""
    fields = {"queue": "agent", "host": "a", "version": "1", "started_at": NOW - 60, **fields}
    return Heartbeat(pid=pid, at=at, **fields)


def test_nobody_is_alive_at_first(open_table: Open) -> None:
    """Also before anything was ever written."""
    assert open_table().alive(NOW) == []


def test_the_last_word_of_each_process_is_kept(open_table: Open) -> None:
    """In whatever order they come, and for all who open the table."""
    table = open_table()
    table.note([heartbeat(2), heartbeat(1, in_progress=3), heartbeat(1, queue="other", host="b<")])
    table.note([heartbeat(1, NOW + 10, in_progress=4, paused="20 failures", paused_until=NOW + 40)])
    table.note([heartbeat(1, NOW + 5, in_progress=5)])

    found = open_table().alive(NOW + 10)

    assert [(each.queue, each.host, each.pid) for each in found] == [
        ("agent", "a", 1),
        ("agent", "a", 2),
        ("other", "b<", 1),
    ]
    assert found[0] == heartbeat(1, NOW + 10, in_progress=4, paused="20 failures", paused_until=NOW + 40)


def test_a_process_that_ended_or_fell_silent_is_gone(open_table: Open) -> None:
    """At once, or after some heartbeats that did not come."""
    table = open_table()
    table.note([heartbeat(1), heartbeat(2), heartbeat(3, NOW + 10)])
    table.note([heartbeat(2, NOW + 1, has_ended=True)])

    assert [each.pid for each in table.alive(NOW + MAX_SILENCE)] == [1, 3]
    assert [each.pid for each in table.alive(NOW + MAX_SILENCE + 1)] == [3]


def test_the_table_is_bounded(open_table: Open) -> None:
    """Those that were silent for longest go first."""
    table = open_table()
    table.note([heartbeat(number, NOW + number / 1000) for number in range(MAX_WORKERS + 5)])

    assert {each.pid for each in table.alive(NOW + 5)} == set(range(5, MAX_WORKERS + 5))


def test_the_file_is_private(tmp_path: Path) -> None:
    """As all files of the data directory are; and a reader does not make it."""
    folder = tmp_path / "var"
    table = SqliteWorkers(folder)
    assert table.alive(NOW) == []
    assert not folder.exists()
    table.note([heartbeat()])

    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / FILE_NAME).parent.stat().st_mode) == 0o700
    table.close()


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    """With the file's name; nothing else fails for it."""
    (tmp_path / FILE_NAME).parent.mkdir()
    (tmp_path / FILE_NAME).write_bytes(b"no database at all, but long enough to be looked at" * 10)
    table = SqliteWorkers(tmp_path)

    with pytest.raises(OSError, match=r"workers\.db"):
        table.alive(NOW)
    with pytest.raises(OSError, match=r"workers\.db"):
        table.note([heartbeat()])
    table.close()


def test_a_server_that_returns_is_used_again(postgres_url: str) -> None:
    """The connection that was lost costs one error."""
    table = PostgresWorkers(postgres_url)
    table.note([heartbeat()])
    other = PostgresWorkers("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(OSError, match="PostgreSQL: "):
        other.alive(NOW)

    assert [each.pid for each in table.alive(NOW)] == [1]
    table.close()
