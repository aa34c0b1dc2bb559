"""The three roles, and who somebody is once a request is authenticated."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """What somebody may do. Each role includes the ones before it."""

    VIEWER = "viewer"
    """Sees everything but payloads, and changes nothing."""
    OPERATOR = "operator"
    """Sees payloads; redelivers, redrives, releases, routes, replays and sends test events."""
    ADMIN = "admin"
    """Drops events, and manages tokens."""

    def includes(self, other: Role) -> bool:
        """Return whether this role may do what ``other`` may do."""
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(Role)}

Way = Literal["token", "session", "proxy", "none"]
"""How a request was authenticated: a bearer token, a session's cookie, a trusted proxy's word, or not at all."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request.

    Attributes:
        name: The name in the audit and in the journal.
        role: The role.
        way: How the request was authenticated.
        key: What tells one holder of credentials from another: forms and idempotency keys belong to it.
    """

    name: str
    role: Role
    way: Way
    key: str

    @property
    def is_ambient(self) -> bool:
        """Whether a browser adds the credentials by itself, also to requests that another site causes."""
        return self.way != "token"
