"""The live tail, over a real server: nothing twice, nothing lost, nobody waits for a slow reader."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from gateway.console.api import tails
from gateway.console.api.tails import MAX_ROWS, MAX_TAILS
from gateway.journal.entry import Entry, Kind, first_id_at
from gateway.journal.query_language import parse_query
from support.console import Console

PATIENCE = 30.0
"""Seconds within which what a test waits for has to happen."""


def entries(start: int, count: int, provider: str = "stripe") -> list[Entry]:
    """Return entries with consecutive numbers."""
    return [
        Entry(
            first_id_at(1_799_999_000.0) + number,
            Kind.RECEIVED,
            "accepted",
            "",
            provider,
            "x",
            f"evt_{number}",
        )
        for number in range(start, start + count)
    ]


class Reader:
    """Reads the messages of a tail."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()
        self.last_id = ""
        self.ids: list[str] = []
        self.more = 0
        self.events: list[str] = []

    async def message(self) -> dict[str, Any]:
        """Return the data of the next message."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    break
                else:
                    fields = {}
        self.last_id = fields.get("id", self.last_id)
        self.events.append(fields["event"])
        found: dict[str, Any] = json.loads(fields["data"])
        self.ids += [entry["event_id"] for entry in found.get("entries", [])]
        self.more += found.get("more", 0)
        assert len(found.get("entries", [])) <= MAX_ROWS
        return found

    async def until(self, count: int) -> None:
        """Read until so many entries have come, shown or counted."""
        while len(self.ids) + self.more < count:
            await self.message()


@asynccontextmanager
async def served(console: Console) -> AsyncIterator[httpx.AsyncClient]:
    """Serve a console on a port; yield a client with a token."""
    server = uvicorn.Server(
        uvicorn.Config(
            console.app,
            port=0,
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
    )
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {"authorization": f"Bearer {console.token('viewer')}"}
    limits = httpx.Limits(max_connections=MAX_TAILS + 20)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}/api/v1", headers=headers, timeout=PATIENCE, limits=limits
    ) as client:
        yield client
    server.should_exit = True
    await task


@asynccontextmanager
async def tail(client: httpx.AsyncClient, query: str = "", cursor: str = "") -> AsyncIterator[Reader]:
    """Open a tail, and wait until it has begun."""
    headers = {"last-event-id": cursor} if cursor else {}
    async with client.stream("GET", "/tail", params={"q": query}, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        reader = Reader(response)
        await reader.message()
        assert reader.events == ["start"]
        yield reader


async def test_entries_come_as_they_arrive(console: Console) -> None:
    """Those that match, as the list shows them."""
    console.journal.append(entries(0, 5))
    async with served(console) as client, tail(client) as everything, tail(client, "provider:github") as some:
        console.journal.append(entries(5, 3) + entries(8, 2, "github"))
        await everything.until(5)
        await some.until(2)
        assert everything.ids == [f"evt_{number}" for number in range(5, 10)]
        assert some.ids == ["evt_8", "evt_9"]


async def test_a_tail_goes_on_where_it_broke_off(console: Console) -> None:
    """Each entry comes once, whether it arrived before, during or after the break, and however late its id is."""
    async with served(console) as client:
        async with tail(client) as first:
            console.journal.append(entries(100, 60))
            await first.until(60)
        console.journal.append(entries(0, 70))  # their ids are smaller: reports come late
        async with tail(client, cursor=first.last_id) as second:
            for number in range(200, 260, 10):
                console.journal.append(entries(number, 10))
                await asyncio.sleep(0.02)
            await second.until(130)
    assert second.more == 0
    assert sorted(second.ids) == sorted(f"evt_{number}" for number in [*range(70), *range(200, 260)])


async def test_a_tail_can_go_on_before_its_first_message(console: Console) -> None:
    """The message at the start has a cursor, too."""
    async with served(console) as client:
        async with tail(client) as first:
            pass
        console.journal.append(entries(0, 3))
        async with tail(client, cursor=first.last_id) as second:
            await second.until(3)
    assert second.ids == ["evt_0", "evt_1", "evt_2"]


async def test_a_flood_is_counted(console: Console) -> None:
    """A message has fifty entries, ten a second are sent, and how many more there were is said."""
    async with served(console) as client, tail(client) as reader:
        console.journal.append(entries(0, 3000))
        await reader.until(3000)
    assert len(reader.ids) + reader.more == 3000
    assert reader.ids[-500:] == [f"evt_{number}" for number in range(2500, 3000)]
    assert reader.more == 2500


async def test_a_break_within_a_burst_loses_nothing(console: Console) -> None:
    """Each of its messages has a cursor of its own."""
    for query in ("", "provider:stripe"):
        async with served(console) as client:
            begin = console.journal.position()
            async with tail(client, query) as first:
                console.journal.append(entries(begin + 1000, 120) + entries(begin + 5000, 80, "github"))
                await first.message()
                got = first.ids, first.last_id
            async with tail(client, query, cursor=got[1]) as second:
                wanted = 120 if query else 200
                await second.until(wanted - len(got[0]))
                console.journal.append(entries(begin + 9000, 1))
                await second.until(wanted - len(got[0]) + 1)
        assert len(got[0]) == 50
        ids = [*got[0], *second.ids]
        assert len(ids) == len(set(ids)) == wanted + 1
        assert second.more == 0


async def test_a_cursor_is_for_its_query(console: Console) -> None:
    """Another query would count other entries."""
    async with served(console) as client:
        async with tail(client, "provider:stripe") as first:
            pass
        response = await client.get("/tail", headers={"last-event-id": first.last_id})
        assert (response.status_code, response.json()["reason"]) == (400, "invalid_cursor")


async def test_a_cursor_that_is_too_old_leaves_a_gap(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list has what is missing."""
    monkeypatch.setattr(tails, "_MAX_CATCH_UP", 100)
    async with served(console) as client:
        async with tail(client) as first:
            pass
        console.journal.append(entries(0, 300))
        async with tail(client, cursor=first.last_id) as second:
            message: dict[str, Any] = {}
            while not message.get("is_gap"):
                message = await second.message()
            console.journal.append(entries(1000, 1))
            while second.ids[-1] != "evt_1000":
                await second.message()
    assert second.ids[:100] == [f"evt_{number}" for number in range(100)]
    assert len(second.ids) == 101


