"""Processes that are killed, and databases that are away, frozen, or gone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.outbound.models import DeliveryState, Endpoint, Health
from gateway.outbound.store import DeliveryFilter, Store, StoreUnavailable
from gateway.outbound.store.postgresql import PostgresStore
from gateway.outbound.store.sqlite import FILE_NAME, SqliteStore
from support.outbound_records import a_delivery, a_message, an_endpoint
from support.postgresql_server import PostgreSQLServer
from support.repository import ROOT
from support.waiting import wait_until_async

KEYS = [bytes(range(32))]
SCRIPT = Path(__file__).with_name("accept_and_record.py")
LINES = 150
"""What a process has done when it is killed: some dozens of transactions."""


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Return the arguments of the script that name a database."""
    if request.param == "sqlite":
        return "sqlite", str(tmp_path)
    return "postgresql", request.getfixturevalue("postgres_url")


def open_store(kind: str, where: str) -> Store:
    """Return the store of a database."""
    return SqliteStore(Path(where), KEYS) if kind == "sqlite" else PostgresStore(where, KEYS)


async def test_nothing_is_lost_when_a_process_is_killed(place: tuple[str, str]) -> None:
    """What it was told is kept is there: each message, its delivery, and each attempt. Three processes, one after another."""
    store = open_store(*place)
    await store.start()
    await store.put_endpoint(an_endpoint())
    accepted: set[str] = set()
    recorded: set[str] = set()

    for _ in range(3):
        for line in await asyncio.to_thread(lambda: list(lines_until_killed(place))):
            word, delivery = line.split()
            (accepted if word == "accepted" else recorded).add(delivery)

    assert accepted
    assert recorded
    everything = await store.deliveries(DeliveryFilter(), limit=10_000)
    states = {each.id: each.state for each in everything}
    assert accepted <= states.keys()
    assert {states[each] for each in recorded} == {DeliveryState.DELIVERED}
    for each in everything:
        assert await store.message(each.message)
        count = len(await store.attempts(each.id))
        assert count >= (each.state is DeliveryState.DELIVERED)
        assert count <= 1 + (each.state is not DeliveryState.DELIVERED)
    pending = {each for each, state in states.items() if state is DeliveryState.PENDING}
    assert {each.id for each in await store.due("ep_shop", 1e12, 10_000)} == pending
    await store.stop()


def lines_until_killed(place: tuple[str, str]) -> Iterator[str]:
    """Run the script, kill it in the middle of its work, and return all complete lines that it printed."""
    search = os.pathsep.join((str(ROOT / "tests"), *filter(None, sys.path)))
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), *place],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": search},
    ) as process:
        assert process.stdout
        for number, line in enumerate(process.stdout):
            if number == LINES:
                process.kill()
            if line.endswith("\n"):
                yield line


async def test_a_database_that_was_killed_is_used_again(
    postgres_url: str, postgresql_server: PostgreSQLServer, now: float
) -> None:
    """Meanwhile everything says that it is away, and nothing that was accepted is lost."""
    store = PostgresStore(postgres_url, KEYS)
    await store.start()
    await store.put_endpoint(an_endpoint())
    message = a_message(at=now)
    await store.accept([(message, [a_delivery(message)])])

    await asyncio.to_thread(postgresql_server.kill)
    late = a_message(at=now)
    with pytest.raises(StoreUnavailable):
        await store.accept([(late, [a_delivery(late)])])
    with pytest.raises(StoreUnavailable):
        await store.endpoints()
    with pytest.raises(StoreUnavailable):
        await PostgresStore(postgres_url, KEYS).start()
    await asyncio.to_thread(postgresql_server.start)

    answer: list[bool] = await wait_until_async(
        lambda: store.accept([(message, []), (late, [a_delivery(late)])]), forgive=(StoreUnavailable,)
    )
    assert answer == [False, True]
    assert await store.count(DeliveryFilter(states=(DeliveryState.PENDING,))) == 2
    await store.stop()


async def test_a_frozen_database_keeps_nobody_waiting(
    postgres_url: str, postgresql_server: PostgreSQLServer, now: float
) -> None:
    """Each call ends in time, also when more wait than there are threads; afterwards all goes on."""
    store = PostgresStore(postgres_url, KEYS, answer_timeout=0.5)
    patient = PostgresStore(postgres_url, KEYS)
    await patient.start()
    await patient.put_endpoint(an_endpoint())
    messages = [a_message(at=now) for _ in range(20)]
    postgresql_server.suspend()
    try:
        answers = await asyncio.gather(
            *(store.accept([(each, [a_delivery(each)])]) for each in messages), return_exceptions=True
        )
    finally:
        postgresql_server.resume()

    assert {type(each) for each in answers} == {StoreUnavailable}
    for each in messages:
        await patient.accept([(each, [a_delivery(each)])])
    found: list[tuple[Endpoint, Health]] = await wait_until_async(
        store.endpoints, forgive=(StoreUnavailable,)
    )
    assert [endpoint.id for endpoint, _ in found] == ["ep_shop"]
    assert await patient.count(DeliveryFilter(endpoint="ep_shop")) == 20
    await store.stop()
    await patient.stop()


async def test_a_file_that_was_removed_is_not_written(tmp_path: Path, now: float) -> None:
    """What nobody could read again would be lost."""
    store = SqliteStore(tmp_path, KEYS)
    await store.start()
    (tmp_path / FILE_NAME).unlink()

    message = a_message(at=now)
    with pytest.raises(StoreUnavailable, match="was removed or replaced"):
        await store.accept([(message, [a_delivery(message)])])
    await store.stop()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    """In the error of the start."""
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)

    with pytest.raises(StoreUnavailable, match=FILE_NAME):
        await SqliteStore(tmp_path, KEYS).start()


async def test_one_refusal_does_not_undo_what_is_written_beside_it(tmp_path: Path, now: float) -> None:
    """Writes share a commit."""
    store = SqliteStore(tmp_path, KEYS)
    await store.start()
    await store.put_endpoint(an_endpoint())
    messages = [a_message(at=now) for _ in range(10)]

    answers = await asyncio.gather(
        *(store.accept([(each, [a_delivery(each)])]) for each in messages),
        *(store.put_endpoint(an_endpoint(), 77) for _ in range(5)),
        return_exceptions=True,
    )

    assert answers[:10] == [[True]] * 10
    assert await store.count(DeliveryFilter()) == 10
    await store.stop()
