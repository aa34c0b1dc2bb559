"""Each entry once: on the pages of a list, and in a tail that breaks off anywhere, while entries arrive."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.console.api import tails
from gateway.console.api.tail_messages import Place
from gateway.console.api.tails import Tails
from gateway.console.security.signer import Signer
from gateway.journal.entry import Entry, Kind, first_id_at
from gateway.journal.memory import MemoryJournal
from gateway.journal.query_language import parse_query
from support.console import Console

PATIENCE = 30.0
"""Seconds within which a tail has to have told everything."""

STEPS = st.lists(st.one_of(st.integers(1, 7), st.integers(-9, -1)), min_size=1, max_size=20)
"""What happens: so many entries arrive, or a page of so many is read."""


def entry(number: int, provider: str = "stripe") -> Entry:
    """Return an entry; the larger the number, the later."""
    return Entry(
        first_id_at(1_799_000_000.0 + number), Kind.RECEIVED, "accepted", "", provider, "x", str(number)
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_pages_give_each_entry_once(steps: list[int]) -> None:
    """Those that were there at the first page, in their order; later ones are on top of another list."""
    with TemporaryDirectory() as folder:
        console = Console(Path(folder))
        with console.program("viewer") as client:
            count, told, cursor = 0, [], ""
            expected: list[str] | None = None
            for step in [*steps, *[-9] * 30]:
                if step > 0:
                    console.journal.append([entry(count + number) for number in range(step)])
                    count += step
                    continue
                if expected is None:
                    expected = [str(number) for number in range(count - 1, -1, -1)]
                page = client.get("/api/v1/entries", params={"limit": -step, "cursor": cursor}).json()
                told += [each["event_id"] for each in page["entries"]]
                if page["next"] is None:
                    break
                cursor = page["next"]
        console.access.close()
    assert told == expected


@pytest.mark.parametrize("seed", range(12))
async def test_a_tail_tells_each_entry_once(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it breaks off, also within a burst; what is not shown is counted."""
    monkeypatch.setattr(tails, "INTERVAL", 0.002)
    monkeypatch.setattr(tails, "MAX_MESSAGES", 1000 if seed % 3 else 50)
    chance, journal = random.Random(seed), MemoryJournal()
    text = chance.choice(["", "provider:stripe"])
    follower = Tails(journal, signer := Signer(b"k" * 32))
    total = chance.randrange(300, 900)
    told: list[str] = []
    missing, cursor = 0, ""

    async def arrive() -> None:
        left = list(range(total))
        while left:
            burst, left = left[: (size := chance.choice([1, 7, 60, 130]))], left[size:]
            ids = [each for number in burst for each in (entry(number), entry(-1 - number, "github"))]
            chance.shuffle(ids)  # reports come late
            journal.append(ids)
            await asyncio.sleep(chance.choice([0, 0.001, 0.01]))

    arriving = asyncio.create_task(arrive())
    wanted = total if text else 2 * total
    async with asyncio.timeout(PATIENCE):
        first = await follower.join(text, parse_query(text, 0), Place(0).cursor(signer, text))
        while len(told) + missing < wanted:
            tail = first or await follower.join(text, parse_query(text, 0), cursor)
            first = None
            assert tail is not None
            batches = tail.batches()
            for _ in range(chance.randrange(1, 12)):
                if len(told) + missing >= wanted:
                    break
                batch = await anext(batches)
                assert batch is not None
                told += [each.event_id for each in batch.entries]
                missing += batch.more
                cursor = batch.place.cursor(signer, text)
            await batches.aclose()
            await follower.leave(tail)
    await arriving
    assert len(told) == len(set(told))
    assert len(told) + missing == wanted
