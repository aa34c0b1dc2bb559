"""How the gateway is at one moment: the values that `gateway status`, the console and the API show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["critical", "warning", "notice"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        level: How bad it is: events are refused; events wait for somebody; something to know.
        part: The part of the status that it is about, such as `spool` or `queue:billing-agent`.
        text: What is wrong, and what to do, as one or two sentences.
        command: The command line that helps; empty if there is none.
    """

    level: Level
    part: str
    text: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class ProcessesStatus:
    """The processes of this machine's gateway.

    Attributes:
        is_running: Whether a gateway answers on `server.admin_bind`.
        is_ready: Whether it accepts events.
        alive: Processes that are alive and not stuck; None if it is not known.
        configured: Processes that the configuration wants.
        restarts: Processes that replaced one that had ended.
        checks: What each part of the gateway says of itself: `ok`, or why it is unavailable.
        error: Why the gateway could not be asked; empty if it could.
        dropped: Entries of the journal that the processes have dropped since the start.
    """

    is_running: bool
    is_ready: bool
    alive: int | None
    configured: int
    restarts: int | None
    checks: Mapping[str, str]
    error: str
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class SpoolStatus:
    """The events on disk that wait for the broker.

    Attributes:
        events: How many.
        size: Their bytes.
        max_size: The limit of bytes.
        oldest_at: When the oldest was spooled, in Unix seconds.
        corrupt: Rows that could not be read and were set aside.
        error: Why it could not be read; empty if it could.
    """

    events: int
    size: int
    max_size: int
    oldest_at: float | None
    corrupt: int
    error: str = ""


QueueKind = Literal["worker", "outbound", "dead_letters", "quarantine", "unrouted", "retry"]


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """One queue.

    Attributes:
        name: Its name.
        kind: What it is for.
        ready: Messages that wait for a consumer; None if unknown.
        unacknowledged: Messages that consumers have; None if unknown.
        delayed: Messages that wait for their next attempt; None if unknown.
        consumers: Consumers; None if unknown.
        oldest_at: When its oldest message was received by the gateway, in Unix seconds; None if unknown or empty.
        paused: Why its worker leaves events in the queue at the moment; empty if it does not.
        error: Why it could not be asked; empty if it could.
    """

    name: str
    kind: QueueKind
    ready: int | None
    unacknowledged: int | None
    delayed: int | None
    consumers: int | None
    oldest_at: float | None
    paused: str = ""
    error: str = ""

    @property
    def is_paused(self) -> bool:
        """Whether a worker of the queue is paused."""
        return bool(self.paused)


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """A store or a server.

    Attributes:
        kind: `embedded`, or the kind of server.
        is_available: Whether it answers.
        text: What it holds, as a phrase.
        error: Why it does not answer; empty if it does.
        warnings: What an operator should change about it, one sentence each.
    """

    kind: str
    is_available: bool
    text: str
    error: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment.

    Attributes:
        at: The moment, in Unix seconds.
        headline: How it is, in one line.
        problems: What is wrong, worst first.
        processes: The gateway's processes.
        spool: The spool; None where there can be none.
        queues: All queues that are known: workers' queues first.
        broker: RabbitMQ, or the embedded queue.
        claims: The deduplication store.
        archive: The archive; None if it is off.
        journal: The journal; None if it is off.
        clock_offset: Seconds by which our clock is ahead of the store's; None if unknown.
    """

    at: float
    headline: str
    problems: tuple[Problem, ...]
    processes: ProcessesStatus
    spool: SpoolStatus | None
    queues: tuple[QueueStatus, ...]
    broker: StoreStatus
    claims: StoreStatus
    archive: StoreStatus | None
    journal: StoreStatus | None
    clock_offset: float | None
