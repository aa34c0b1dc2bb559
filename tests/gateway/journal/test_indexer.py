"""From raw files into a journal: nothing twice, nothing skipped, whatever is in the files and whenever a process dies."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.journal import indexer as indexer_module
from gateway.journal.catching_up import CatchingUpJournal
from gateway.journal.entry import Entry
from gateway.journal.indexer import Indexer
from gateway.journal.intake import Intake
from gateway.journal.memory import MemoryJournal
from gateway.journal.query import Query
from gateway.journal.segments.open_segment import SegmentWriter
from gateway.journal.segments.writing import Limits
from gateway.journal.sqlite import SqliteJournal
from support.journals import entries, entry, line_of
from support.waiting import wait_until

from .conftest import MakeJournal

SCRIPT = Path(__file__).with_name("index_and_die.py")
ALL = Query()


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The folder of the raw files."""
    folder = tmp_path / "journal" / "raw"
    folder.mkdir(parents=True)
    return folder


def write(path: Path, added: list[Entry]) -> None:
    """Append entries to a raw file."""
    with path.open("ab") as file:
        file.writelines(map(line_of, added))


@contextmanager
def written(path: Path) -> Iterator[None]:
    """Lock a raw file as the process does that writes it."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def everything(journal: Intake) -> list[Entry]:
    """Return all entries, oldest first."""
    return journal.find(ALL, limit=100_000, budget=60).entries[::-1]


def test_entries_of_all_processes_are_indexed(journal: Intake, raw: Path) -> None:
    """Each once, also when the files grow, or new ones come."""
    added = entries(300)
    indexer = Indexer(journal, raw)
    assert indexer.try_to_catch_up(60)

    write(raw / "1-1.jsonl", added[1:100:2])
    (raw / "notes.txt").write_text("not ours")
    with written(raw / "0-1.jsonl"):
        write(raw / "0-1.jsonl", added[:100:2])
        assert indexer.try_to_catch_up(60)
        assert everything(journal) == added[:100]
        write(raw / "0-1.jsonl", added[100:200])
    write(raw / "0-2.jsonl", added[200:])
    if not isinstance(journal, MemoryJournal):  # which knows nothing of files
        assert journal.state().unindexed == sum(len(line_of(each)) for each in added[100:])
    assert indexer.try_to_catch_up(60)
    assert indexer.try_to_catch_up(60)
    assert everything(journal) == added
    assert journal.state().unindexed == 0


def test_a_missing_folder_is_an_empty_one(journal: Intake, tmp_path: Path) -> None:
    """No process has written yet."""
    assert not Indexer(journal, tmp_path / "journal" / "raw").try_to_catch_up(1)
    assert everything(journal) == []


def test_a_torn_line_waits_for_its_end(journal: Intake, raw: Path) -> None:
    """A process was just writing, or was killed and went on behind a line feed."""
    first, second, third = entries(3)
    indexer = Indexer(journal, raw)
    torn = line_of(second)
    (raw / "0-1.jsonl").write_bytes(line_of(first) + torn[:20])

    indexer.try_to_catch_up(60)
    assert everything(journal) == [first]

    with (raw / "0-1.jsonl").open("ab") as file:
        file.write(torn[20:] + torn[:20] + b"\n" + line_of(third))
    indexer.try_to_catch_up(60)

    assert everything(journal) == [first, second, third]
    assert journal.state().unreadable == 1


GARBAGE = [
    b"\xff\xfe\0\n",
    b"{}\n",
    b"[]\n",
    b"[1]\n",
    b'["x","received","accepted"]\n',
    b'[1,"unheard of","accepted"]\n',
    b'[0,"received","accepted"]\n',
    b'[-5,"received","accepted"]\n',
    b'[99999999999999999999,"received","accepted"]\n',
    b"[" * 5_000 + b"\n",
    b'[1,"received","\\ud800"]\n',
    b"x" * 300_000 + b"\n",
]


def test_garbage_is_counted_and_skipped(journal: Intake, raw: Path) -> None:
    """What surrounds it is indexed."""
    added = entries(len(GARBAGE) + 1)
    content = line_of(added[0]) + b"\n\n"
    for garbage, each in zip(GARBAGE, added[1:], strict=True):
        content += garbage + line_of(each)
    (raw / "0-1.jsonl").write_bytes(content)

    Indexer(journal, raw).try_to_catch_up(60)

    found = everything(journal)
    assert [each for each in found if each.event_id] == added
    assert len(found) <= len(added) + 1  # half a surrogate pair may be replaced
    assert journal.state().unreadable >= len(GARBAGE) - 1
    assert journal.state().unindexed == 0


def test_a_line_without_an_end_does_not_stop_the_others(journal: Intake, raw: Path) -> None:
    """No process writes one; a broken disk may."""
    (raw / "0-1.jsonl").write_bytes(b"x" * 3_000_000)
    write(raw / "1-1.jsonl", entries(5))

    Indexer(journal, raw).try_to_catch_up(60)

    assert everything(journal) == entries(5)
    assert journal.state().unindexed <= 64 * 1024


def test_later_versions_may_add_fields(journal: Intake, raw: Path) -> None:
    """And earlier ones leave some out."""
    (raw / "0-1.jsonl").write_bytes(
        msgspec.json.encode([*msgspec.structs.astuple(entry(1)), "new"]) + b'\n[7,"action","replayed"]\n'
    )

    Indexer(journal, raw).try_to_catch_up(60)

    assert [each.outcome for each in everything(journal)] == ["replayed", "accepted"]


def test_one_process_at_a_time_indexes(make_journal: MakeJournal, raw: Path) -> None:
    """The other one reads what is there."""
    write(raw / "0-1.jsonl", entries(10))
    console = Indexer(make_journal(), raw)
    console.start()
    other = make_journal()
    wait_until(lambda: len(everything(other)) == 10)

    assert not Indexer(other, raw).try_to_catch_up(60)
    assert CatchingUpJournal(other, Indexer(other, raw)).find(ALL).entries == entries(10)[::-1]
    write(raw / "0-2.jsonl", entries(12)[10:])
    wait_until(lambda: len(everything(other)) == 12)

    console.stop()
    assert Indexer(other, raw).try_to_catch_up(60)


def test_without_a_console_a_reader_indexes(make_journal: MakeJournal, raw: Path) -> None:
    """Whatever it asks first."""
    write(raw / "0-1.jsonl", entries(10))
    journal = make_journal()
    reader = CatchingUpJournal(journal, Indexer(journal, raw))

    assert reader.state().entries == 10


def test_the_rest_is_indexed_at_the_end(journal: Intake, raw: Path) -> None:
    """What a process has written just before the console ends."""
    indexer = Indexer(journal, raw)
    indexer.start()
    wait_until((raw.parent / "index.lock").exists)
    write(raw / "0-1.jsonl", entries(10))

    indexer.stop()

    assert everything(journal) == entries(10)


def test_files_go_when_their_lines_are_sealed(
    segments: SqliteJournal, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not while a process writes to them; it is made to begin a new one."""
    monkeypatch.setattr(indexer_module, "RETIRED_SIZE", 1)
    indexer = Indexer(segments, raw)
    dead, alive = raw / "0-1.jsonl", raw / "1-1.jsonl"
    write(dead, entries(30))
    with dead.open("ab") as file:
        file.write(line_of(entry(30))[:20])  # killed
    write(alive, entries(70)[30:])
    with written(alive):
        indexer.try_to_catch_up(60)
        assert not dead.exists()
        assert not alive.exists()
        renamed = alive.with_suffix(".done")
        write(renamed, entries(71)[70:])  # it was about to when the file was renamed
        indexer.try_to_catch_up(60)
        assert renamed.exists()
    write(raw / "1-2.jsonl", entries(200)[71:])
    indexer.try_to_catch_up(60)

    assert not renamed.exists()
    assert everything(segments) == entries(200)
    indexer.try_to_catch_up(60)
    assert everything(segments) == entries(200)


