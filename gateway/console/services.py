"""What pages and API need, made once by the console process and handed to both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.config import Config
from gateway.console.security.access import Access
from gateway.http.apps import Health
from gateway.journal import Journal
from gateway.journal.entry import Entry


@dataclass(slots=True, kw_only=True)
class Services:
    """What the console works with.

    Attributes:
        config: Returns the configuration in force, which a reload replaces.
        folder: The folder of the configuration, where schemas of one's own are found.
        health: Answers `/livez` and `/readyz`.
        render_metrics: Returns all metrics in Prometheus' text format.
        journal: The journal.
        access: Tokens, sessions, audit and signatures.
        report: Adds an entry to the journal soon; it never raises, and does not wait.
        reload_problems: Returns what was wrong with the configuration at the last reload.
    """

    config: Callable[[], Config]
    folder: Path
    health: Health
    render_metrics: Callable[[], bytes]
    journal: Journal
    access: Access
    report: Callable[[Entry], None]
    reload_problems: Callable[[], tuple[str, ...]] = tuple
