"""The console in a browser: accessible, at every width, in both schemes, by keyboard, without script, and inert."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from gateway.journal.entry import Entry, Kind, first_id_at
from support.browser import (
    NO_SCRIPT,
    PHONE_WIDTH,
    Complaints,
    Look,
    check_accessibility,
    check_width,
    screenshot,
)
from support.console_pages import PATHS, PagesConsole, stand_in_for_queues
from support.ports import free_port

LOOKS = (Look(), Look("dark", PHONE_WIDTH))
"""One look for each scheme and each width: colours and widths do not depend on each other."""

HOSTILE = (
    "<script>document.body.dataset.pwned=1</script>",
    '<img src=x onerror="document.body.dataset.pwned=1">',
    "\"'><svg onload=document.body.dataset.pwned=1>",
    "javascript:document.body.dataset.pwned=1",
    "{{constructor.constructor('document.body.dataset.pwned=1')()}}",
    "\u202egnp.exe \u2066 \x1b[31mred \x00 \ufeff",
)
"""Texts that become something else wherever a page lets them."""


class Site:
    """A console behind a listener.

    Attributes:
        console: The console.
        address: Its address.
    """

    def __init__(self, console: PagesConsole, address: str) -> None:
        self.console = console
        self.address = address
        self._sequence = 0

    def happen(self, outcome: str = "accepted", **fields: object) -> Entry:
        """Add an entry to the journal that is as new as can be."""
        self._sequence += 1
        given = {"provider": "stripe", "type": "invoice.paid", "summary": "Stripe: it happened", **fields}
        entry = Entry(first_id_at(time.time()) + self._sequence, Kind.RECEIVED, outcome, **given)  # type: ignore[arg-type]
        self.console.journal.append([entry])
        return entry


def _serve(folder: Path, text: str = "", port: int | None = None) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        stand_in_for_queues(patch, text=text)
        console = PagesConsole(folder, {"console": {"auth": "none"}}, is_empty=bool(text))
        with console.served(port) as address:
            yield Site(console, address)
        console.access.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A console on a day like any other."""
    yield from _serve(tmp_path_factory.mktemp("console"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_each_page_is_accessible_and_fits(
    site: Site, page: Page, look: Look, complaints: Complaints, path: str
) -> None:
    """Axe finds nothing, nothing has to be scrolled sideways, and the console of the browser is silent."""
    complaints.expect("404")  # the page of an event that nobody knows

    page.goto(site.address + path)

    expect(page.locator("main h1, main h2").first).to_be_visible()
    check_width(page)
    check_accessibility(page)
    screenshot(page, f"{re.sub(r'[^a-z0-9]+', '-', path.strip('/').lower()) or 'overview'}-{look}")


@pytest.mark.parametrize("look", [NO_SCRIPT], ids=str)
def test_all_but_the_tail_works_without_script(site: Site, page: Page) -> None:
    """Links and forms are real."""
    page.goto(site.address)
    page.get_by_role("link", name="Events", exact=True).click()
    page.get_by_role("link", name="Failed", exact=True).click()
    expect(page).to_have_url(re.compile("is%3Afailed"))
    page.locator(".list tbody a.title").first.click()
    expect(page.locator("h1")).to_be_visible()

    page.get_by_label("Search").fill("evt_1QxDemoStory")
    page.get_by_label("Search").press("Enter")
    expect(page.locator(".verdict")).to_contain_text("Handled by billing-agent at the second attempt")

    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.locator(".verdict")).to_be_visible()


def test_the_switch_is_remembered(site: Site, page: Page) -> None:
    """At once with the script, and on the next page."""
    page.goto(site.address)
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(f"{site.address}/providers")

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_the_keyboard_alone_is_enough(site: Site, page: Page) -> None:
    """Search, go, move, select, open, and back."""
    page.goto(site.address)
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page).to_have_url(f"{site.address}/events")

    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("tr.current")).to_have_count(1)
    expect(page.locator(".list tbody tr").nth(1)).to_have_class(re.compile("current"))
    page.keyboard.press("x")
    expect(page.locator("[data-bulk]")).to_contain_text("1 selected")
    page.keyboard.press("k")
    address = page.locator("tr.current a.title").get_attribute("href")
    assert address
    page.keyboard.press("Enter")
    expect(page).to_have_url(site.address + address)
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{site.address}/events")

    page.keyboard.press("/")
    page.keyboard.type("evt_1QxDemoStory")
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize("look", [Look(width=PHONE_WIDTH)], ids=str)
def test_the_navigation_opens_on_a_phone(site: Site, page: Page) -> None:
    """It covers the page, and closes with Escape."""
    page.goto(site.address)
    link = page.locator("nav").get_by_role("link", name="Queues")
    expect(link).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    expect(link).to_be_visible()
    page.keyboard.press("Escape")
    expect(link).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    link.click()

    expect(page.locator("h1")).to_have_text("Queues")


def test_a_bar_narrows_the_time(site: Site, page: Page) -> None:
    """The histogram is a filter."""
    page.goto(f"{site.address}/requests")
    page.locator(".chart a").nth(20).click()

    expect(page.locator(".chip.on")).to_have_count(2)
    expect(page).to_have_url(re.compile("since%3A.*until%3A"))


