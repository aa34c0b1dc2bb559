"""Sessions of browsers, and the links that begin one without a token."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from gateway.console.security.database import ConsoleDatabase, hash_of
from gateway.console.security.roles import Principal, Role

SESSION_LIFETIME = 12 * 3600.0
"""Seconds after which somebody has to log in again: a working day."""

LINK_LIFETIME = 60.0
"""Seconds for which a login link is valid: the time to click on it."""

_MAX_SESSIONS = 1000
"""Sessions that are kept at a time; a further one ends the oldest."""


class Sessions:
    """All sessions and login links. Both outlive the process.

    Args:
        database: The console's database.
        clock: Unix seconds.
    """

    def __init__(self, database: ConsoleDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def make_link(self, name: str, role: Role) -> str:
        """Return a code that begins one session, once, within :data:`LINK_LIFETIME`."""
        code, now = secrets.token_urlsafe(32), self._clock()
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM links WHERE ends_at <= ?", (now,))
            connection.execute(
                "INSERT INTO links VALUES (?, ?, ?, ?)", (hash_of(code), name, role, now + LINK_LIFETIME)
            )
        return code

    def use_link(self, code: str) -> Principal | None:
        """Return whom the code of a link stands for, and make it worthless; None if it is not valid."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "DELETE FROM links WHERE hash = ? RETURNING name, role, ends_at", (hash_of(code),)
            ).fetchone()
        if row is None or row[2] <= self._clock():
            return None
        return Principal(row[0], Role(row[1]), "none", "")

    def begin(self, principal: Principal) -> str:
        """Begin a session of somebody who came with a token or a link; return the cookie's value."""
        value, now = secrets.token_urlsafe(32), self._clock()
        token = principal.key if principal.way == "token" else None
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE ends_at <= ?", (now,))
            connection.execute(
                "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions ORDER BY created_at DESC "
                "LIMIT -1 OFFSET ?)",
                (_MAX_SESSIONS - 1,),
            )
            connection.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)",
                (hash_of(value), token, principal.name, principal.role, now, now + SESSION_LIFETIME),
            )
        return value

    def principal(self, value: str) -> Principal | None:
        """Return whose session has this cookie; None if there is none, or it or its token has ended."""
        key, now = hash_of(value), self._clock()
        rows: list[Any] = self._database.rows(
            "SELECT sessions.name, sessions.role FROM sessions LEFT JOIN tokens ON tokens.id = token "
            "WHERE sessions.hash = ? AND sessions.ends_at > ? AND coalesce(tokens.ends_at, ?) > ?",
            key,
            now,
            now + 1,
            now,
        )
        return Principal(rows[0][0], Role(rows[0][1]), "session", key.hex()) if rows else None

    def end(self, value: str) -> None:
        """End the session with this cookie."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM sessions WHERE hash = ?", (hash_of(value),))
