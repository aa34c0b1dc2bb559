"""The audit: who did what on the console and its API. Entries are only added, and deleted by their age alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.console.security.database import ConsoleDatabase
from gateway.observability.terminal import printable

AUDIT_MAX_AGE = 400 * 86_400.0
"""Seconds for which an entry is kept: a year, and the month in which somebody asks about it."""

_MAX_ENTRIES = 1_000_000
"""Entries that are kept, some 200 MB, whatever their age."""

_MAX_TEXT = 500
"""Characters of a target."""

_PRUNE_INTERVAL = 1000
"""Entries that are added between two deletions of old ones."""


class AuditEntry(msgspec.Struct, frozen=True):
    """One thing that somebody did.

    Attributes:
        id: Orders the entries.
        at: When it happened, in Unix seconds.
        actor: Who did it; empty for somebody who is not known.
        role: The role that they had.
        action: What was done, such as `payload.view` or `login`.
        target: To what, such as `stripe/evt_1` or a token's name.
        outcome: `done`, or the reason of the refusal.
        client: The address that it came from; empty for a command on this machine.
    """

    id: int
    at: float
    actor: str
    role: str
    action: str
    target: str
    outcome: str
    client: str


class Audit:
    """The audit.

    Args:
        database: The console's database.
        clock: Unix seconds.
    """

    def __init__(self, database: ConsoleDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def add(
        self,
        action: str,
        *,
        actor: str = "",
        role: str = "",
        target: str = "",
        outcome: str = "done",
        client: str = "",
    ) -> None:
        """Add an entry.

        Raises:
            OSError: The database cannot be written; what was to be done must not be done.
        """
        now = self._clock()
        with self._database.transaction() as connection:
            added = connection.execute(
                "INSERT INTO audit (at, actor, role, action, target, outcome, client) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (now, actor, role, action, printable(target[:_MAX_TEXT]), outcome, client),
            ).lastrowid
            if added is not None and added % _PRUNE_INTERVAL == 0:
                connection.execute(
                    "DELETE FROM audit WHERE at < ? OR id <= ?", (now - AUDIT_MAX_AGE, added - _MAX_ENTRIES)
                )

    def entries(self, before: int | None = None, limit: int = 50) -> list[AuditEntry]:
        """Return entries, newest first: those with ids below ``before`` if it is given."""
        rows: list[Any] = self._database.rows(
            "SELECT id, at, actor, role, action, target, outcome, client FROM audit "
            "WHERE (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?",
            before,
            before,
            limit,
        )
        return [AuditEntry(*row) for row in rows]
