"""What pages and API need, made once by the console process and handed to both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gateway.config import Config
from gateway.console.security.access import Access
from gateway.journal import Journal
from gateway.journal.capture import CaptureRing
from gateway.journal.workers import Workers
from gateway.operations.status import ProcessesStatus


@dataclass(slots=True, kw_only=True)
class Services:
    """What the console works with.

    Attributes:
        config: Returns the configuration in force, which a reload replaces.
        folder: The folder of the configuration, where schemas of one's own are found.
        journal: The journal.
        access: Tokens, sessions, audit and signatures.
        workers: The workers that are alive.
        refusals: The last refused requests; None if they are not kept.
        processes: Returns how the receiving processes are.
        reload_problems: Returns what was wrong with the configuration at the last reload.
    """

    config: Callable[[], Config]
    folder: Path
    journal: Journal
    access: Access
    workers: Workers
    refusals: CaptureRing | None
    processes: Callable[[], ProcessesStatus]
    reload_problems: Callable[[], tuple[str, ...]] = tuple
