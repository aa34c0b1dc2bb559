"""The writer of a process and the indexer together: every entry once, while files are renamed and deleted between them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.journal import indexer as indexer_module
from gateway.journal.indexer import Indexer
from gateway.journal.query import Query
from gateway.journal.segments.writing import Limits
from gateway.journal.sqlite import SqliteJournal
from gateway.journal.writer import JournalWriter
from support.journals import entries
from support.waiting import wait_until


async def test_every_entry_is_indexed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the process is made to begin a new file again and again."""
    monkeypatch.setattr(indexer_module, "RETIRED_SIZE", 1)
    monkeypatch.setattr(indexer_module, "INTERVAL", 0.001)
    monkeypatch.setattr(indexer_module, "PRUNE_INTERVAL", 0.0)
    folder = tmp_path / "journal"
    journal = SqliteJournal(tmp_path, Limits(segment_entries=50))
    indexer = Indexer(journal, folder / "raw")
    writers = [JournalWriter(folder, slot) for slot in range(2)]
    added = entries(2_000)
    files = set()

    def all_files_are_done() -> bool:
        journal.close_full(time.time() + 100_000)
        return not list((folder / "raw").glob("*.jsonl"))

    indexer.start()
    for writer in writers:
        writer.start()
    for number, entry in enumerate(added):
        writers[number % 2].write(entry)
        if number % 20 == 0:
            for writer in writers:
                writer.flush()
            await asyncio.sleep(0.001)
        if number % 500 == 499:  # all so far is read and sealed, so that the next entry needs a new file
            files |= {path.stem for path in (folder / "raw").iterdir()}
            await asyncio.to_thread(wait_until, all_files_are_done)
    for writer in writers:
        writer.stop()
    await asyncio.to_thread(wait_until, lambda: journal.state().entries >= len(added))
    await asyncio.to_thread(wait_until, all_files_are_done)
    await asyncio.to_thread(wait_until, lambda: not any((folder / "raw").iterdir()))
    await asyncio.to_thread(indexer.stop)

    assert [sum(writer.dropped.values()) for writer in writers] == [0, 0]
    assert journal.find(Query(), limit=5_000, budget=60).entries == added[::-1]
    assert len(files) > 4
    journal.close()