def test_a_file_stays_until_all_of_it_is_sealed(
    segments: SqliteJournal, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment may be full in the middle of a file whose process has ended."""
    monkeypatch.setattr(indexer_module, "READ_SIZE", 1)
    monkeypatch.setattr(indexer_module, "MAX_LINE", 10 * len(line_of(entry(1))))
    write(raw / "0-1.jsonl", entries(200))

    Indexer(segments, raw).try_to_catch_up(60)

    assert everything(segments) == entries(200)


def test_a_full_disk_is_waited_for(
    segments: SqliteJournal, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The position stays where it is, and indexing goes on later."""
    write(raw / "0-1.jsonl", entries(10))
    indexer = Indexer(segments, raw)
    is_full = True

    class FullDisk(SegmentWriter):
        def take(self, *arguments: object) -> object:  # type: ignore[override]
            if is_full:
                with self.transaction():
                    super().take(*arguments)  # type: ignore[arg-type]
            return super().take(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("gateway.journal.segments.writing.SegmentWriter", FullDisk)
    with capture_logs() as logs:
        indexer.start()
        wait_until(lambda: bool(indexer.unavailable_reason))
        is_full = False
        wait_until(lambda: len(everything(segments)) == 10)
        wait_until(lambda: not indexer.unavailable_reason)
        indexer.stop()

    assert [each["event"] for each in logs] == ["journal not indexed", "journal indexed again"]
    assert everything(segments) == entries(10)


POINTS = (
    [
        (f"gateway.journal.segments.open_segment:{function}", moment, number)
        for function in ("SegmentWriter.take", "Words.write", "SegmentWriter.seal", "read_positions")
        for moment in ("before", "after")
        for number in (1, 2)
    ]
    + [
        (f"gateway.journal.segments.{function}", moment, number)
        for function in (
            "writing:seal",
            "sealed:_put_in_place",
            "sealed:sync_folder",
            "writing:read_positions",
        )
        for moment in ("before", "after")
        for number in (1, 2)
    ]
    + [
        (f"gateway.journal.indexer:{function}", moment, number)
        for function in ("Indexer._retire", "Path.unlink", "raw_files")
        for moment in ("before", "after")
        for number in (1, 2)
    ]
)


@pytest.mark.parametrize(("target", "moment", "number"), POINTS)
def test_a_killed_indexer_leaves_nothing_twice_and_nothing_out(
    tmp_path: Path, raw: Path, target: str, moment: str, number: int
) -> None:
    """Whenever it dies, the next one goes on."""
    added = entries(700)

    def run(*arguments: str) -> int:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(tmp_path), *arguments], check=False, capture_output=True
        )
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        return done.returncode

    write(raw / "0-1.jsonl", added[:250])
    write(raw / "1-1.jsonl", added[250:350])
    run(target, moment, str(number))
    write(raw / "0-2.jsonl", added[350:650])
    run(target, moment, str(number))
    write(raw / "1-2.jsonl", added[650:])
    assert run("", "", "") == 0

    journal = SqliteJournal(tmp_path, Limits(segment_entries=100))
    found = everything(journal)
    arrived: list[Entry] = []
    while (page := journal.follow(ALL, len(arrived))).entries:
        arrived += page.entries
    journal.close()
    assert found == added
    assert sorted(arrived, key=lambda each: each.id) == added
    assert not list((tmp_path / "journal").glob("**/*.tmp"))
