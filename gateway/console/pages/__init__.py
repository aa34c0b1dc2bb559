"""The pages of the console: routes that read and act through :mod:`gateway.operations`, and templates."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route

from gateway.console.pages import event, listing, overview, preferences
from gateway.console.pages.assets import PREFIX
from gateway.console.pages.site import Site
from gateway.console.services import Services


def routes(services: Services) -> list[BaseRoute]:
    """Return the routes of all pages."""
    return Pages(services).routes()


class Pages:
    """All pages of one console.

    Args:
        services: What they read and do.
    """

    def __init__(self, services: Services) -> None:
        self.site = Site(services)

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        found: list[BaseRoute] = [Route(f"{PREFIX}{{name}}", self.site.assets.serve)]
        for module in (overview, listing, event, preferences):
            found += module.routes(self.site)
        return found
