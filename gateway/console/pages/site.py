"""What all pages share: the services, the templates, the navigation, and what a page says when something fails."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway import __version__
from gateway.console.pages.assets import Assets
from gateway.console.pages.charts import spark
from gateway.console.pages.current import Current
from gateway.console.pages.navigation import navigation
from gateway.console.pages.remembered import Remembered
from gateway.console.pages.rendering import make_environment
from gateway.console.problems import REASONS
from gateway.console.security.cross_site import csrf_token
from gateway.console.security.headers import timed
from gateway.console.security.roles import Principal, Role
from gateway.console.services import Services
from gateway.errors import OperatorError
from gateway.operations.outbound import Refused
from gateway.outbound.store import StoreUnavailable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Page = Callable[[Request], Awaitable[Response]]

THEME_COOKIE = "theme"
"""The cookie with `light` or `dark`; the script writes it, too."""


_WORTH_COMPRESSING = 1400
"""Bytes of a page that fit into one packet anyway."""

_LEVEL = 4
"""The level of gzip: 85 KB in 1 ms, to an eighth. Higher ones take twice the time for a twentieth less."""


class Message(NamedTuple):
    """What the last action did, above the page.

    Attributes:
        tone: Its tone.
        text: A sentence.
    """

    tone: str
    text: str


MESSAGES = {
    "redelivered": Message("good", "The event was published again. Its next entries appear in the timeline."),
    "forgotten": Message("good", "The texts of the event were erased from the journal."),
    "sent": Message(
        "good", "The sample was sent. It appears here as soon as it is indexed, in a second or two."
    ),
    "revoked": Message("good", "The token was revoked. Sessions that began with it have ended."),
    "endpoint_changed": Message("good", "The endpoint was changed. The next attempt is made as it says now."),
    "endpoint_deleted": Message("info", "The endpoint was deleted, and what waited for it was cancelled."),
    "secret_ended": Message("good", "The secret has ended: no request is signed with it any more."),
    "enabled": Message("good", "The endpoint is enabled. What waits for it is delivered from now on."),
    "paused": Message("info", "The endpoint is paused. What it would get waits until it is enabled again."),
    "disabled": Message("info", "The endpoint is disabled. What it would get is held."),
    "delivery_renewed": Message(
        "good", "A new round of attempts begins, with the same id and the same bytes."
    ),
    "delivery_tried": Message(
        "good", "One attempt is made, with the same id and the same bytes. If it fails, the delivery is dead."
    ),
    "delivery_cancelled": Message("info", "The delivery is cancelled. It can be redelivered later."),
    "cancelled": Message("info", "The job stops after the event that it is working on."),
}
"""What an action may say on the page that follows it. Only these: the address is not believed."""


class Site:
    """The pages of one console.

    Args:
        services: What the pages read and do.

    Attributes:
        services: As above.
        assets: Style and script.
        current: The last known status.
        remembered: Answers that are not asked for again for some seconds.
    """

    def __init__(self, services: Services) -> None:
        self.services = services
        self.assets = Assets()
        self._environment = make_environment(self.assets)
        self.current = Current(services)
        self.remembered = Remembered()

    async def ask(
        self,
        request: Request,
        part: str,
        function: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Call what may wait for a disk on a thread, and add the time to that of ``part`` in `Server-Timing`."""
        with timed(request, part):
            return await asyncio.to_thread(function, *args, **kwargs)

    def render(self, request: Request, name: str, status: int = 200, **context: Any) -> HTMLResponse:
        """Return a page."""
        with timed(request, "render"):
            text = self.text(request, name, **context)
            return _response(request, text, status, is_secret=bool(context.get("is_secret")))

    def text(self, request: Request, name: str, **context: Any) -> str:
        """Return the HTML of a page."""
        principal: Principal | None = getattr(request.state, "principal", None)
        common = {
            "address_here": _address(request),
            "csrf_token": csrf_token(request) if principal else "",
            "here": _place(request),
            "make_spark": spark,
            "may": lambda role: principal is not None and principal.role.includes(Role(role)),
            "message": MESSAGES.get(request.query_params.get("done", "")),
            "navigation": navigation(self.current.waiting),
            "now": time.time(),
            "principal": principal,
            "search_text": "",
            "title": "",
            "theme": _theme(request),
            "version": __version__,
        }
        return self._environment.get_template(name).render(common | context)

    def trouble(self, request: Request, error: Exception) -> HTMLResponse:
        """Return the page that says why another one cannot be shown."""
        if isinstance(error, StoreUnavailable):
            reason = f"The database of endpoints and deliveries cannot be used: {error}"
            return self.render(request, "trouble.html", 503, reason=reason)
        if isinstance(error, Refused):
            status, title = REASONS[error.reason]
            return self.render(request, "trouble.html", status, title=title, reason=str(error))
        if isinstance(error, OSError):
            place = f"{error.filename}: " if error.filename else ""
            reason = f"{place}{error.strerror or error}"
            return self.render(request, "journal_trouble.html", 503, reason=reason)
        if request.method == "POST":
            return self.render(request, "trouble.html", 422, title="It was not done", reason=str(error))
        return self.render(request, "trouble.html", 503, reason=str(error))

    def page(self, handler: Page) -> Page:
        """Wrap a page so that it says what is wrong where the journal or a server cannot be read."""

        async def shown(request: Request) -> Response:
            try:
                return await handler(request)
            except (OSError, OperatorError) as error:
                return self.trouble(request, error)

        return shown


def _response(request: Request, text: str, status: int, *, is_secret: bool) -> HTMLResponse:
    """Return a page, compressed if it pays.

    The length of a compressed page reveals its content (BREACH) only to an attacker who can make a browser request it many
    times. No other site can: the cookies are `SameSite=Strict`. Pages with the values of a payload are not compressed even so.
    """
    content = text.encode()
    wants_gzip = "gzip" in request.headers.get("accept-encoding", "")
    if is_secret or not wants_gzip or len(content) < _WORTH_COMPRESSING:
        return HTMLResponse(content, status)
    headers = {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return HTMLResponse(gzip.compress(content, _LEVEL, mtime=0), status, headers)


def redirect(path: str) -> RedirectResponse:
    """Return the answer to a form: where to look now."""
    return RedirectResponse(path, 303)


def local_path(text: str) -> str:
    """Return a path to go back to, or the first page if it would lead to another site."""
    is_local = text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if is_local else "/"


def _theme(request: Request) -> str:
    theme = request.cookies.get(THEME_COOKIE, "")
    return theme if theme in {"light", "dark"} else ""


def _address(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _place(request: Request) -> str:
    first = request.url.path.split("/")[1] if request.url.path != "/" else ""
    if first in {"event", "entries", "search"}:
        return "/events"
    return "/deliveries" if first == "replays" else f"/{first}"


def first_values(fields: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the first value of each field of a form."""
    return {name: values[0] for name, values in fields.items()}
