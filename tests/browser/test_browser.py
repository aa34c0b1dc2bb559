"""The browser that the other tests of this folder lean on: what a page complains about fails its test."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from support.browser import (
    LOOKS,
    NO_SCRIPT,
    SCREENSHOTS,
    ComplaintError,
    Complaints,
    Look,
    check_accessibility,
    check_width,
    screenshot,
)

STRICT = "default-src 'none'; script-src 'self'; style-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'"
SOUND = (
    "<!doctype html><html lang=en><title>Sound</title><meta name=viewport content='width=device-width'>"
    "<main><h1>Sound</h1>{}</main>"
)
PAGES = {
    "/sound": SOUND.format(""),
    "/script": SOUND.format("<p id=said>silent</p><script src=/said.js></script>"),
    "/inline": SOUND.format("<script>document.title = 'ran'</script>"),
    "/talks": SOUND.format("<script src=/talks.js></script>"),
    "/fails": SOUND.format("<script src=/fails.js></script>"),
    "/elsewhere": SOUND.format("<a href=http://192.0.2.1/>away</a>"),
    "/wide": SOUND.format("<link rel=stylesheet href=/wide.css><p>wide</p>"),
    "/unnamed": SOUND.format("<button></button>"),
    "/said.js": "document.getElementById('said').textContent = matchMedia('(prefers-color-scheme: dark)').matches"
    " ? 'dark' : 'light'",
    "/talks.js": "console.log('hello')",
    "/fails.js": "throw new Error('broken')",
    "/wide.css": "p { width: 600px }",
}
KINDS = {".js": "text/javascript", ".css": "text/css"}


class _Site(BaseHTTPRequestHandler):
    """A few pages under the strictest policy."""

    kinds: ClassVar = KINDS

    def do_GET(self) -> None:
        """Answer with the page of this path."""
        found = PAGES.get(self.path)
        body = (found or SOUND.format("")).encode()
        self.send_response(200 if found or self.path == "/favicon.ico" else 404)
        self.send_header("Content-Type", self.kinds.get(Path(self.path).suffix, "text/html; charset=utf-8"))
        self.send_header("Content-Security-Policy", STRICT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of the pages."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Site) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_sound_page_passes(page: Page, site: str) -> None:
    """Under a strict policy, axe included."""
    page.goto(f"{site}/sound")
    check_accessibility(page)
    check_width(page)


@pytest.mark.parametrize("path", ["talks", "fails", "inline", "missing"])
@pytest.mark.xfail(strict=True, raises=ComplaintError)
def test_a_page_that_complains_fails_its_test(page: Page, site: str, path: str) -> None:
    """By a message, an exception, a violation of its policy or a resource that is not there."""
    page.goto(f"{site}/{path}")


@pytest.mark.xfail(strict=True, raises=ComplaintError)
def test_a_complaint_of_a_page_in_another_window_counts(context: BrowserContext, site: str) -> None:
    """A link may open one."""
    context.new_page().goto(f"{site}/sound")
    context.new_page().goto(f"{site}/talks")


def test_a_violation_is_heard_from_the_page_itself(page: Page, complaints: Complaints, site: str) -> None:
    """Not only from the browser's console."""
    page.goto(f"{site}/inline")
    expect(page).to_have_title("Sound")
    assert any("securitypolicyviolation: script-src" in text for text in complaints.unexpected)
    complaints.expect("script-src")


def test_a_request_to_another_host_is_a_complaint(page: Page, complaints: Complaints, site: str) -> None:
    """A console that works without the network asks nobody else."""
    page.route("http://192.0.2.1/", lambda route: route.fulfill(body=SOUND.format("")))
    page.goto(f"{site}/elsewhere")
    page.get_by_role("link").click()
    expect(page.get_by_role("heading")).to_have_text("Sound")
    assert any("192.0.2.1" in text for text in complaints.unexpected)
    complaints.expect("another host")


def test_an_expected_complaint_is_forgiven_and_no_other(
    complaints: Complaints, page: Page, site: str
) -> None:
    """A page for what does not exist is answered with 404, which Chromium reports."""
    complaints.expect("404")
    page.goto(f"{site}/missing")
    complaints.check()
    page.goto(f"{site}/talks")
    expect(page.get_by_role("heading")).to_be_visible()
    with pytest.raises(ComplaintError, match="hello"):
        complaints.check()
    complaints.expect("hello")


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_a_page_is_seen_as_the_look_says(page: Page, look: Look, site: str) -> None:
    """Its scheme and its width."""
    page.goto(f"{site}/script")
    expect(page.locator("#said")).to_have_text(look.scheme)
    assert page.evaluate("innerWidth") == look.width


@pytest.mark.parametrize("look", [NO_SCRIPT], ids=str)
def test_a_page_can_be_seen_without_scripts(page: Page, look: Look, site: str) -> None:
    """As by readers who switch them off."""
    page.goto(f"{site}/script")
    expect(page.locator("#said")).to_have_text("silent")


@pytest.mark.parametrize("look", [Look(width=390)], ids=str)
def test_a_page_that_is_too_wide_is_found(page: Page, look: Look, site: str) -> None:
    """A phone would have to scroll it sideways."""
    page.goto(f"{site}/wide")
    with pytest.raises(AssertionError, match="wide in a window of 390"):
        check_width(page)


def test_axe_finds_what_cannot_be_read(page: Page, site: str) -> None:
    """A button without a name."""
    page.goto(f"{site}/unnamed")
    with pytest.raises(AssertionError, match="button-name"):
        check_accessibility(page)
    check_accessibility(page, "button-name")


def test_a_screenshot_is_kept_only_where_asked(
    page: Page, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder that the environment names."""
    page.goto(f"{site}/sound")
    monkeypatch.delenv(SCREENSHOTS, raising=False)
    assert screenshot(page, "sound") is None
    monkeypatch.setenv(SCREENSHOTS, str(tmp_path / "shots"))
    kept = screenshot(page, "sound")
    assert kept is not None
    assert kept.read_bytes().startswith(b"\x89PNG")
