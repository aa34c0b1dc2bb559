"""What pages and API need, made once by the console process and handed to both."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import Config
from gateway.console.api.tails import Tails
from gateway.console.security.access import Access
from gateway.http.apps import Health
from gateway.journal import Journal
from gateway.journal.capture import CaptureRing
from gateway.journal.entry import Entry, Kind
from gateway.journal.reports.ids import EntryIds
from gateway.journal.workers import Workers
from gateway.operations.jobs import Jobs
from gateway.operations.status import ProcessesStatus


@dataclass(slots=True, kw_only=True)
class Services:
    """What the console works with.

    Attributes:
        config: Returns the configuration in force, which a reload replaces.
        folder: The folder of the configuration, where schemas of one's own are found.
        journal: The journal.
        access: Tokens, sessions, audit and signatures.
        health: Answers `/livez` and `/readyz`.
        render_metrics: Returns all metrics in Prometheus' text format.
        report: Adds an entry to the journal soon; it never raises, and does not wait.
        workers: The workers that are alive; None where they are to be looked up.
        refusals: The last refused requests; None if they are not kept.
        processes: Returns how the receiving processes are; None if they are to be asked over HTTP.
        reload_problems: Returns what was wrong with the configuration at the last reload.
        jobs: The acts that run in the background.
        tails: The live tails.
    """

    config: Callable[[], Config]
    folder: Path
    journal: Journal
    access: Access
    health: Health
    render_metrics: Callable[[], bytes]
    report: Callable[[Entry], None]
    workers: Workers | None = None
    refusals: CaptureRing | None = None
    processes: Callable[[], ProcessesStatus | None] = lambda: None
    reload_problems: Callable[[], tuple[str, ...]] = tuple
    jobs: Jobs = field(default_factory=Jobs)
    tails: Tails = field(init=False)
    _ids: EntryIds = field(default_factory=EntryIds, init=False)

    def __post_init__(self) -> None:
        """Make the live tails of the journal."""
        self.tails = Tails(self.journal, self.access.signer)

    def report_action(
        self,
        action: str,
        actor: str,
        *,
        provider: str = "",
        event_type: str = "",
        event_id: str = "",
        detail: str = "",
    ) -> None:
        """Let the journal know what somebody did. Call it on the event loop."""
        self.report(
            Entry(
                self._ids.next(),
                Kind.ACTION,
                action,
                provider=provider,
                type=event_type,
                event_id=event_id,
                gateway=socket.gethostname(),
                actor=actor,
                detail=detail,
            )
        )
