"""Jobs: acts on more than one event, which run in the background while somebody watches their progress.

One job at a time works on a queue, whose events only one reader sees. A job that is cancelled finishes the event that it
is at. Jobs end with the process; what they had not done yet waits where it was.

The module has slightly more than 200 lines because a job is one life from its start to its place in the history.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any

import structlog

from gateway.errors import OperatorError
from gateway.operations.letters import OnProgress
from gateway.operations.readings import QueueBusy

MAX_HISTORY = 200
"""Jobs that are kept after their end, so that their results can be looked up."""

MAX_RUNNING = 16
"""Jobs that run at once: each has a connection to the broker of its own."""

_MAX_ERROR_LENGTH = 500
"""Characters of an error that are kept."""

log = structlog.get_logger()

Work = Callable[[OnProgress], Awaitable[Any]]
"""Does the work of a job, says how far it is, and returns the result."""


class JobState(StrEnum):
    """How a job stands."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    """It finishes the event that it is at."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is at a moment.

    Attributes:
        id: Names it in addresses.
        kind: What it does, such as `redrive`.
        queue: The queue that it works on; empty if it works on none.
        actor: Who started it.
        state: How it stands.
        started_at: When it was started, in Unix seconds.
        ended_at: When it ended; None while it runs.
        done: How many events are done.
        total: How many there may be; None as long as that is not known.
        error: Why it failed, in one line; empty if it did not.
        result: What it returned; None until it is done.
        details: What it was asked to do, for those who look at it.
    """

    id: str
    kind: str
    queue: str
    actor: str
    state: JobState
    started_at: float
    ended_at: float | None = None
    done: int = 0
    total: int | None = None
    error: str = ""
    result: Any = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.ended_at is not None


class TooManyJobs(OperatorError):
    """Raised when as many jobs run as may run at once."""


class Jobs:
    """The jobs of this process. All methods are for one event loop.

    Args:
        clock: Returns Unix seconds.
        max_history: How many jobs are kept after their end.
    """

    def __init__(self, clock: Callable[[], float] = time.time, max_history: int = MAX_HISTORY) -> None:
        self._clock = clock
        self._max_history = max_history
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._is_stopping = False

    def start(
        self,
        kind: str,
        work: Work,
        *,
        queue: str = "",
        actor: str = "",
        details: dict[str, Any] | None = None,
    ) -> Job:
        """Start a job and return it at once.

        Args:
            kind: What it does, such as `redrive`.
            work: Does it.
            queue: The queue that it works on; no other job works on it meanwhile.
            actor: Who starts it.
            details: What it was asked to do.

        Raises:
            QueueBusy: Another job works on the queue.
            TooManyJobs: As many jobs run as may run at once, or the process is about to end.
        """
        running = [self._jobs[each] for each in self._tasks]
        if self._is_stopping:
            raise TooManyJobs("the console is shutting down; no job can be started")
        if queue and (other := next((each for each in running if each.queue == queue), None)):
            raise QueueBusy(
                f"a job works on {queue} already ({other.kind}, started by {other.actor or 'somebody'}); "
                "wait until it has ended, or cancel it"
            )
        if len(running) >= MAX_RUNNING:
            raise TooManyJobs(f"{len(running)} jobs run already; wait until one has ended")
        number = os.urandom(8).hex()
        self._jobs[number] = Job(
            number, kind, queue, actor, JobState.RUNNING, self._clock(), details=details or {}
        )
        task = self._tasks[number] = asyncio.create_task(self._run(number, work), name=f"job {kind}")
        # Not at the end of the task itself, which never begins if it is cancelled at once.
        task.add_done_callback(partial(self._end, number))
        return self._jobs[number]

    def get(self, number: str) -> Job | None:
        """Return a job; None if there is none of this id, or it ended long ago."""
        return self._jobs.get(number)

    def all(self) -> list[Job]:
        """Return all jobs, the newest first."""
        return list(reversed(self._jobs.values()))

    def cancel(self, number: str) -> Job | None:
        """Ask a job to end after the event that it is at, and return it; nothing happens to one that has ended."""
        if (task := self._tasks.get(number)) is not None and self._jobs[number].state is JobState.RUNNING:
            self._change(number, state=JobState.CANCELLING)
            task.cancel()
        return self._jobs.get(number)

    async def wait(self, number: str) -> Job | None:
        """Wait until a job has ended, and return it."""
        if (task := self._tasks.get(number)) is not None:
            await asyncio.wait([task])
        return self._jobs.get(number)

    async def stop(self) -> None:
        """Cancel all jobs, and return when each has finished the event that it is at."""
        self._is_stopping = True
        tasks = list(self._tasks.values())
        for number in list(self._tasks):
            self.cancel(number)
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, number: str, work: Work) -> Any:
        def show(done: int, total: int) -> None:
            self._change(number, done=done, total=total)

        try:
            return await work(show)
        except (OperatorError, OSError):
            raise
        except Exception:  # a bug ends the job, and not the console
            log.exception("job failed", kind=self._jobs[number].kind)
            raise

    def _end(self, number: str, task: asyncio.Task[Any]) -> None:
        del self._tasks[number]
        if task.cancelled():
            self._change(number, state=JobState.CANCELLED, ended_at=self._clock())
        elif (failure := task.exception()) is None:
            self._change(number, state=JobState.DONE, result=task.result(), ended_at=self._clock())
        else:
            self._change(number, state=JobState.FAILED, error=_explain(failure), ended_at=self._clock())
        ended = [each for each, job in self._jobs.items() if job.has_ended]
        for old in ended[: max(len(ended) - self._max_history, 0)]:
            del self._jobs[old]

    def _change(self, number: str, **changes: Any) -> None:
        self._jobs[number] = replace(self._jobs[number], **changes)


def _explain(failure: BaseException) -> str:
    if isinstance(failure, (OperatorError, OSError)):
        return " ".join((str(failure) or type(failure).__name__).split())[:_MAX_ERROR_LENGTH]
    return f"unexpected {type(failure).__name__}; the log has more"