def test_events_appear_while_one_looks(site: Site, page: Page) -> None:
    """The tail shows what arrives, pauses, and goes on with what came meanwhile."""
    page.goto(f"{site.address}/live?q=account:live")
    expect(page.locator("[data-tail-state]")).to_have_text("Live")
    expect(page.get_by_text("The next event appears here by itself.")).to_be_visible()

    site.happen(event_id="evt_live_1", account="live", summary="Stripe: the first")
    expect(page.get_by_role("link", name="Stripe: the first")).to_be_visible()

    page.keyboard.press("p")
    site.happen(event_id="evt_live_2", account="live", summary="Stripe: the second")
    expect(page.locator("[data-tail-state]")).to_contain_text("1 waiting")
    expect(page.get_by_role("link", name="Stripe: the second")).to_be_hidden()
    page.keyboard.press("p")
    expect(page.get_by_role("link", name="Stripe: the second")).to_be_visible()
    check_accessibility(page)

    page.get_by_role("link", name="Stripe: the first").click()
    expect(page.locator("main code").first).to_have_text("evt_live_1")


def test_a_flood_is_counted_and_not_shown(site: Site, page: Page) -> None:
    """At most 50 rows a message; the rest is a number."""
    page.goto(f"{site.address}/live?q=account:flood")
    expect(page.locator("[data-tail-state]")).to_have_text("Live")
    first = first_id_at(time.time())
    site.console.journal.append(
        [
            Entry(first + number, Kind.RECEIVED, "accepted", provider="stripe", account="flood", event_id=f"evt_flood_{number}")
            for number in range(2000)
        ]
    )  # fmt: skip

    expect(page.locator("[data-missed]")).to_have_text(re.compile(r"^\+1,\d{3} not shown$"))
    assert page.locator(".list tbody tr").count() <= 200


def test_copying_the_ids_of_selected_events(site: Site, page: Page) -> None:
    """One a line, ready to paste."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{site.address}/events?q=provider:stripe")
    boxes = page.locator(".list tbody input[name=event]")
    ids = [(boxes.nth(index).get_attribute("value") or "").partition("/")[2] for index in (0, 1)]
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("button", name="Copy ids").click()
    expect(page.get_by_role("status").filter(has_text="Copied")).to_be_visible()

    assert page.evaluate("navigator.clipboard.readText()") == "\n".join(ids)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(tmp_path: Path, page: Page, complaints: Complaints, text: str) -> None:
    """In every field, on every page, from the server and through the tail."""
    complaints.expect("404")
    for site in _serve(tmp_path, text):
        entry = site.happen("dead", **dict.fromkeys(("provider", "type", "event_id", "subject", "account", "queue", "actor", "summary", "detail", "reason", "client", "trace", "gateway"), text))  # fmt: skip
        site.console.refuse(text, text, text.encode(), text)
        for path in ("/", "/events", "/requests", "/dead-letters", "/quarantine", "/quarantine/q1?tab=proposal", "/unrouted", "/queues", "/refusals"):  # fmt: skip
            page.goto(site.address + path)
            assert page.evaluate("document.body.dataset.pwned") is None
        page.goto(f"{site.address}/events")
        page.locator(".list tbody a.title").first.click()
        expect(page.locator("h1")).to_contain_text(text.split(maxsplit=1)[0].lstrip("\u202e"))
        assert page.evaluate("document.body.dataset.pwned") is None
        assert not page.locator("main a[href^='javascript:']").count()

        page.goto(f"{site.address}/live")
        expect(page.locator("[data-tail-state]")).to_have_text("Live")
        before = page.locator(".list tbody tr").count()
        site.happen("dead", **dict.fromkeys(("provider", "type", "event_id", "queue", "summary"), text))
        expect(page.locator(".list tbody tr")).to_have_count(before + 1)
        shown = page.locator(".list tbody tr").first.inner_text()
        assert page.evaluate("document.body.dataset.pwned") is None
        assert "\u202e" not in shown
        assert entry.event_id
        page.goto("about:blank")  # before the stream is cut off


@pytest.mark.parametrize("look", LOOKS, ids=str)
def test_the_login_is_accessible_and_fits(
    tmp_path: Path, page: Page, look: Look, complaints: Complaints
) -> None:
    """With the reason if a token is not known; a good one leads to the page that was asked for."""
    complaints.expect("401")
    console = PagesConsole(tmp_path, {}, is_empty=True)
    token = console.token("viewer")
    with console.served() as address:
        page.goto(f"{address}/events?q=outcome:dead")
        check_width(page)
        check_accessibility(page)
        screenshot(page, f"login-{look}")
        page.get_by_label("Token").fill("whgw_wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("There is no such token")
        check_accessibility(page)
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(f"{address}/events?q=outcome:dead")
        page.goto("about:blank")
    console.access.close()


def test_a_tail_that_loses_its_connection_says_so_and_goes_on(
    tmp_path: Path, page: Page, complaints: Complaints
) -> None:
    """It misses nothing of what happened meanwhile."""
    complaints.expect("ERR_|status of 5")
    port = free_port()
    for site in _serve(tmp_path, "text", port):
        page.goto(f"{site.address}/live?q=account:back")
        expect(page.locator("[data-tail-state]")).to_have_text("Live")
    expect(page.locator("[data-tail-state]")).to_have_text("Connection lost, trying again")
    for site in _serve(tmp_path, "text", port):
        site.happen(event_id="evt_back", account="back", summary="Stripe: back again")
        expect(page.locator("[data-tail-state]")).to_have_text("Live", timeout=30_000)
        expect(page.get_by_role("link", name="Stripe: back again")).to_be_visible()
        page.goto("about:blank")
