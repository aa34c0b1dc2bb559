"""The version of the tables: who makes them, who migrates them, and who is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from gateway.errors import OperatorError
from gateway.outbound.store import Store
from gateway.outbound.store.answers import Tables
from gateway.outbound.store.sql import migrations
from gateway.outbound.store.sqlite import FILE_NAME
from support.outbound_records import a_delivery, a_message, an_endpoint

from .conftest import KEY, OpenStore, maker_of

WANTED = len(migrations.MIGRATIONS)

UNDO = {
    2: (
        "DROP INDEX outbound_messages_by_tenant",
        "ALTER TABLE outbound_deliveries DROP COLUMN retries",
        "ALTER TABLE outbound_deliveries DROP COLUMN webhook_id",
    ),
    3: (
        "DROP INDEX outbound_deliveries_by_key",
        "DROP INDEX outbound_deliveries_by_outcome",
        "DROP INDEX outbound_deliveries_by_status",
    ),
}
"""What makes the tables of a version into those of the version before."""

Make = Callable[[], Store]


@pytest.fixture(params=["sqlite", "postgresql"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Make a store of a database that nobody has opened."""
    store_with = maker_of(request.param, request, tmp_path)
    return lambda: store_with((KEY,))


@pytest.fixture
def newer_program(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what turns this program into one that has another migration."""

    def become_newer() -> None:
        added = (*migrations.MIGRATIONS, "CREATE TABLE outbound_added (id {int} PRIMARY KEY);\n")
        monkeypatch.setattr(migrations, "MIGRATIONS", added)

    return become_newer


async def test_to_ask_changes_nothing(make: Make, tmp_path: Path) -> None:
    """There are no tables until a process starts, nor a file."""
    store = make()

    assert await store.tables() == Tables(0, WANTED)
    assert await store.tables() == Tables(0, WANTED)
    assert not (tmp_path / FILE_NAME).exists()
    await store.start()
    assert await store.tables() == Tables(WANTED, WANTED)
    await store.stop()


async def test_tables_that_others_share_are_migrated_by_a_person(
    make: Make, newer_program: Callable[[], None], request: pytest.FixtureRequest
) -> None:
    """Gateways of the former version may still run. A file is one gateway's own, and migrated when that starts."""
    old = make()
    await old.start()
    await old.stop()
    newer_program()

    store = make()
    assert await store.tables() == Tables(WANTED, WANTED + 1)
    if "postgresql" in request.node.name:
        with pytest.raises(OperatorError, match="run `gateway outbound migrate`") as raised:
            await store.start()
        assert "\n" not in str(raised.value)
        assert await store.migrate() == Tables(WANTED, WANTED + 1)
    await store.start()
    assert await store.tables() == Tables(WANTED + 1, WANTED + 1)
    await store.stop()


@pytest.mark.parametrize("version", range(1, WANTED))
async def test_what_a_former_version_has_kept_is_kept(
    make: Make, version: int, now: float, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Events, deliveries and what is due are as they were, and the tables are those of a new database."""
    is_shared = "postgresql" in request.node.name
    url = request.getfixturevalue("postgres_url") if is_shared else ""
    message = a_message(at=now)
    delivery = a_delivery(message)
    store = make()
    await store.start()
    await store.put_endpoint(an_endpoint())
    await store.accept([(message, [delivery])])
    await store.stop()
    as_new = _columns_and_indexes(url, tmp_path)
    undo = [statement for number in range(WANTED, version, -1) for statement in UNDO[number]]
    _run(url, tmp_path, [*undo, f"DELETE FROM outbound_schema WHERE version > {version}"])
    assert _columns_and_indexes(url, tmp_path) != as_new

    store = make()
    assert await store.migrate() == Tables(version, WANTED)
    await store.start()

    assert _columns_and_indexes(url, tmp_path) == as_new
    assert await store.message(message.id) == message
    assert await store.delivery(delivery.id) == delivery
    assert [each.id for each in await store.due(delivery.endpoint, now, 10)] == [delivery.id]
    await store.stop()


def _run(url: str, folder: Path, statements: Iterable[str]) -> None:
    if url:
        with psycopg.connect(url) as connection:
            for each in statements:
                connection.execute(each.encode())
        return
    with closing(sqlite3.connect(folder / FILE_NAME)) as file, file:
        for each in statements:
            file.execute(each)


def _columns_and_indexes(url: str, folder: Path) -> set[tuple[str, ...]]:
    if url:
        with psycopg.connect(url) as connection:
            columns = connection.execute(
                "SELECT table_name, column_name FROM information_schema.columns WHERE table_name LIKE 'outbound%'"
            ).fetchall()
            indexes = connection.execute(
                "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'outbound%'"
            ).fetchall()
        return {*columns, *indexes}
    with closing(sqlite3.connect(folder / FILE_NAME)) as file:
        indexes = file.execute("SELECT name FROM sqlite_master WHERE name LIKE 'outbound%'").fetchall()
        columns = [
            (table, name)
            for (table,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (name,) in file.execute("SELECT name FROM pragma_table_info(?)", (table,))
        ]
    return {*columns, *indexes}


async def test_a_second_migration_does_nothing(make: Make) -> None:
    """Also one of an empty database, which is what a start does."""
    store = make()

    assert await store.migrate() == Tables(0, WANTED)
    await store.stop()
    again = make()
    assert await again.migrate() == Tables(WANTED, WANTED)
    await again.stop()


async def test_who_owns_shards_can_be_seen(open_store: OpenStore) -> None:
    """With the end of their leases; those that have given up all are not listed."""
    store = await open_store()
    await store.lease("a", 15.0, want=200)
    await store.lease("b", 30.0, want=56)
    now = await store.now()

    shares = await store.shares()
    assert [(share.owner, share.shards) for share in shares] == [("a", 200), ("b", 56)]
    assert now < shares[0].until < shares[1].until <= now + 30
    await store.release("a")
    assert [share.owner for share in await store.shares()] == ["b"]
