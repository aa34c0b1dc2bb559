"""A real browser: Playwright drives the Chromium of the system and downloads nothing.

What a page says on its console, raises, violates of its Content-Security-Policy or asks of another host is a
:class:`Complaint`, and a complaint that nobody expected fails the test.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    WebError,
    expect,
    sync_playwright,
)

from support.programs import locate_one_of

CHROMIUM = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
"""What distributions call it."""

PHONE_WIDTH = 390
DESKTOP_WIDTH = 1280
_HEIGHT = 900

ACTION_TIMEOUT = 30_000
"""Milliseconds to wait for an element: many times what an idle machine needs, for one that is not."""

expect.set_options(timeout=ACTION_TIMEOUT)

SCREENSHOTS = "WEBHOOK_SCREENSHOTS"
"""The environment variable that names the folder for screenshots; without it none are taken."""

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
_LOCAL_SCHEMES = ("about", "data", "blob")

# The console of Chromium is one of its voices only: of a policy that merely reports it says nothing.
_REPORT_VIOLATIONS = """
addEventListener('securitypolicyviolation', event => console.error(
    `securitypolicyviolation: ${event.effectiveDirective} blocks ${event.blockedURI} in ${event.sourceFile}`));
"""


class Look(NamedTuple):
    """How somebody looks at a page. A test with the parameter `look` gets its `context` and `page` so.

    Attributes:
        scheme: `light` or `dark`.
        width: The width of the window in CSS pixels.
        script: Whether scripts run.
    """

    scheme: str = "light"
    width: int = DESKTOP_WIDTH
    script: bool = True

    def __str__(self) -> str:
        """Name it for the id of a test and the file of a screenshot."""
        return f"{self.scheme}-{self.width}" + ("" if self.script else "-no-script")


LOOKS = (Look(), Look("dark"), Look("light", PHONE_WIDTH), Look("dark", PHONE_WIDTH))
"""All that a page has to look well in."""

NO_SCRIPT = Look(script=False)


class ComplaintError(AssertionError):
    """A page complained, and the test did not expect it."""


class Complaints:
    """What the pages of one test complained about."""

    def __init__(self) -> None:
        self._heard: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def expect(self, pattern: str) -> None:
        """Forgive complaints in which the regular expression is found, before and after."""
        self._expected.append(re.compile(pattern))

    @property
    def unexpected(self) -> list[str]:
        """What nobody expected, in the order in which it came."""
        return [text for text in self._heard if not any(one.search(text) for one in self._expected)]

    def listen_to(self, context: BrowserContext) -> None:
        """Hear what all pages of a context complain about."""
        context.add_init_script(_REPORT_VIOLATIONS)
        context.on("console", self._on_console)
        context.on("weberror", self._on_error)
        context.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        place = message.location.get("url", "")
        self._heard.append(f"console {message.type}: {message.text} ({place})")

    def _on_error(self, error: WebError) -> None:
        self._heard.append(f"page error: {error.error}")

    def _on_request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in _LOCAL_SCHEMES and address.hostname not in _LOOPBACK:
            self._heard.append(f"request to another host: {request.url}")

    def check(self) -> None:
        """Raise if a page complained.

        Raises:
            ComplaintError: It did.
        """
        if self.unexpected:
            raise ComplaintError("the page complained:\n" + "\n".join(self.unexpected))


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a Chromium, and end it.

    While it runs, this thread counts as running an event loop: asynchronous tests and fixtures cannot.
    """
    options = ["--disable-gpu", "--disable-dev-shm-usage"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=locate_one_of(*CHROMIUM), args=options)
        try:
            yield browser
        finally:
            browser.close()


def open_context(browser: Browser, look: Look, complaints: Complaints) -> BrowserContext:
    """Open a window's worth of cookies and storage, and listen to its pages."""
    context = browser.new_context(
        color_scheme="dark" if look.scheme == "dark" else "light",
        java_script_enabled=look.script,
        viewport={"width": look.width, "height": _HEIGHT},
        reduced_motion="reduce",
        service_workers="block",
        accept_downloads=True,
    )
    context.set_default_timeout(ACTION_TIMEOUT)
    complaints.listen_to(context)
    return context


def settle(context: BrowserContext) -> None:
    """Return when all that the pages have said so far was heard."""
    for page in context.pages:
        if not page.is_closed():
            page.evaluate("1")


def check_accessibility(page: Page, *ignored_rules: str) -> None:
    """Let axe look at the page as it is now, and fail on what it finds.

    Raises:
        AssertionError: There are violations.
    """
    options = {
        "resultTypes": ["violations"],
        "rules": {rule: {"enabled": False} for rule in ignored_rules},
    }
    found = Axe().run(page, options=options)
    assert found.violations_count == 0, found.generate_report()


def check_width(page: Page) -> None:
    """Fail if the page has to be scrolled sideways.

    Raises:
        AssertionError: It is wider than its window.
    """
    wide, window = page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide <= window, f"{page.url} is {wide} pixels wide in a window of {window}"


def screenshot(page: Page, name: str) -> Path | None:
    """Keep a picture of the whole page for people to look at, if the environment names a folder for it."""
    if not (folder := os.environ.get(SCREENSHOTS)):
        return None
    path = Path(folder) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, full_page=True)
    return path
