"""The tokens of the console and its API: a name, a role, an end, and when each was last used."""

from __future__ import annotations

import hmac
import re
import secrets
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.console.security.database import ConsoleDatabase, hash_of
from gateway.console.security.roles import Principal, Role
from gateway.errors import OperatorError

_PREFIX = "whgw"
"""How each token begins, so that scanners for leaked secrets can find it."""

_TOKEN = re.compile(rf"{_PREFIX}_([0-9a-f]{{12}})_[A-Za-z0-9_-]{{43}}")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@ -]{0,63}")

_ID = re.compile(r"[0-9a-f]{12}")

_USE_INTERVAL = 60.0
"""Seconds between two notes of a token's last use: each is a write to the disk."""

MAX_TOKENS = 1000
"""Tokens that may exist at a time."""


class Token(msgspec.Struct, frozen=True):
    """A token as it is shown: never the secret itself.

    Attributes:
        id: What names the token, and is a part of it.
        name: Its unique name: who uses it.
        role: What it allows.
        created_at: When it was created, in Unix seconds.
        created_by: Who created it.
        ends_at: When it ends, in Unix seconds; None if it does not.
        last_used_at: When it was last used, to the minute, in Unix seconds; None if it never was.
    """

    id: str
    name: str
    role: Role
    created_at: float
    created_by: str
    ends_at: float | None = None
    last_used_at: float | None = None


class Tokens:
    """All tokens.

    Args:
        database: The console's database.
        clock: Unix seconds.
    """

    def __init__(self, database: ConsoleDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(self, name: str, role: Role, by: str, lifetime: float | None = None) -> tuple[Token, str]:
        """Create a token; return it, and its text, which cannot be had again.

        Args:
            name: A unique name.
            role: What it allows.
            by: Who creates it.
            lifetime: Seconds until it ends; None for no end.

        Raises:
            OperatorError: The name is taken or unusable, or there are too many tokens.
            OSError: The database cannot be written.
        """
        if not _NAME.fullmatch(name) or _ID.fullmatch(name):
            raise OperatorError(
                "a token's name has 1 to 64 letters, digits, blanks or ._@-, begins with a letter or a digit, and does not "
                "look like an id"
            )
        now = self._clock()
        token = Token(secrets.token_hex(6), name, role, now, by, None if lifetime is None else now + lifetime)
        text = f"{_PREFIX}_{token.id}_{secrets.token_urlsafe(32)}"
        try:
            with self._database.transaction() as connection:
                if connection.execute("SELECT count(*) FROM tokens").fetchone()[0] >= MAX_TOKENS:
                    raise OperatorError(f"there are {MAX_TOKENS} tokens already; revoke some")
                connection.execute(
                    "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
                    (token.id, name, role, hash_of(text), now, by, token.ends_at),
                )
        except sqlite3.IntegrityError:
            raise OperatorError(f"there is a token called {name!r} already; choose another name") from None
        return token, text

    def list(self) -> list[Token]:
        """Return all tokens, those that have ended included, by name."""
        return [_token(row) for row in self._database.rows(f"SELECT {_COLUMNS} FROM tokens ORDER BY name")]  # noqa: S608

    def revoke(self, name: str) -> Token | None:
        """Delete the token with this id or name, and end its sessions; return None if there is none."""
        with self._database.transaction() as connection:
            row = connection.execute(
                f"DELETE FROM tokens WHERE id = ? OR name = ? RETURNING {_COLUMNS}",  # noqa: S608
                (name, name),
            ).fetchone()
        return _token(row) if row else None

    def principal(self, text: str) -> Principal | None:
        """Return whose token this is, and note the use; None if it is unknown or has ended."""
        match = _TOKEN.fullmatch(text)
        if match is None:
            return None
        rows: list[Any] = self._database.rows(
            "SELECT hash, name, role, ends_at, last_used_at FROM tokens WHERE id = ?", match[1]
        )
        expected, name, role, ends_at, last_used_at = rows[0] if rows else (b"", "", "", None, None)
        now = self._clock()
        if not hmac.compare_digest(hash_of(text), expected) or (ends_at is not None and ends_at <= now):
            return None
        if last_used_at is None or now - last_used_at >= _USE_INTERVAL:
            with self._database.transaction() as connection:
                connection.execute("UPDATE tokens SET last_used_at = ? WHERE id = ?", (now, match[1]))
        return Principal(name, Role(role), "token", match[1])


_COLUMNS = "id, name, role, created_at, created_by, ends_at, last_used_at"


def _token(row: Any) -> Token:
    return Token(row[0], row[1], Role(row[2]), *row[3:])
