"""`/login` and `/logout`: a token or the code of a link for a session.

The form works without JavaScript. A link has its code in the fragment of the address, which only the browser knows:
a script puts it into the form and sends that.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.console.security.access import Access
from gateway.console.security.attempts import FailedLogins
from gateway.console.security.bodies import form_of
from gateway.console.security.caller import Caller
from gateway.console.security.cookies import LOGIN, SESSION, read_cookie, set_cookie
from gateway.console.security.cross_site import FIELD, check_origin
from gateway.console.security.roles import Principal
from gateway.console.security.sessions import SESSION_LIFETIME
from gateway.receive.token_bucket import TokenBucket
from gateway.signatures.units import EventRate

LOGIN_PATH = "/login"
SCRIPT_PATH = "/login.js"

_FORM_LIFETIME = 3600.0
"""Seconds for which a login form that is open in a browser can be sent."""

_MAX_ADDRESS = 2000
"""Characters of the address that a login leads to."""

_MAX_NOTED = EventRate(60, 60.0)
"""Failed logins that the audit keeps: with more, a crowd of clients could fill it."""

_PURPOSE = "login"


class LoginPage(NamedTuple):
    """What the page with the login form shows.

    Attributes:
        token: The value of the hidden field `csrf`.
        next: The value of the hidden field `next`.
        problem: Why the last attempt failed; empty if there was none.
    """

    token: str
    next: str
    problem: str


RenderLogin = Callable[[Request, LoginPage], str]
"""Returns the page's HTML. The form has the fields `csrf`, `next`, `token` and `once`, and the page the script."""


class Login:
    """Begins and ends sessions.

    Args:
        access: Tokens, sessions and audit.
        failures: The failed logins.
        render: Renders the page.
    """

    def __init__(self, access: Access, failures: FailedLogins, render: RenderLogin) -> None:
        self._access = access
        self._failures = failures
        self._render = render
        self._failures_noted = TokenBucket(_MAX_NOTED, time.monotonic)

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(LOGIN_PATH, self.show, methods=["GET"]),
            Route(LOGIN_PATH, self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
            Route(SCRIPT_PATH, _script),
        ]

    async def show(self, request: Request) -> Response:
        """Show the form; lead on who is logged in already."""
        leads_to = safe_address(request.query_params.get("next", ""))
        if request.state.principal is not None and "again" not in request.query_params:
            return RedirectResponse(leads_to, 303)
        return self._page(request, leads_to)

    async def log_in(self, request: Request) -> Response:
        """Begin a session."""
        caller: Caller = request.state.caller
        check_origin(caller)
        form = {name: values[0] for name, values in form_of(request).items() if len(values) == 1}
        leads_to = safe_address(form.get("next", ""))
        self._failures.check(caller.client, "login")
        holder = read_cookie(caller, LOGIN)
        if not holder or self._access.signer.open(_PURPOSE, form.get(FIELD, "")) != holder.encode():
            return self._page(request, leads_to, "The form was too old. Try again.", 403)
        principal = await asyncio.to_thread(self._find, form.get("token", "").strip(), form.get("once", ""))
        if principal is None:
            self._failures.note(caller.client, "login")
            if not self._failures_noted.is_empty():
                self._failures_noted.take()
                await asyncio.to_thread(self._audit, "login", None, "not_authenticated", caller)
            problem = (
                "The link has been used, or is older than a minute. `gateway console link` makes another."
                if form.get("once")
                else "There is no such token, or it has ended."
            )
            return self._page(request, leads_to, problem, 401)
        value = await asyncio.to_thread(self._begin, principal, caller)
        response = RedirectResponse(leads_to, 303)
        set_cookie(response, caller, value, SESSION_LIFETIME)
        set_cookie(response, caller, "", 0, LOGIN)
        return response

    async def log_out(self, request: Request) -> Response:
        """End the session on the server, and delete its cookie."""
        caller: Caller = request.state.caller
        if value := read_cookie(caller):
            await asyncio.to_thread(self._access.sessions.end, value)
            await asyncio.to_thread(self._audit, "logout", request.state.principal, "done", caller)
        response = RedirectResponse(LOGIN_PATH, 303)
        set_cookie(response, caller, "", 0, SESSION)
        return response

    def _page(self, request: Request, leads_to: str, problem: str = "", status: int = 200) -> Response:
        holder = secrets.token_urlsafe(32)
        page = LoginPage(self._access.signer.sign(_PURPOSE, holder.encode()), leads_to, problem)
        response = HTMLResponse(self._render(request, page), status)
        set_cookie(response, request.state.caller, holder, _FORM_LIFETIME, LOGIN)
        return response

    def _find(self, token: str, once: str) -> Principal | None:
        return self._access.sessions.use_link(once) if once else self._access.tokens.principal(token)

    def _begin(self, principal: Principal, caller: Caller) -> str:
        self._audit("login", principal, "done", caller)
        return self._access.sessions.begin(principal)

    def _audit(self, action: str, principal: Principal | None, outcome: str, caller: Caller) -> None:
        self._access.audit.add(
            action,
            actor=principal.name if principal else "",
            role=principal.role if principal else "",
            outcome=outcome,
            client=caller.client,
        )


def safe_address(text: str) -> str:
    """Return an address on the console itself that a login leads to: the text if it is one, else the first page."""
    is_local = text.startswith("/") and not text.startswith("//")
    is_plain = text.isascii() and text.isprintable() and "\\" not in text and len(text) <= _MAX_ADDRESS
    return text if is_local and is_plain and not text.startswith((LOGIN_PATH, "/logout")) else "/"


async def _script(_: Request) -> Response:
    return Response(_SCRIPT, media_type="text/javascript")


_SCRIPT = Path(__file__).with_name("login.js").read_text("utf-8")


def plain_login_page(_: Request, page: LoginPage) -> str:
    """Render the login form without any style."""
    return Markup(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>Log in</title><h1>Webhook gateway</h1><p role=alert>{problem}</p>"
        '<form method="post" action="/login"><input type="hidden" name="csrf" value="{token}">'
        '<input type="hidden" name="next" value="{next}"><input type="hidden" name="once">'
        '<label>Token <input name="token" type="password" autocomplete="current-password" autofocus></label> '
        "<button>Log in</button></form><p>Lost it? On the machine of the gateway, <code>gateway console link</code> "
        'prints a link that logs you in.</p><script src="/login.js" defer></script></html>'
    ).format(problem=page.problem, token=page.token, next=page.next)