async def test_nothing_for_a_while_is_a_comment(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that proxies keep the connection."""
    monkeypatch.setattr(tails, "HEARTBEAT_INTERVAL", 0.05)
    async with served(console) as client, client.stream("GET", "/tail") as response:
        async with asyncio.timeout(PATIENCE):
            async for line in response.aiter_lines():
                if line == ": waiting":
                    break


async def test_a_revoked_token_ends_its_tails(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within half a minute."""
    monkeypatch.setattr(tails, "HEARTBEAT_INTERVAL", 0.05)
    monkeypatch.setattr("gateway.console.api.tail.MAX_TAIL_AGE", 0.1)
    async with served(console) as client, client.stream("GET", "/tail") as response:
        console.access.tokens.revoke("viewer 0")
        async with asyncio.timeout(PATIENCE):
            async for _ in response.aiter_lines():
                pass


async def test_there_are_only_so_many_tails(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """A further one is told to come later; one that ends makes room."""
    monkeypatch.setattr(tails, "MAX_TAILS", 2)
    async with served(console) as client, tail(client):
        async with tail(client):
            response = await client.get("/tail")
            assert (response.status_code, response.json()["reason"]) == (503, "overloaded")
            assert response.headers["retry-after"] == "10"
        async with asyncio.timeout(PATIENCE):
            while (await client.head("/tail")).status_code != 200:
                await asyncio.sleep(0.01)
        async with tail(client):
            pass


async def test_a_slow_reader_is_ended_and_holds_up_nobody(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it is bounded; it can go on at its cursor."""
    monkeypatch.setattr(tails, "_MAX_WAITING", 3)
    found = await console.services.tails.join("", parse_query("", 0))
    assert found is not None
    async with served(console) as client, tail(client) as reader:
        count = 0
        while not found.is_slow:
            console.journal.append(entries(count, 1))
            count += 1
            await reader.until(count)
        left = [batch async for batch in found.batches()]
    assert left == []
    await console.services.tails.leave(found)


async def test_a_journal_that_fails_for_a_while_is_followed_again(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From where it was."""
    monkeypatch.setattr(tails, "_RETRY_DELAY", 0.01)
    follow, failures = console.journal.follow, 3

    def fail(*arguments: Any, **named: Any) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("disk I/O error")
        return follow(*arguments, **named)

    async with served(console) as client, tail(client) as reader:
        monkeypatch.setattr(console.journal, "follow", fail)
        console.journal.append(entries(0, 3))
        async with asyncio.timeout(PATIENCE):
            while failures:
                await asyncio.sleep(0.01)
        console.journal.append(entries(3, 3))
        await reader.until(6)
    assert reader.ids == [f"evt_{number}" for number in range(6)]
