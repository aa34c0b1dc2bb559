"""Tasks beside the pages: started again when they fail, whatever the failure."""

from __future__ import annotations

import asyncio

import structlog

from gateway.console.tasks import Tasks, repeat
from support.waiting import wait_until_async


async def test_a_task_that_fails_runs_again_and_says_so() -> None:
    """What fails is logged with the name of the task."""
    runs: list[int] = []

    async def work() -> None:
        runs.append(len(runs))
        if len(runs) == 1:
            raise OSError("the disk is full")

    tasks = Tasks()
    with structlog.testing.capture_logs() as lines:
        tasks.start("indexing", work)
        await wait_until_async(lambda: len(runs) == 2, message="it ran again")
        await tasks.stop()

    assert lines == [
        {
            "log_level": "warning",
            "event": "console task failed",
            "task": "indexing",
            "cause": "the disk is full",
            "seconds": 1.0,
        }
    ]


async def test_a_bug_leaves_its_traceback_in_the_log() -> None:
    """And the other tasks go on."""
    others: list[int] = []

    async def fail() -> None:
        raise ZeroDivisionError

    tasks = Tasks()
    with structlog.testing.capture_logs() as lines:
        tasks.start("broken", fail)
        tasks.start("sound", lambda: repeat(lambda: others.append(1), 0.01))
        await wait_until_async(lambda: len(others) > 3 and lines, message="both ran")
        await tasks.stop()

    (line,) = lines
    assert (line["log_level"], line["task"], line["exc_info"]) == ("error", "broken", True)


async def test_the_end_does_not_wait_for_tasks() -> None:
    """They are cancelled, also in a pause."""
    started = asyncio.Event()

    async def work() -> None:
        started.set()
        await asyncio.Event().wait()

    tasks = Tasks()
    tasks.start("endless", work)
    await started.wait()
    async with asyncio.timeout(10):
        await tasks.stop()
