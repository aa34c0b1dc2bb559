"""What is particular to segments: files that break, go, are erased from, and are nobody else's business."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.journal.entry import Entry
from gateway.journal.indexer import Indexer
from gateway.journal.intake import Batch, Position, Positions
from gateway.journal.query import Query
from gateway.journal.segments.files import segment_files
from gateway.journal.sqlite import SqliteJournal
from support.journals import entries, entry, line_of

from .conftest import Open

ALL = Query()


def fill(journal: SqliteJournal, added: list[Entry]) -> None:
    """Add entries so that forty each are sealed."""
    for start in range(0, len(added), 40):
        journal.append(added[start : start + 40])
        journal.close_full(time.time())


def everything(journal: SqliteJournal) -> list[Entry]:
    """Return all entries, oldest first."""
    return journal.find(ALL, limit=10_000, budget=60).entries[::-1]


def sealed(folder: Path) -> list[Path]:
    """Return the sealed segments, in the order of arrival."""
    return [folder / "segments" / file.name for file in segment_files(folder / "segments")]


def test_names_say_what_is_in_a_segment(reopen: Open, folder: Path) -> None:
    """So that most need not be opened."""
    journal = reopen()
    added = entries(90)
    fill(journal, added)

    first, second = segment_files(folder / "segments")
    assert (first.last, first.entries, first.low, first.high) == (40, 40, added[0].id, added[39].id)
    assert (second.last, second.entries, second.low, second.high) == (80, 40, added[40].id, added[79].id)
    first_path = folder / "segments" / first.name
    first_path.write_bytes(b"")  # is not opened for what is not in it
    with capture_logs() as logs:
        assert len(journal.find(Query(since=added[40].at), budget=60).entries) == 50
    assert logs == []


def test_files_are_for_their_owner_alone(reopen: Open, folder: Path, tmp_path: Path) -> None:
    """All of them, whatever the umask."""
    before = os.umask(0)
    try:
        journal = reopen()
        fill(journal, entries(90))
        journal.forget("evt_3")
        journal.add_points([])
        Indexer(journal, tmp_path / "journal" / "raw").start()
    finally:
        os.umask(before)

    paths = [folder, *folder.rglob("*")]
    assert len(paths) > 6
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


BREAKAGES: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda content: b"",
    "no database": lambda content: b"\xff" * len(content),
    "half": lambda content: content[: len(content) // 2],
    "head only": lambda content: content[:100] + b"\xff" * (len(content) - 100),
    "tail": lambda content: content[:8192] + b"\xff" * (len(content) - 8192),
}


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_corrupt_segment_is_left_out_and_set_aside(reopen: Open, folder: Path, kind: str) -> None:
    """It is reported; all others are read."""
    added = entries(130)
    journal = reopen()
    fill(journal, added)
    broken = sealed(folder)[1]
    broken.write_bytes(BREAKAGES[kind](broken.read_bytes()))
    broken.touch()

    with capture_logs() as logs:
        found = everything(reopen())
        reading = reopen()
        for query in (ALL, Query(event_id="evt_50"), Query(failures=True), Query(min_ms=1)):
            reading.find(query, budget=60)
        assert reading.follow(ALL, 0, 1000).position > 0
        assert reading.timeline("evt_50") == []
    assert found == added[:40] + added[80:]
    assert "journal segment corrupt" in {each["event"] for each in logs}
    assert reading.state().corrupt == (broken.name,)

    reading.prune(time.time())
    assert not broken.exists()
    assert (folder / "corrupt" / broken.name).exists()
    assert reopen().state().corrupt == (broken.name,)
    assert everything(reading) == found


@pytest.mark.parametrize("kind", ["nothing", "no database", "half", "head only", "tail"])
def test_a_corrupt_open_segment_is_made_anew_from_the_raw_files(
    reopen: Open, folder: Path, kind: str
) -> None:
    """Nothing is lost: what is not sealed is in raw files still."""
    added = entries(130)
    raw = folder / "raw"
    raw.mkdir(parents=True)
    (raw / "0-1.jsonl").write_bytes(b"".join(map(line_of, added[:50])))
    first = reopen()
    Indexer(first, raw).try_to_catch_up(60)
    (raw / "0-2.jsonl").write_bytes(b"".join(map(line_of, added[50:80])))
    Indexer(first, raw).try_to_catch_up(60)
    first.close()
    path = folder / "open.db"
    path.write_bytes(BREAKAGES[kind](path.read_bytes()))

    (raw / "0-3.jsonl").write_bytes(b"".join(map(line_of, added[80:])))
    journal = reopen()
    indexer = Indexer(journal, raw)
    for _ in range(3):
        try:
            indexer.try_to_catch_up(60)
        except OSError:
            continue

    assert everything(journal) == added
    assert journal.follow(ALL, 0, 1000).entries
    assert journal.state().unindexed == 0


def test_a_corrupt_open_segment_is_left_out_until_it_is_made_anew(reopen: Open, folder: Path) -> None:
    """Also if only a reader notices, since the damage is where nobody writes."""
    added = entries(79)
    raw = folder / "raw"
    raw.mkdir(parents=True)
    first = reopen()
    fill(first, added[:40])
    (raw / "0-1.jsonl").write_bytes(b"".join(map(line_of, added[40:])))
    Indexer(first, raw).try_to_catch_up(60)
    first.close()
    with sqlite3.connect(folder / "open.db") as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entries'").fetchone()
    connection.close()
    with (folder / "open.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    journal = reopen()
    assert everything(journal) == added[:40]
    assert journal.state().entries == 40
    assert len(journal.follow(ALL, 0, 100).entries) == 40
    Indexer(journal, raw).try_to_catch_up(60)

    assert everything(journal) == added
    assert journal.state().corrupt == ("open.db",)


def test_an_open_segment_that_is_removed_is_made_anew(reopen: Open, folder: Path) -> None:
    """By somebody who cleans up; what is sealed stays, and arrivals go on."""
    journal = reopen()
    fill(journal, entries(50))
    assert journal.position() == 50
    (folder / "open.db").unlink()

    assert everything(journal) == entries(40)
    journal.append(entries(60)[50:])

    assert everything(journal) == entries(40) + entries(60)[50:]
    assert journal.position() == 50


def test_two_processes_write(reopen: Open) -> None:
    """Each sees the words and numbers of the other, and both seal."""
    one, other = reopen(), reopen()
    added = entries(300)
    for number, each in enumerate(added):
        journal = (one, other)[number % 2]
        journal.append([each])
        if number % 7 == 0:
            journal.close_full(time.time())

    assert everything(one) == everything(other) == added
    found = one.follow(ALL, 0, 1000)
    while len(found.entries) < 300:
        more = one.follow(ALL, found.position, 1000)
        found = more._replace(entries=found.entries + more.entries)
    assert found.entries == added


def test_two_processes_write_at_once(reopen: Open, tmp_path: Path) -> None:
    """They wait for each other."""
    script = Path(__file__).parent.with_name("index_and_die.py").read_text("utf-8").partition("def arm")[0]
    script += """
