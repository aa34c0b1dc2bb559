"""How somebody wants the pages to look, kept in a cookie."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.console.pages.site import THEME_COOKIE, Site, local_path, redirect
from gateway.console.security.bodies import form_of

_YEAR = 365 * 86_400
"""Seconds for which the choice is kept."""


def routes(site: Site) -> list[Route]:
    """Return the route of the switch between light and dark."""

    async def choose_theme(request: Request) -> Response:
        form = {name: values[0] for name, values in form_of(request).items()}
        response = redirect(local_path(form.get("back", "/")))
        if (theme := form.get("theme", "")) in {"light", "dark"}:
            response.set_cookie(THEME_COOKIE, theme, max_age=_YEAR, path="/", samesite="strict")
        return response

    return [Route("/theme", site.page(choose_theme), methods=["POST"])]
