"""Who makes a request: by bearer token, by session, by a trusted proxy's word, or anybody on loopback."""

from __future__ import annotations

import asyncio

from gateway.config.observing_models import ConsoleConfig
from gateway.console.problems import Problem
from gateway.console.security.access import Access
from gateway.console.security.attempts import FailedLogins
from gateway.console.security.caller import Caller
from gateway.console.security.cookies import read_cookie
from gateway.console.security.roles import Principal, Role
from gateway.observability.terminal import printable

EVERY_GROUP = "*"
"""The key of `console.groups` that stands for everybody whom the proxy lets in."""

_MAX_NAME = 200
"""Characters of a user's name that a proxy sends."""


class Authenticator:
    """Finds out who makes a request.

    Args:
        access: Tokens and sessions.
        failures: The failed logins.
    """

    def __init__(self, access: Access, failures: FailedLogins) -> None:
        self._access = access
        self._failures = failures

    async def principal(self, caller: Caller, console: ConsoleConfig) -> Principal | None:
        """Return who makes a request; None if nobody is logged in.

        Raises:
            Problem: There are credentials, and they are wrong.
        """
        scheme, _, token = caller.header(b"authorization").partition(" ")
        if scheme.lower() == "bearer":
            return await self._bearer(caller, token.strip())
        if console.auth == "none":
            return Principal("local", Role.ADMIN, "none", "local")
        if console.auth == "proxy":
            return _forwarded(caller, console)
        if cookie := read_cookie(caller):
            return await asyncio.to_thread(self._access.sessions.principal, cookie)
        return None

    async def _bearer(self, caller: Caller, token: str) -> Principal:
        # A way of its own: a program with an old token locks nobody out of the login.
        self._failures.check(caller.client, "bearer")
        if found := await asyncio.to_thread(self._access.tokens.principal, token):
            return found
        self._failures.note(caller.client, "bearer")
        raise Problem(
            "not_authenticated",
            "the token is unknown, revoked or has ended",
            {"www-authenticate": 'Bearer realm="gateway", error="invalid_token"'},
        )


def _forwarded(caller: Caller, console: ConsoleConfig) -> Principal | None:
    # Not "nobody is logged in": the login form would be no help.
    if not caller.is_proxy:
        raise Problem("forbidden", "the console is to be called through its proxy")
    name = printable(_decoded(caller.header(b"x-forwarded-user"))[:_MAX_NAME]).strip()
    if not name:
        raise Problem("forbidden", "the proxy names no user in X-Forwarded-User")
    groups = {group.strip() for group in _decoded(caller.header(b"x-forwarded-groups")).split(",")}
    roles = [Role(role) for group, role in console.groups.items() if group in groups or group == EVERY_GROUP]
    if not roles:
        raise Problem("forbidden", f"no group of {name} is in console.groups")
    return Principal(name, max(roles, key=list(Role).index), "proxy", name)


def _decoded(text: str) -> str:
    """Return a header field in UTF-8 as proxies send it; bytes that are none stay as they are in latin-1."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
