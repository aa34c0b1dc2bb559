"""A damaged spool: readable rows are recovered, the file is kept, and crashes do no harm."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from gateway.publishers import PublishUnavailable
from gateway.publishers.memory import MemoryPublisher
from gateway.publishers.spool import recovery
from gateway.publishers.spool.files import spool_path
from gateway.publishers.spool.publisher import SpoolingPublisher
from gateway.publishers.spool.records import SCHEMA, encode
from gateway.publishers.spool.store import Spool
from gateway.transport.sqlite import PAGE_SIZE, open_file
from support.spooling import LARGE, make_message
from support.waiting import wait_until_async

ROWS = 400
SIZE = 2000

Damage = Callable[[Path], None]


def filled(folder: Path) -> Path:
    """A spool with many rows, four on a page, and one that was set aside."""
    path = spool_path(folder, 0)
    with closing(open_file(path, SCHEMA)) as connection:
        connection.executemany(
            "INSERT INTO spool (head, body, digest) VALUES (?, ?, ?)",
            [encode(make_message(number, SIZE), 1.0) for number in range(ROWS)],
        )
        connection.execute("INSERT INTO corrupt VALUES (900, x'00', x'00', x'00', 'once', 1.0)")
    return path


def overwrite(page: int) -> Damage:
    """One page full of nonsense."""

    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(page * PAGE_SIZE)
            file.write(os.urandom(PAGE_SIZE))

    return damage


def cut_off(path: Path) -> None:
    """The second half is gone."""
    os.truncate(path, path.stat().st_size // 2 // PAGE_SIZE * PAGE_SIZE)


async def published(path: Path) -> set[str]:
    """The ids of what a gateway publishes from the spool, once nothing is left in it."""
    broker = MemoryPublisher()
    publisher = SpoolingPublisher(broker, path.parent, LARGE)
    await publisher.start()
    await wait_until_async(lambda: publisher.spooled == 0, message="the spool is drained")
    await publisher.stop()
    ids = [message.message_id for message in broker.messages]
    assert len(ids) == len(set(ids))
    return set(ids)


@pytest.mark.parametrize(
    ("damage", "least"),
    [
        pytest.param(overwrite(0), ROWS, id="head"),
        pytest.param(overwrite(50), ROWS - 4, id="a page of rows"),
        pytest.param(cut_off, ROWS // 2 - 10, id="cut off"),
        pytest.param(lambda path: path.write_bytes(b"not a database" * 999), 0, id="something else"),
    ],
)
async def test_what_can_be_read_of_a_damaged_spool_is_published(
    tmp_path: Path, damage: Damage, least: int
) -> None:
    """All that is not in the damage itself; and the damaged file is kept as it was."""
    path = filled(tmp_path)
    damage(path)
    before = path.read_bytes()

    assert len(await published(path)) >= least
    assert (tmp_path / "spool-0.damaged-1.db").read_bytes() == before


async def test_a_torn_log_costs_what_is_torn_off_and_nothing_else(tmp_path: Path) -> None:
    """Commits before the tear are there; SQLite recognises the tear by the checksums."""
    original = tmp_path / "original"
    original.mkdir()
    path = spool_path(original, 0)
    with closing(open_file(path, SCHEMA)) as connection:
        for number in range(40):
            row = encode(make_message(number, SIZE), 1.0)
            connection.execute("INSERT INTO spool (head, body, digest) VALUES (?, ?, ?)", row)
        for name in (path.name, path.name + "-wal"):  # as they are while the process lives
            shutil.copy(original / name, tmp_path / name)
    log = tmp_path / (path.name + "-wal")
    os.truncate(log, log.stat().st_size // 2)

    ids = await published(tmp_path / path.name)
    assert 10 < len(ids) < 40
    assert ids == {f"evt_{number}" for number in range(len(ids))}


async def test_damage_found_while_it_runs_ends_the_spooling_until_the_next_start(tmp_path: Path) -> None:
    """Refused, not ready, with a reason; then recovered, although the check at the start finds nothing."""
    path = filled(tmp_path)
    spool = Spool(path, LARGE)
    await spool.start()
    page = (path.stat().st_size // PAGE_SIZE) - 1
    overwrite(page)(path)
    await spool.file.run(lambda connection: connection.execute("PRAGMA cache_size = 0"))
    with suppress(PublishUnavailable):
        for after in range(ROWS):
            await spool.read(after, 1)

    assert "damaged" in spool.unavailable_reason
    with pytest.raises(PublishUnavailable, match="damaged"):
        await spool.append(make_message(1))
    await spool.stop()
    assert len(await published(path)) >= ROWS - 4
    assert not path.with_suffix(".damaged").exists()
    assert (tmp_path / "spool-0.damaged-1.db").exists()


class CrashError(Exception):
    """The process ends here."""


@pytest.mark.parametrize("survived", range(8))
async def test_a_crash_at_any_step_of_the_recovery_loses_nothing(
    tmp_path: Path, survived: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start begins again or goes on, and never finds the log of the one file beside the other."""
    path = filled(tmp_path)
    overwrite(50)(path)
    (tmp_path / "spool-0.db-wal").write_bytes(b"x" * 100)
    steps = 0

    def counted(step: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object) -> object:
            nonlocal steps
            if steps == survived:
                raise CrashError
            steps += 1
            return step(*arguments)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", counted(Path.rename))
        patch.setattr(recovery, "sync_folder", counted(recovery.sync_folder))
        patch.setattr(recovery, "copy_rows", counted(recovery.copy_rows))
        with suppress(CrashError):
            recovery.repair(path)

    recovery.repair(path)
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM spool").fetchone()
        assert connection.execute("SELECT id, reason FROM corrupt").fetchall() == [(900, "once")]
    assert count >= ROWS - 4
    assert list(tmp_path.glob("spool-0.damaged-*.db"))
    assert not list(tmp_path.glob("*.recover*"))
