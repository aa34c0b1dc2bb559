"""The console's application: who may come in, and where each path leads.

    every answer       security headers, Server-Timing, problems as pages or problem+json
      the caller       Host 421, the client's address
      the principal    401, or on to the login; 403 without the role
      the body         413, 408
      a write          403 unless a page of the console made it
        /login, /logout, /api/v1, pages

`/metrics`, `/livez` and `/readyz` are not here: they are open to Prometheus and to probes, see :mod:`gateway.console.frame`.
The server must not read X-Forwarded-For by itself (uvicorn: ``proxy_headers=False``): :mod:`.security.caller` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.console.api.app import Api
from gateway.console.api.table import OPERATIONS
from gateway.console.problems import Problem, problem_response
from gateway.console.security.attempts import FailedLogins
from gateway.console.security.gate import Gate
from gateway.console.security.headers import SecurityHeaders
from gateway.console.security.login import LOGIN_PATH, Login, RenderLogin, plain_login_page
from gateway.console.services import Services

RenderProblem = Callable[[Request, Problem], Response]
"""Returns the page that says what went wrong."""

API_PREFIX = "/api/"

_LOAD_AGAIN = (
    '<!doctype html><html lang="en"><meta http-equiv="refresh" content="0"><link rel="icon" href="data:,">'
    "<title>Webhook gateway</title></html>"
)

log = structlog.get_logger()


def console_app(
    services: Services,
    pages: Sequence[BaseRoute] = (),
    *,
    render_login: RenderLogin = plain_login_page,
    render_problem: RenderProblem | None = None,
) -> ASGIApp:
    """Return the application for the operator's listener.

    Args:
        services: What it works with.
        pages: The routes of the web pages.
        render_login: Renders the page with the login form.
        render_problem: Renders the page for a problem; by default it is a line of text.
    """
    failures = FailedLogins()
    login = Login(services.access, failures, render_login)
    inside = Router([*login.routes(), *pages], redirect_slashes=False, default=_not_found)
    api = Api(services, OPERATIONS)

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        await (api if scope["path"].startswith(API_PREFIX) else inside)(scope, receive, send)

    gate = Gate(choose, services.access, services.config, failures)
    return SecurityHeaders(_Problems(gate, render_problem or _plain_problem))


class _Problems:
    """Answers what was raised: a problem by itself, and anything else as a bug."""

    def __init__(self, app: ASGIApp, render: RenderProblem) -> None:
        self._app = app
        self._render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Problem as problem:
            answer = problem
        except OSError as error:  # of the console's own database; the journal's are caught where it is read
            log.warning("console storage unavailable", error=str(error))
            answer = Problem("storage_unavailable", str(error))
        except Exception:
            log.exception("console request failed", path=scope["path"])
            answer = Problem("internal")
        else:
            return
        if has_started:
            raise RuntimeError("the connection is closed: an answer has begun and cannot be taken back")
        await self._response(scope, answer)(scope, receive, send)

    def _response(self, scope: Scope, problem: Problem) -> Response:
        if scope["path"].startswith(API_PREFIX):
            return problem_response(problem, scope["path"])
        if problem.reason == "not_authenticated" and scope["method"] == "GET":
            return _lead_to_login(scope)
        response = self._render(Request(scope), problem)
        response.headers.update(problem.headers)
        return response


def _lead_to_login(scope: Scope) -> Response:
    if Request(scope).headers.get("sec-fetch-site") == "cross-site":
        # A link on another site: the browser leaves out the cookie, and sends it when the page loads itself again.
        return HTMLResponse(_LOAD_AGAIN)
    path, query = scope.get("raw_path", b"/").decode("latin-1"), scope["query_string"].decode("latin-1")
    return RedirectResponse(f"{LOGIN_PATH}?{urlencode({'next': f'{path}?{query}' if query else path})}", 303)


async def _not_found(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise Problem("not_found", "there is no such page")


def _plain_problem(_: Request, problem: Problem) -> Response:
    return PlainTextResponse(f"{problem.title}. {problem.detail}\n", problem.status)
