"""Answers that are asked for once in a few seconds."""

from __future__ import annotations

import asyncio

import pytest

from gateway.console.pages.remembered import FRESH, Remembered


class Source:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.now = 1000.0

    async def ask(self) -> int:
        """Return how often it was asked."""
        self.asked += 1
        await asyncio.sleep(0)
        return self.asked


async def test_many_who_ask_at_once_share_an_answer() -> None:
    """The disk is read once."""
    source = Source()
    remembered = Remembered(lambda: source.now)

    answers = await asyncio.gather(*(remembered.get("day", source.ask) for _ in range(20)))

    assert set(answers) == {1}


async def test_an_answer_gets_old() -> None:
    """Then it is asked for again."""
    source = Source()
    remembered = Remembered(lambda: source.now)

    first = await remembered.get("day", source.ask)
    source.now += FRESH + 1

    assert (first, await remembered.get("day", source.ask)) == (1, 2)


async def test_a_failure_is_not_remembered() -> None:
    """The next one who asks may have more luck."""
    source = Source()
    remembered = Remembered(lambda: source.now)

    async def fail() -> int:
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        await remembered.get("day", fail)

    assert await remembered.get("day", source.ask) == 1


async def test_few_answers_are_kept() -> None:
    """However many different things are asked."""
    source = Source()
    remembered = Remembered(lambda: source.now)

    for number in range(500):
        await remembered.get(number, source.ask)

    assert await remembered.get(0, source.ask) == 501
