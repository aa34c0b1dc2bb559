"""The roles, and who somebody is once a request is authenticated."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """What somebody may do. Of viewer, operator and admin each includes the ones before it; a tenant stands beside them."""

    VIEWER = "viewer"
    """Sees everything but payloads, and changes nothing."""
    OPERATOR = "operator"
    """Sees payloads; redelivers, redrives, releases, routes, replays and sends test events."""
    ADMIN = "admin"
    """Drops events, and manages endpoints and tokens."""
    TENANT = "tenant"
    """Sees and changes the endpoints, messages and deliveries of one tenant, through the API, and nothing else."""

    def includes(self, other: Role) -> bool:
        """Return whether this role may do what ``other`` may do."""
        if Role.TENANT in {self, other}:
            return self is other
        return _RANKS[self] >= _RANKS[other]


STAFF = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
"""The roles of operators, from the fewest rights to the most."""

_RANKS = {role: rank for rank, role in enumerate(STAFF)}

_TENANT = re.compile(rf"{Role.TENANT}:([a-z0-9-]{{1,48}})")


def parse_role(text: str) -> tuple[Role, str]:
    """Return the role that a text names, and its tenant, which is empty unless the text is `tenant:<name>`.

    Raises:
        ValueError: It names no role; the text of the error says which there are.
    """
    if match := _TENANT.fullmatch(text):
        return Role.TENANT, match[1]
    if text not in STAFF:
        raise ValueError(f"{text!r} is not a role; there are viewer, operator, admin and tenant:<name>")
    return Role(text), ""


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
        tenant: The tenant that a tenant's token sees; empty for everybody else, who sees all.
    """

    name: str
    role: Role
    way: Way
    key: str
    tenant: str = ""

    @property
    def is_ambient(self) -> bool:
        """Whether a browser adds the credentials by itself, also to requests that another site causes."""
        return self.way != "token"
