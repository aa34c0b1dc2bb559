"""Stores of every kind, behind the port."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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
    async with opening(maker_of(request.param, request, tmp_path)) as open_one:
        yield open_one


@pytest.fixture(params=["sqlite", "postgresql"])
async def open_database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Return what opens the store of a test that is about databases."""
    async with opening(maker_of(request.param, request, tmp_path)) as open_one:
        yield open_one


def maker_of(kind: str, request: pytest.FixtureRequest, folder: Path) -> Callable[[tuple[bytes, ...]], Store]:
    """Return what makes a store of a kind."""
    if kind == "memory":
        only = MemoryStore()
        return lambda _: only
    if kind == "sqlite":
        return lambda keys: SqliteStore(folder, keys)
    url = request.getfixturevalue("postgres_url")
    from gateway.outbound.store.postgresql import PostgresStore

    return lambda keys: PostgresStore(url, keys)


@asynccontextmanager
async def opening(make: Callable[[tuple[bytes, ...]], Store]) -> AsyncIterator[OpenStore]:
    """Open stores, and close them at the end."""
    opened: list[Store] = []

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
