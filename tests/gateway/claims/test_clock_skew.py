"""The watch over our clock: what it says, when it says it, and that it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs
from typing_extensions import override

from gateway.claims import ClaimsUnavailable, StoreReport
from gateway.claims.clock_skew import ClockWatch
from gateway.claims.memory import MemoryClaims
from support.virtual_time import VirtualTimeLoop

Answer = StoreReport | Exception


class ScriptedStore(MemoryClaims):
    """A store that gives one answer after another, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked_at: list[float] = []

    @override
    async def inspect(self, clock: Callable[[], float]) -> StoreReport:
        self.asked_at.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def watch(store: ScriptedStore, seconds: float) -> ClockWatch:
    """The watch after some time."""
    clock_watch = ClockWatch(store)

    async def run() -> None:
        await clock_watch.start()
        await asyncio.sleep(seconds)
        await clock_watch.stop()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run())
    return clock_watch


@pytest.mark.parametrize(
    ("offset", "warnings", "is_trouble"),
    [
        (None, 0, False),
        (0.2, 0, False),
        (-5.0, 0, False),
        (5.1, 1, False),
        (-60.0, 1, False),
        (60.1, 1, True),
        (-61.0, 1, True),
    ],
)
def test_a_wrong_clock_is_told_of(offset: float | None, warnings: int, *, is_trouble: bool) -> None:
    """From five seconds on once in the log, from a minute on in readiness; either way round."""
    with capture_logs() as logs:
        clock_watch = watch(ScriptedStore(StoreReport(offset)), 300)

    assert clock_watch.offset == offset
    assert len(logs) == warnings
    assert bool(clock_watch.unavailable_reason) == is_trouble


def test_the_trouble_says_which_way() -> None:
    """In words that an operator can act on."""
    assert (
        watch(ScriptedStore(StoreReport(90.0)), 1).unavailable_reason
        == "the clock is 90 s ahead of the deduplication store's"
    )
    assert "behind" in watch(ScriptedStore(StoreReport(-90.0)), 1).unavailable_reason


def test_a_mended_clock_is_no_trouble_and_the_next_fault_is_told_again() -> None:
    """Each change is news."""
    reports = [StoreReport(offset) for offset in (90.0, 90.0, 0.0, 7.0)]
    with capture_logs() as logs:
        clock_watch = watch(ScriptedStore(*reports), 300)

    assert clock_watch.unavailable_reason == ""
    assert len(logs) == 2


def test_the_store_is_asked_every_minute_and_sooner_while_it_is_away() -> None:
    """What was known stays known meanwhile."""
    store = ScriptedStore(
        ClaimsUnavailable("away"), StoreReport(90.0), ClaimsUnavailable("away"), StoreReport(0.0)
    )
    clock_watch = watch(store, 61.5)

    assert store.asked_at == [0.0, 1.0, 61.0]
    assert clock_watch.offset == 90.0


def test_each_warning_of_the_store_is_logged_once() -> None:
    """Not every minute."""
    report = StoreReport(0.0, ("it evicts", "it is old"))
    with capture_logs() as logs:
        watch(ScriptedStore(report), 300)

    assert [line["cause"] for line in logs] == ["it evicts", "it is old"]


def test_a_bug_in_the_store_does_not_end_the_watch() -> None:
    """It is logged, and the store asked again."""
    with capture_logs() as logs:
        clock_watch = watch(ScriptedStore(RuntimeError("no time"), StoreReport(90.0)), 100)

    assert [line["log_level"] for line in logs] == ["error", "warning"]
    assert clock_watch.unavailable_reason
