"""Reports: how workers and commands tell the journal what they did.

They run anywhere, so that a report goes through the broker: to the exchange `<exchange>.reports` and the queue of the
same name, which the console process reads. A report is evidence, like the journal: it is not confirmed, it is dropped
where nobody reads it for an hour, and it never makes an event wait.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from gateway.journal.entry import Entry

REPORTS_SUFFIX = ".reports"
"""The end of the name of the exchange and queue for reports."""

MAX_REPORTS = 10_000
"""Reports that wait for a reader. Beyond that the oldest are dropped."""

MAX_WAITING_SIZE = 64 * 1024**2
"""Bytes of reports that wait for a reader, some 200,000 entries. Beyond that the oldest are dropped."""

MAX_REPORT_AGE = 3600.0
"""Seconds after which a report that nobody has read is dropped."""

MAX_REPORT_SIZE = 1024**2
"""Bytes of a report that is read. A larger one was not written by this program."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker's process says of itself every few seconds.

    Attributes:
        queue: The queue of the worker.
        host: The host that the process runs on.
        pid: The number of the process there.
        version: The version of this program.
        at: When it said so, in Unix seconds.
        started_at: When the worker began, in Unix seconds.
        concurrency: Events that it handles at a time at most.
        prefetch: Events that it holds at most.
        in_progress: Events that it holds now.
        handled: Deliveries that it has settled so far, whatever their outcome.
        paused: Why it leaves events in the queue at the moment, for a person; empty if it does not.
        paused_until: When it goes on, in Unix seconds; None if it is not paused.
        has_ended: Whether this is its last word.
    """

    queue: str
    host: str
    pid: int
    version: str
    at: float
    started_at: float
    concurrency: int = 0
    prefetch: int = 0
    in_progress: int = 0
    handled: int = 0
    paused: str = ""
    paused_until: float | None = None
    has_ended: bool = False


class Report(msgspec.Struct, frozen=True):
    """One message of reports.

    Attributes:
        entries: What happened, oldest first.
        heartbeats: The state of workers.
    """

    entries: list[Entry] = []
    heartbeats: list[Heartbeat] = []


class Carrier(Protocol):
    """Carries encoded reports to the queue of reports."""

    async def start(self) -> None:
        """Get ready. Does not wait for a server."""

    async def send(self, body: bytes) -> None:
        """Send one report. It may be lost all the same.

        Raises:
            OSError: It was not sent.
        """

    async def stop(self) -> None:
        """Release all resources."""


class ReceivedReport(NamedTuple):
    """A report that was received and awaits its acknowledgement.

    Attributes:
        report: The report; an empty one if the message was none.
        tag: The source's own handle for it.
    """

    report: Report
    tag: object


class ReportSource(Protocol):
    """Receives reports, oldest first. One that is not acknowledged is received again, by this or another reader."""

    async def receive(self, wait: float) -> ReceivedReport | None:
        """Return the next report; None if there is none within ``wait`` seconds.

        Raises:
            OSError: The broker is lost; open the source again.
        """

    async def acknowledge(self, received: ReceivedReport) -> None:
        """Remove a report: its entries are in the journal.

        Raises:
            OSError: As for :meth:`receive`.
        """


_decoder = msgspec.json.Decoder(Report)


def encode_report(report: Report) -> bytes:
    """Encode a report as JSON."""
    return msgspec.json.encode(report)


def decode_report(body: bytes) -> Report:
    """Decode a report. Return an empty one if the message is none: it comes from outside, and must not stop the reader."""
    if len(body) > MAX_REPORT_SIZE:
        return Report()
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Report()
