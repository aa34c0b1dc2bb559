"""The version of the tables: who makes them, who migrates them, and who is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import OperatorError
from gateway.outbound.store import Store
from gateway.outbound.store.answers import Tables
from gateway.outbound.store.sql import migrations
from gateway.outbound.store.sqlite import FILE_NAME

from .conftest import KEY, OpenStore, maker_of

WANTED = len(migrations.MIGRATIONS)

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
