"""The pages of the console: routes that read and act through :mod:`gateway.operations`, and templates."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.console.pages import (
    acts,
    deliveries,
    delivery_replays,
    doors,
    endpoint_forms,
    endpoints,
    event,
    finding,
    jobs,
    listing,
    live,
    overview,
    preferences,
    providers,
    queues,
    redelivering,
    refusals,
    replaying,
    sending,
    settings,
    waiting,
)
from gateway.console.pages.assets import PREFIX
from gateway.console.pages.site import Site
from gateway.console.problems import Problem
from gateway.console.security.login import LoginPage
from gateway.console.services import Services

_MODULES = (
    overview,
    listing,
    finding,
    event,
    live,
    waiting,
    refusals,
    providers,
    endpoint_forms,
    endpoints,
    deliveries,
    delivery_replays,
    queues,
    replaying,
    redelivering,
    sending,
    settings,
    jobs,
    acts,
    preferences,
)


class Pages:
    """All pages of one console.

    Args:
        services: What they read and do.
    """

    def __init__(self, services: Services) -> None:
        self.site = Site(services)

    def routes(self) -> list[BaseRoute]:
        """Return the routes of all pages, and of style and script."""
        found: list[BaseRoute] = [Route(f"{PREFIX}{{name}}", self.site.assets.serve)]
        for module in _MODULES:
            found += module.routes(self.site)
        return found

    def render_login(self, request: Request, page: LoginPage) -> str:
        """Return the page with the login form."""
        return doors.login_page(self.site, request, page)

    def render_problem(self, request: Request, problem: Problem) -> Response:
        """Return the page that says why a request was refused."""
        return doors.problem_page(self.site, request, problem)


def routes(services: Services) -> list[BaseRoute]:
    """Return the routes of all pages of a console."""
    return Pages(services).routes()
