"""Jobs in the background: watched, cancelled, one at a time a queue, and ended in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.errors import OperatorError
from gateway.operations.dead_letters import redrive
from gateway.operations.jobs import MAX_RUNNING, Job, Jobs, JobState, TooManyJobs
from gateway.operations.letters import OnProgress
from gateway.operations.readings import QueueBusy
from support.letter_queues import DEAD, EVERYTHING, FAILED, QUEUE, Broker, event, ids
from support.waiting import wait_until_async


class Step:
    """Work that goes on when the test says so."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.finished: list[str] = []

    async def __call__(self, on_progress: OnProgress) -> str:
        """Do half, wait, do the rest."""
        on_progress(1, 2)
        await self.go.wait()
        on_progress(2, 2)
        return "all"


def raising(error: BaseException) -> Callable[[OnProgress], Awaitable[None]]:
    """Work that fails."""

    async def work(_: OnProgress) -> None:
        raise error

    return work


async def ended(jobs: Jobs, job: Job) -> Job:
    """Wait for the end of a job."""
    found = await jobs.wait(job.id)
    assert found is not None
    return found


async def test_a_job_can_be_watched_to_its_end() -> None:
    """It is there at once, says how far it is, and keeps its result."""
    jobs, step = Jobs(iter([10.0, 12.5]).__next__), Step()
    job = jobs.start("redrive", step, queue="agent", actor="ada", details={"group": "x"})
    assert (job.state, job.kind, job.queue, job.actor, job.details) == (
        *(JobState.RUNNING, "redrive", "agent", "ada"),
        {"group": "x"},
    )
    half = await wait_until_async(lambda: [each for each in jobs.all() if each.done])
    assert [(each.done, each.total, each.has_ended) for each in half] == [(1, 2, False)]
    step.go.set()
    done = await ended(jobs, job)

    assert (done.state, done.result, done.done, done.started_at, done.ended_at) == (
        *(JobState.DONE, "all", 2),
        *(10.0, 12.5),
    )
    assert jobs.all() == [done]


async def test_one_job_at_a_time_works_on_a_queue() -> None:
    """Others may work on other queues; the next may when the first has ended."""
    jobs, step = Jobs(), Step()
    first = jobs.start("redrive", step, queue="agent", actor="ada")
    with pytest.raises(QueueBusy, match=r"a job works on agent already \(redrive, started by ada\)"):
        jobs.start("drop", Step(), queue="agent")
    other = jobs.start("drop", step, queue="other")
    without = [jobs.start("replay", step) for _ in range(2)]
    step.go.set()
    for each in (first, other, *without):
        await ended(jobs, each)
    again = jobs.start("drop", step, queue="agent")
    assert (await ended(jobs, again)).state is JobState.DONE


async def test_a_cancelled_job_ends_as_cancelled_and_frees_its_queue() -> None:
    """To cancel it twice, or after its end, changes nothing."""
    jobs = Jobs()
    job = jobs.start("redrive", Step(), queue="agent")
    await asyncio.sleep(0)
    assert getattr(jobs.cancel(job.id), "state", None) is JobState.CANCELLING
    jobs.cancel(job.id)
    found = await ended(jobs, job)

    assert (found.state, found.result, found.error, found.done) == (JobState.CANCELLED, None, "", 1)
    assert jobs.cancel(job.id) == found
    assert jobs.cancel("unknown") is None
    jobs.cancel(jobs.start("redrive", Step(), queue="agent").id)
    await jobs.stop()


async def test_a_job_that_is_cancelled_before_it_began_ends_too() -> None:
    """Its task never runs."""
    jobs = Jobs()
    job = jobs.start("redrive", Step(), queue="agent")
    jobs.cancel(job.id)
    assert (await ended(jobs, job)).state is JobState.CANCELLED
    assert jobs.start("redrive", Step(), queue="agent").state is JobState.RUNNING
    await jobs.stop()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OperatorError("there is no queue agent\n  in var"), "there is no queue agent in var"),
        (ConnectionRefusedError("refused"), "refused"),
        (TimeoutError(), "TimeoutError"),
        (KeyError("a secret"), "unexpected KeyError; the log has more"),
    ],
)
async def test_an_error_is_one_line_and_ends_only_its_job(error: Exception, text: str) -> None:
    """What only a bug can raise is in the log; its text may have anything in it."""
    jobs = Jobs()
    found = await ended(jobs, jobs.start("redrive", raising(error), queue="agent"))

    assert (found.state, found.error) == (JobState.FAILED, text)
    assert not found.error.count("\n")


async def test_the_history_is_bounded_and_a_running_job_is_kept() -> None:
    """The oldest go first."""
    jobs, step = Jobs(max_history=3), Step()
    running = jobs.start("long", Step())
    step.go.set()
    made = [jobs.start(f"job-{number}", step) for number in range(6)]
    for job in made:
        await jobs.wait(job.id)

    assert [job.kind for job in jobs.all()] == ["job-5", "job-4", "job-3", "long"]
    assert jobs.get(made[0].id) is None
    jobs.cancel(running.id)
    await jobs.stop()


async def test_no_more_run_at_once_than_may() -> None:
    """Each has a connection."""
    jobs = Jobs()
    for _ in range(MAX_RUNNING):
        jobs.start("replay", Step())
    with pytest.raises(TooManyJobs, match="16 jobs run already"):
        jobs.start("replay", Step())
    await jobs.stop()
    assert {job.state for job in jobs.all()} == {JobState.CANCELLED}


async def test_a_stop_ends_all_jobs_and_lets_none_begin() -> None:
    """When the process ends."""
    jobs = Jobs()
    job = jobs.start("redrive", Step(), queue="agent")
    await jobs.stop()

    assert getattr(jobs.get(job.id), "state", None) is JobState.CANCELLED
    with pytest.raises(TooManyJobs, match="shutting down"):
        jobs.start("redrive", Step(), queue="agent")


async def test_a_redrive_that_is_cancelled_and_started_again_moves_each_event_once(broker: Broker) -> None:
    """The job says truly how many it moved."""
    await broker.declare(QUEUE, DEAD)
    for number in range(30):
        await broker.put(DEAD, event(number), FAILED)
    jobs = Jobs()

    async def work(on_progress: OnProgress) -> int:
        return await redrive(broker.config, QUEUE, EVERYTHING, on_progress=on_progress)

    job = jobs.start("redrive", work, queue=DEAD)
    await wait_until_async(lambda: (found := jobs.get(job.id)) and found.done > 3)
    jobs.cancel(job.id)
    cut = await ended(jobs, job)
    rest = await ended(jobs, jobs.start("redrive", work, queue=DEAD))

    assert cut.state in (JobState.CANCELLED, JobState.DONE)
    assert (rest.state, rest.result, cut.done + rest.result) == (JobState.DONE, rest.done, 30)
    assert sorted(await ids(broker, QUEUE)) == sorted(f"id-{number}" for number in range(30))
    assert await ids(broker, DEAD) == []
