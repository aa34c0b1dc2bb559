"""Stores of every kind, behind the port."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gateway.outbound.store import Store
from gateway.outbound.store.memory import MemoryStore
from gateway.outbound.store.sqlite import SqliteStore

KEY = bytes(range(32))
"""What the stores of a test encrypt with."""

OpenStore = Callable[..., Awaitable[Store]]
"""Opens the store of the test, as another process would open it."""


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Return what opens the store of a test; in memory it is the same one each time."""
    only = MemoryStore()
    opened: list[Store] = []

    def make(keys: tuple[bytes, ...]) -> Store:
        if request.param == "memory":
            return only
        if request.param == "sqlite":
            return SqliteStore(tmp_path, keys)
        from gateway.outbound.store.postgresql import PostgresStore

        return PostgresStore(request.getfixturevalue("postgres_url"), keys)

    if request.param == "postgresql":
        request.getfixturevalue("postgres_url")

    async def open_one(keys: tuple[bytes, ...] = (KEY,)) -> Store:
        store = make(keys)
        await store.start()
        opened.append(store)
        return store

    yield open_one
    for each in opened:
        await each.stop()


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    """Open a store."""
    return await open_store()


@pytest.fixture
def now() -> float:
    """Return the present, rounded so that no database changes it."""
    return float(int(time.time()))
