"""The gate of the console: no request gets past it without a known host, a principal and, for a write, a page of ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, wraps

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import Config
from gateway.console.problems import Problem
from gateway.console.security.access import Access
from gateway.console.security.attempts import FailedLogins
from gateway.console.security.authentication import Authenticator
from gateway.console.security.bodies import MAX_BODY, buffer_body
from gateway.console.security.caller import Caller, CallerReader
from gateway.console.security.cross_site import SAFE_METHODS, check_reading, check_writing
from gateway.console.security.login import LOGIN_PATH, SCRIPT_PATH
from gateway.console.security.roles import Principal, Role

OPEN_PATHS = frozenset({LOGIN_PATH, SCRIPT_PATH, "/favicon.ico"})
"""Paths that need no principal."""

OPEN_PREFIX = "/static/"
"""The beginning of the other paths that need none: style, script and icons, the same for everybody."""

_MAX_LOGIN_BODY = 16 * 1024
"""Bytes of the body of somebody who is not known yet."""

Endpoint = Callable[[Request], Awaitable[Response]]


class Gate:
    """Lets requests in.

    What is behind it finds in `request.state`: `caller`, `principal` (None on an open path), `signer`, and `is_valid`, which
    an answer that goes on for long awaits now and then: whether the session or token is still good.

    Args:
        app: What is behind it.
        access: Tokens and sessions.
        config: Returns the configuration in force.
        failures: The failed logins.
    """

    def __init__(
        self, app: ASGIApp, access: Access, config: Callable[[], Config], failures: FailedLogins
    ) -> None:
        self._app = app
        self._access = access
        self._config = config
        self._callers = CallerReader(config())
        self._authenticator = Authenticator(access, failures)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in.

        Raises:
            Problem: It is refused.
        """
        caller = self._caller(scope)
        path = scope["path"]
        is_open = path in OPEN_PATHS or path.startswith(OPEN_PREFIX)
        principal = await self._principal(caller, is_open=is_open)
        state = scope.setdefault("state", {})
        state |= {
            "caller": caller,
            "principal": principal,
            "signer": self._access.signer,
            "is_valid": partial(self._is_still, principal, caller),
        }
        if principal and not is_open and scope["method"] in SAFE_METHODS:
            check_reading(caller, scope, principal, is_api=path.startswith("/api/"))
        if scope["method"] not in SAFE_METHODS:
            receive = await buffer_body(scope, receive, _MAX_LOGIN_BODY if is_open else MAX_BODY)
            if principal and not is_open:
                check_writing(caller, principal, self._access.signer, state["body"])
        await self._app(scope, receive, send)

    async def _is_still(self, principal: Principal | None, caller: Caller) -> bool:
        try:
            return await self._principal(caller, is_open=False) == principal
        except Problem:
            return False

    def _caller(self, scope: Scope) -> Caller:
        config = self._config()
        if config is not self._callers.config:
            self._callers = CallerReader(config)
        return self._callers.read(scope)

    async def _principal(self, caller: Caller, *, is_open: bool) -> Principal | None:
        try:
            principal = await self._authenticator.principal(caller, self._callers.config.console)
        except Problem:
            if not is_open:
                raise
            return None
        if principal is None and not is_open:
            raise Problem(
                "not_authenticated",
                "send a token as Authorization: Bearer, or log in",
                {"www-authenticate": 'Bearer realm="gateway"'},
            )
        return principal


def require_role(request: Request, role: Role) -> Principal:
    """Return who makes the request, if they have the role.

    Raises:
        Problem: They do not.
    """
    principal: Principal = request.state.principal
    if not principal.role.includes(role):
        raise Problem("forbidden", f"this needs the role {role}, and {principal.name} is {principal.role}")
    return principal


def require(role: Role) -> Callable[[Endpoint], Endpoint]:
    """Decorate an endpoint that only those with a role may call."""

    def decorate(endpoint: Endpoint) -> Endpoint:
        @wraps(endpoint)
        async def checked(request: Request) -> Response:
            require_role(request, role)
            return await endpoint(request)

        return checked

    return decorate
