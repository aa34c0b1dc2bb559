"""Into the console and out again, in a browser: by link, by token, without script, and from a link on another site."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect

from gateway.console.security.roles import Role
from support.browser import NO_SCRIPT, Complaints, check_accessibility
from support.console_pages import PagesConsole, stand_in_for_queues


class Site:
    """A console that wants to know who one is."""

    def __init__(self, console: PagesConsole, address: str) -> None:
        self.console = console
        self.address = address

    def link(self) -> str:
        """Return a new login link."""
        return self.console.access.login_link(self.address, "ops", Role.ADMIN)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A console behind a listener."""
    with pytest.MonkeyPatch.context() as patch:
        stand_in_for_queues(patch)
        console = PagesConsole(tmp_path_factory.mktemp("console"), {})
        with console.served() as address:
            yield Site(console, address)
        console.access.close()


def test_a_link_logs_in_once(site: Site, page: Page, complaints: Complaints) -> None:
    """Its code does not stay in the address; a second use explains itself."""
    link = site.link()
    page.goto(link)
    expect(page).to_have_url(f"{site.address}/")
    cookie = page.context.cookies()[0]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")

    page.context.clear_cookies()
    complaints.expect("401")
    page.goto(link)
    expect(page.get_by_text("has been used")).to_be_visible()
    assert "once" not in page.url
    check_accessibility(page)


@pytest.mark.parametrize("look", [NO_SCRIPT], ids=str)
def test_a_token_logs_in_without_script(site: Site, page: Page) -> None:
    """And leads to where one wanted to go; out again, nothing is left."""
    page.goto(f"{site.address}/providers")
    expect(page).to_have_url(f"{site.address}/login?next=%2Fproviders")
    page.get_by_label("Token").fill(site.console.token("viewer"))
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{site.address}/providers")


def test_logging_out_ends_the_session(site: Site, page: Page) -> None:
    """On the server, too."""
    page.goto(site.link())
    expect(page).to_have_url(f"{site.address}/")
    cookies = page.context.cookies()
    page.goto(f"{site.address}/settings")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{site.address}/login")
    page.context.add_cookies(cookies)  # type: ignore[arg-type]  # as they were read
    page.goto(f"{site.address}/")
    expect(page).to_have_url(f"{site.address}/login?next=%2F")


def test_a_link_on_another_site_leads_to_the_page(site: Site, page: Page) -> None:
    """Though the browser leaves out the cookie at first: nobody has to log in again for a colleague's link."""
    page.goto(site.link())
    expect(page).to_have_url(f"{site.address}/")
    with another_site(f'<a href="{site.address}/providers?window=7d">look</a>') as other:
        page.goto(other)
        page.get_by_text("look").click()
        expect(page).to_have_url(f"{site.address}/providers?window=7d")
        expect(page.get_by_role("heading", level=1)).to_have_text("Providers")


def test_a_form_on_another_site_does_nothing(site: Site, page: Page, complaints: Complaints) -> None:
    """Neither with the session nor to begin one."""
    page.goto(site.link())
    expect(page).to_have_url(f"{site.address}/")
    forms = "".join(
        f'<form method="post" action="{site.address}{path}"><button>{path}</button></form>'
        for path in ("/logout", "/login")
    )
    with another_site(forms) as other:
        for path in ("/logout", "/login"):
            page.goto(other)
            complaints.expect("40[13]")
            with page.expect_navigation():
                page.get_by_role("button", name=path).click()
    page.goto(f"{site.address}/")
    expect(page).to_have_url(f"{site.address}/")


@contextmanager
def another_site(body: str) -> Iterator[str]:
    """Serve a page under another name, `localhost`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f"<!doctype html><title>x</title><link rel=icon href='data:,'>{body}".encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
