"""From `gateway dev` to a secret that can be removed: all of it through the console, in one browser."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from gateway.backends import open_journal
from gateway.config import Config
from gateway.journal import JOURNAL_FOLDER, Point
from gateway.journal.entry import Entry, Kind, first_id_at
from gateway.journal.fingerprints import Fingerprints
from support import senders
from support.browser import Complaints, screenshot
from support.gateway_process import GatewayProcess, Program, Secrets
from support.senders import post
from support.waiting import wait_until

AGENT = """
from pathlib import Path

from gateway.worker import Event, Worker

worker = Worker("billing-agent", ["acme.#"], attempts=1)


@worker.on("acme.order.*")
async def handle(event: Event) -> None:
    if Path("ledger-is-locked").exists():
        raise ValueError("a customer's name")
"""
SCHEMA = {"$id": "urn:acme:order:1", "type": "object", "properties": {"total": {"type": "integer"}}}
OLD_SECRET = "the-secret-before-the-rotation"
DAY = 86_400.0


class Dev:
    """`gateway dev` with its worker, and the browser of whoever tries it.

    Attributes:
        gateway: The gateway.
        worker: The worker, not started.
        page: The browser's page, logged in.
    """

    def __init__(self, folder: Path, page: Page) -> None:
        self.folder = folder
        self.page = page
        (folder / "agent.py").write_text(AGENT)
        (folder / "acme.json").write_text(json.dumps(SCHEMA))
        self.gateway = GatewayProcess(folder, Secrets(), command=("dev", "--no-samples"))
        content = json.loads(self.gateway.config.read_text())
        acme = content["providers"]["acme"]
        acme |= {"schema": "acme.json", "secrets": ["${ACME_WEBHOOK_SECRET}", OLD_SECRET]}
        self.gateway.config.write_text(json.dumps(content))
        self.worker = Program(
            folder,
            *("worker", "agent:worker", "--config", str(self.gateway.config)),
            extra=self.gateway.variables,
        )

    def open(self, path: str) -> Page:
        """Open a page of the console."""
        self.page.goto(self.gateway.admin_url + path)
        return self.page

    def order(self, **members: object) -> str:
        """Send an order; return the id of its event."""
        body = json.loads(senders.order()) | members
        delivery = senders.acme(self.gateway.secrets.acme, json.dumps(body).encode())
        assert post(self.gateway.url, delivery).is_success
        return delivery.event_id

    def seen_again(self, path: str, found: Locator) -> None:
        """Open a page until it has something: what happens is on the pages a moment later."""

        def is_there() -> bool:
            self.open(path)
            return found.count() > 0

        wait_until(is_there, message=f"{path} has {found}")

    def job_ends(self, text: str) -> None:
        """Wait for the end of the job whose page is open."""
        expect(self.page).to_have_url(re.compile("/jobs/"))
        expect(self.page.get_by_role("main")).to_contain_text(text)


@pytest.fixture
def dev(tmp_path: Path, page: Page) -> Iterator[Dev]:
    """A running `gateway dev`, ten days after the old secret was used last."""
    made = Dev(tmp_path, page)
    config = made.gateway.load()
    _remember_old_secret(config, time.time() - 10 * DAY)
    with made.gateway:
        yield made


def _remember_old_secret(config: Config, at: float) -> None:
    """Let the journal have what it would have if the old secret had signed a request at that moment."""
    fingerprint = Fingerprints(config.data_dir / JOURNAL_FOLDER).of(OLD_SECRET)
    journal = open_journal(config, writable=True)
    journal.append(
        [Entry(first_id_at(at), Kind.RECEIVED, "accepted", provider="acme", slot=0, key=fingerprint)]
    )
    journal.add_points([Point(at - at % 60, "acme", "slot:0", 1.0)])
    journal.close()


def test_a_first_hour_with_the_console(dev: Dev, complaints: Complaints) -> None:
    """Log in, see a sample, understand a refusal, release, redrive, and finish a rotation."""
    complaints.expect(r"404 .*/events/acme/")  # the journal is a moment behind
    _log_in(dev, complaints)
    _see_a_sample_live(dev)
    _understand_a_forgery(dev)
    _release_what_a_broken_schema_holds(dev)
    _redrive_what_a_worker_gave_up(dev)
    _finish_a_rotation(dev)


def _log_in(dev: Dev, complaints: Complaints) -> None:
    """By the link that the terminal shows, which works once; a browser that is too fast tries again by itself."""
    complaints.expect(r"503 .*/login")
    (link,) = wait_until(lambda: re.findall(r"http://\S+/login#once=\S+", dev.gateway.stdout))
    page = dev.page
    page.goto(link)
    expect(page.get_by_role("navigation").first).to_be_visible()
    expect(page).not_to_have_url(re.compile("once="))
    screenshot(page, "journey-1-overview")


def _see_a_sample_live(dev: Dev) -> None:
    """It is there without a reload; a click leads to its timeline."""
    page = dev.open("/live")
    with page.context.expect_page() as opened:
        page.evaluate("open('/send')")
    form = opened.value
    form.get_by_label("Provider").select_option("stripe")
    form.get_by_label("Type").fill("invoice.paid")
    form.get_by_role("button", name="Send").click()
    expect(form.get_by_role("main")).to_contain_text("202 accepted")
    where = form.get_by_role("link", name="Where is it?").get_attribute("href")
    form.close()
    assert where is not None
    event_id = where.rpartition("/")[2].rpartition("=")[2]

    row = page.get_by_role("row", name=re.compile("^accepted")).filter(has_text=event_id)
    expect(row).to_be_visible()
    screenshot(page, "journey-2-live")
    row.get_by_role("link").click()
    expect(page).to_have_title(re.compile(event_id))
    expect(page.get_by_role("list", name="Timeline")).to_contain_text("accepted", ignore_case=True)
    screenshot(page, "journey-3-event")


def _understand_a_forgery(dev: Dev) -> None:
    """The explanation says what was changed on the way."""
    page = dev.open("/send?tamper=body&provider=stripe")
    page.get_by_label("Provider").select_option("stripe")
    page.get_by_label("Tamper with").select_option("body")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("main")).to_contain_text("401 invalid_signature")
    expect(page.get_by_role("main")).to_contain_text("as expected")
    page.get_by_role("link", name="Why was it refused?").click()
    page.get_by_role("table").get_by_role("link").first.click()
    expect(page.get_by_role("region", name="Why")).to_contain_text("not valid")
    expect(page.get_by_role("region", name="What arrived")).to_contain_text("stripe-signature")
    screenshot(page, "journey-4-refusal")


def _release_what_a_broken_schema_holds(dev: Dev) -> None:
    """The proposal is written to the file as it stands, and what passes then is released."""
    event_id = dev.order(total=12.5)
    page = dev.page
    dev.seen_again("/quarantine", page.get_by_role("link", name=re.compile("total")))
    page.get_by_role("link", name=re.compile("total")).click()
    page.get_by_role("link", name="Propose a schema").click()
    expect(page.get_by_label("Difference to the schema in force")).to_contain_text('"number"')
    screenshot(page, "journey-5-proposal")
    schema = page.get_by_label("A schema in YAML or JSON")
    proposed = schema.input_value()
    page.get_by_role("button", name="How many would pass?").click()
    expect(page.get_by_role("main")).to_contain_text("1 of 1")

    (dev.folder / "acme.json").write_text(json.dumps(_document(proposed)))
    page.get_by_role("button", name=re.compile("Release up to")).click()
    dev.job_ends("1")
    dev.seen_again(f"/events/acme/{event_id}", page.get_by_text(re.compile("released", re.IGNORECASE)))
    screenshot(page, "journey-6-released")


def _document(text: str) -> object:
    import yaml

    return yaml.safe_load(text)


def _redrive_what_a_worker_gave_up(dev: Dev) -> None:
    """A worker that was killed handles the event when it is back, and the timeline says so."""
    page, locked = dev.page, dev.folder / "ledger-is-locked"
    locked.touch()
    with dev.worker:
        wait_until(lambda: "worker started" in dev.worker.stdout)
        event_id = dev.order(total=3)
        dead = page.get_by_role("article", name=re.compile("ValueError"))
        # A worker that is killed takes the reports of its last second along.
        dev.seen_again(
            f"/events/acme/{event_id}", page.get_by_text(re.compile("failed at the first attempt"))
        )
        dev.seen_again("/dead-letters?queue=billing-agent", dead)
        dev.worker.kill()
    locked.unlink()
    expect(dead).to_contain_text("agent.py")
    screenshot(page, "journey-7-dead-letters")
    dead.get_by_role("button", name=re.compile("Redrive all")).click()
    dev.job_ends("1 of 1")

    with dev.worker:
        dev.seen_again(f"/events/acme/{event_id}", page.get_by_text(re.compile("Handled by billing-agent")))
    timeline = page.get_by_role("list", name="Timeline")
    expect(timeline).to_contain_text("ValueError")
    expect(timeline).not_to_contain_text("a customer's name")
    screenshot(page, "journey-8-handled")


def _finish_a_rotation(dev: Dev) -> None:
    """Twenty requests with the new secret prove that nobody needs the old one."""
    page = dev.open("/providers/acme")
    old = page.get_by_role("table", name=re.compile("Secrets")).get_by_role("row").nth(2)
    expect(old).not_to_contain_text("Safe to remove")
    for _ in range(20):
        dev.order(total=1)
    dev.seen_again("/providers/acme", old.filter(has_text="Safe to remove"))
    assert OLD_SECRET not in page.content()
    screenshot(page, "journey-9-rotation")
