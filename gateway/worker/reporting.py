"""What a worker tells the journal: an entry for each settled delivery, and a heartbeat every few seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Sized

from gateway import __version__
from gateway.journal.entry import MAX_DETAIL, MAX_TEXT, Entry, Kind, cut
from gateway.journal.reports import Heartbeat
from gateway.journal.reports.sender import Reports
from gateway.observability.logs import has_exception_messages
from gateway.worker.errors import Dead, Retry
from gateway.worker.event import Event
from gateway.worker.executor import Executor
from gateway.worker.queue import Delivery
from gateway.worker.retry_policy import Settlement, qualified_name
from gateway.worker.stats import Stats
from gateway.worker.tracebacks import places_of
from gateway.worker.worker import Worker

_HANDLED = Kind.HANDLED  # a look-up in an enum takes a tenth of what an entry does


class Reporter:
    """Reports what one process of ``worker`` does.

    Args:
        worker: The declaration.
        reports: Sends the entries.
        executor: Knows whether the worker is paused.
        stats: Knows how many deliveries were settled.
        running: The deliveries that are not settled.
    """

    def __init__(
        self, worker: Worker, reports: Reports, executor: Executor, stats: Stats, running: Sized
    ) -> None:
        self._worker = worker
        self._reports = reports
        self._executor = executor
        self._stats = stats
        self._running = running
        self._queue = worker.queue
        self._host = reports.gateway
        self._actor = f"{reports.gateway}:{os.getpid()}"
        self._started_at = time.time()

    async def start(self) -> None:
        """Begin to send, without waiting for the broker."""
        await self._reports.start(self.heartbeat)

    async def stop(self) -> None:
        """Send what is left, for a second at most."""
        await self._reports.stop()

    def record(self, event: Event | None, delivery: Delivery, settlement: Settlement, seconds: float) -> None:
        """Report a settled delivery; ``event`` is None if the message is not an event."""
        failure = settlement.failure
        key_provider, _, event_type = delivery.routing_key.partition(".")
        if event is None:
            provider = event_id = subject = account = summary = trace = result = ""
        else:
            provider, event_id, result = event.provider, event.id, event.named_outcome
            subject, account, summary = event.subject or "", event.account or "", event.summary or ""
            trace = (event.traceparent or "")[3:35]
        detail = result
        if failure is not None or settlement.delay:
            detail = _describe(result, failure, settlement.delay)
        # By position, in the order of Entry's fields: half the time of keywords. All of it takes 3 µs an event (2026-11).
        self._reports.send(
            Entry(
                self._reports.next_id(),
                _HANDLED,
                settlement.name,
                _reason_of(failure) if failure is not None else "",
                provider or key_provider,
                event_type,
                cut(event_id, MAX_TEXT),
                cut(subject, MAX_TEXT),
                cut(account, MAX_TEXT),
                None,
                self._queue,
                self._host,
                self._actor,
                None,
                "",
                None,
                int(seconds * 10_000) / 10,  # round() takes six times as long
                None,
                delivery.attempts + 1,
                None,
                "",
                cut(summary, MAX_DETAIL),
                cut(detail, MAX_DETAIL),
                trace,
            )
        )

    def heartbeat(self) -> Heartbeat:
        """Return what the process is doing."""
        now, pause = time.time(), self._executor.pause
        return Heartbeat(
            queue=self._queue,
            host=self._host,
            pid=os.getpid(),
            version=__version__,
            at=now,
            started_at=self._started_at,
            concurrency=self._worker.concurrency,
            prefetch=self._worker.prefetch,
            in_progress=len(self._running),
            handled=self._stats.outcomes.total(),
            paused=self._executor.pause_reason,
            paused_until=now + pause if pause else None,
        )


def _reason_of(failure: BaseException) -> str:
    """Return one word for a failure: `Retry`, `Dead`, `timeout`, or the type of the exception."""
    if isinstance(failure, TimeoutError):
        return "timeout"
    for kind in (Retry, Dead):
        if isinstance(failure, kind):
            return kind.__name__
    return cut(qualified_name(failure), MAX_TEXT)


def _describe(result: str, failure: BaseException | None, delay: float) -> str:
    """Return the handler's outcome, the places of an exception and the delay, as far as there are any.

    The text of an exception may quote the event. It is there only if ``log.exception_messages`` allows it, as in the log;
    the reason of a :class:`Dead` was written for people.
    """
    parts = [result]
    if isinstance(failure, Dead):
        parts.append(failure.reason)
    elif failure is not None:
        if has_exception_messages():
            parts.append(" ".join(str(failure).split())[: MAX_DETAIL // 2])
        if not isinstance(failure, Retry):
            parts.append(places_of(failure))
    if delay:
        parts.append(f"retry in {delay:g} s")
    return "; ".join(filter(None, parts))
