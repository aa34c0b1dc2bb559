"""The pages that need no login: the login itself, and the pages of errors."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from gateway.console.pages.site import Site
from gateway.console.problems import Problem
from gateway.console.security.login import LoginPage


def login_page(site: Site, request: Request, page: LoginPage) -> str:
    """Return the page with the login form."""
    return site.text(request, "login.html", page=page)


def problem_page(site: Site, request: Request, problem: Problem) -> Response:
    """Return the page that says why a request was refused; without the navigation for somebody who is not in."""
    is_known = getattr(request.state, "principal", None) is not None
    return site.render(
        request, "problem.html" if is_known else "problem_alone.html", problem.status, problem=problem
    )
