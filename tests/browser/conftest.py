"""A browser for the tests of pages.

Tests here are ordinary functions: while the browser runs, its thread counts as running an event loop, so that
asynchronous tests and fixtures cannot. A server under test runs in a thread or a process of its own.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from support.browser import CHROMIUM, Complaints, Look, chromium, open_context, settle
from support.requirements import require_one_of


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fail a test whose pages complained, once it has passed otherwise."""
    result = yield
    complaints = pyfuncitem.funcargs.get("complaints")
    if isinstance(complaints, Complaints):
        context = pyfuncitem.funcargs.get("context")
        if isinstance(context, BrowserContext):
            settle(context)
        complaints.check()
    return result


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for a module: asynchronous tests of the next one could not run beside it."""
    require_one_of(*CHROMIUM)
    with chromium() as browser:
        yield browser


@pytest.fixture
def complaints() -> Complaints:
    """What the pages of the test complain about; a test that provokes something says so with `expect`."""
    return Complaints()


@pytest.fixture
def look(request: pytest.FixtureRequest) -> Look:
    """How the test looks at pages; a parameter of this name replaces it, see `support.browser.LOOKS`."""
    return Look()


@pytest.fixture
def context(browser: Browser, complaints: Complaints, look: Look) -> Iterator[BrowserContext]:
    """A context of its own: no cookies, no storage."""
    context = open_context(browser, look, complaints)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """An empty page."""
    return context.new_page()