from gateway.journal.entry import Entry
import msgspec, time
journal = SqliteJournal(Path(sys.argv[1]), Limits(segment_entries=40))
for line in sys.stdin.buffer.readlines():
    journal.append([msgspec.json.decode(line, type=Entry)])
    journal.close_full(time.time())
"""
    added = entries(400)
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE) for _ in "12"
    ]
    for number, process in enumerate(processes):
        assert process.stdin
        process.stdin.write(b"".join(map(line_of, added[number::2])))
        process.stdin.close()

    assert [process.wait() for process in processes] == [0, 0]
    assert everything(reopen()) == added


def test_a_clock_that_goes_back_costs_nothing(reopen: Open) -> None:
    """Entries of the past, and of the future, among sealed ones."""
    past, present, future = (
        [entry(start + each, gateway=str(start)) for each in range(100)] for start in (-90_000, 0, 50_000)
    )
    journal = reopen()
    fill(journal, future)
    fill(journal, past)
    fill(journal, present)
    fill(journal, past)

    assert everything(journal) == [*past, *present, *future]
    assert journal.find(Query(until=present[0].at), limit=500, budget=60).entries == past[::-1]


def test_the_oldest_go_when_it_is_too_large(reopen: Open, folder: Path) -> None:
    """As many whole segments as must."""
    added = entries(200)
    journal = reopen()
    fill(journal, added)
    size = journal.state().size
    one = sealed(folder)[0].stat().st_size
    assert len(sealed(folder)) == 5

    small = reopen(max_size=size - one - 1)
    small.prune(time.time())

    assert everything(small) == everything(journal) == added[80:]
    assert small.state().size <= size - one - 1
    assert journal.state().begins_at == added[80].at
    assert journal.position() == 200
    assert len(journal.follow(ALL, 0, 1000).entries) == 120


def test_positions_survive_sealing(reopen: Open) -> None:
    """And the sealed ones are those at the end of the last sealed segment."""
    journal = reopen()
    journal.take(lambda _: Batch(entries(50), {"0-1": Position(1, 10)}))
    assert journal.sealed_positions() == {}
    journal.close_full(time.time())
    journal.take(lambda _: Batch(entries(60)[50:], {"0-1": Position(1, 20), "0-2": Position(2, 5)}))

    assert journal.sealed_positions() == {"0-1": Position(1, 10)}
    seen: list[Positions] = []

    def look(positions: Positions) -> Batch:
        seen.append(positions)
        return Batch([], {})

    reopen().take(look)
    assert seen == [{"0-1": Position(1, 20), "0-2": Position(2, 5)}]


def test_an_erased_text_is_in_no_file(reopen: Open, folder: Path, tmp_path: Path) -> None:
    """Also not in free pages, the write-ahead log, or lines that are indexed or not."""
    raw = folder / "raw"
    raw.mkdir(parents=True)
    hers = [
        entry(
            each,
            event_id="evt_erika",
            subject="Erika Mustermann",
            summary="Erika pays",
            client="198.51.100.0/24",
        )
        for each in (10, 45, 95, 110)
    ]
    added = sorted([*entries(100), *hers[:3]], key=lambda each: each.id)
    (raw / "0-1.jsonl").write_bytes(b"".join(map(line_of, [hers[3], entry(200)])))
    journal = reopen()
    fill(journal, added)
    journal.find(Query(subject="Erika Mustermann"))  # its segments are open

    assert journal.forget("evt_erika", "stripe") == 3

    assert [path for path in folder.rglob("*") if path.is_file() and b"Erika" in path.read_bytes()] == []
    assert journal.find(Query(subject="Erika Mustermann")).entries == []
    Indexer(journal, raw).try_to_catch_up(60)
    assert len(everything(journal)) == 105
    assert "Erika" not in str(everything(journal))
    assert {each.id for each in hers} < {each.id for each in everything(journal)}


def test_the_disk_is_full_while_a_segment_is_sealed(
    reopen: Open, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """It is sealed later."""
    journal = reopen()
    journal.append(entries(50))

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("gateway.journal.segments.sealed.sync_folder", no_space)
        with pytest.raises(OSError, match="No space"):
            journal.close_full(time.time())
        assert everything(journal) == entries(50)
    with monkeypatch.context() as patch:
        patch.setattr("gateway.journal.segments.sealed._INDEXES", "SELECT * FROM missing;")
        with pytest.raises(OSError, match="no such table"):
            journal.close_full(time.time())

    assert journal.close_full(time.time())
    assert everything(journal) == entries(50)
    assert len(list((folder / "segments").iterdir())) == 1


def test_a_reader_needs_no_gateway_and_makes_nothing(reopen: Open, tmp_path: Path) -> None:
    """Reading leaves no files."""
    journal = reopen()
    journal.find(ALL)
    journal.state()
    journal.follow(ALL, 0)
    journal.points("", 0, time.time(), 60)
    journal.prune(time.time())
    journal.close_full(time.time())

    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_journal_is_an_error_of_the_port(reopen: Open, folder: Path) -> None:
    """Not one of SQLite."""
    folder.mkdir()
    (folder / "open.db").mkdir()

    with pytest.raises(OSError, match="journal in"):
        reopen().append(entries(1))
    assert sqlite3.sqlite_version
