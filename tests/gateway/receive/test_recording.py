"""What the journal says about each request, and what it does not."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from gateway.app import Gateway
from gateway.config import Config
from gateway.events.message import Message
from gateway.journal.capture import CaptureRing
from gateway.journal.entry import Entry, Kind
from gateway.publishers import PublishUnavailable
from gateway.publishers.spool.publisher import SpoolingPublisher
from gateway.receive import context as context_module
from gateway.receive.credentials import MASK
from support.door import Door
from support.spies import SECRET, SpyClaims, SpyPublisher
from support.spooling import Broker
from support.waiting import wait_until_async

BODY = b'{"zen":"Design for failure.","repository":{"full_name":"octo/repo"}}'
REFUSALS = 50


class Office:
    """A gateway with a journal."""

    def __init__(self, folder: Path, publisher: Any = None, **settings: Any) -> None:
        self.folder = folder
        self.ring = CaptureRing()
        self.publisher = publisher or SpyPublisher([])
        github = settings.pop("github", {})
        self.config = Config.model_validate(
            {
                "data_dir": str(folder),
                "providers": {
                    "github": {"adapter": "github", "secrets": [SECRET + "old", SECRET], **github},
                    "stripe": {"adapter": "stripe", "secrets": [SECRET]},
                    "sendgrid": {"adapter": "cloudevents_query", "secrets": [SECRET]},
                },
                **settings,
            }
        )
        self.gateway = Gateway(
            self.config,
            folder,
            claims=SpyClaims([]),
            publisher=self.publisher,
            captures=self.ring,
        )
        self.client = httpx.AsyncClient(transport=Door(self.gateway), base_url="http://gateway.test")

    async def github(
        self, event_id: str = "1", body: bytes = BODY, key: str = SECRET, **headers: str
    ) -> httpx.Response:
        """Send one request as GitHub signs it."""
        fields = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "zen",
            "X-GitHub-Delivery": event_id,
            "X-Hub-Signature-256": "sha256=" + hmac.new(key.encode(), body, "sha256").hexdigest(),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return await self.client.post("/webhooks/github?token=hush", content=body, headers=fields)

    async def batch(self, *ids: str) -> httpx.Response:
        """Send a list of events."""
        events = [
            {"specversion": "1.0", "id": each, "source": "/acme", "type": "acme.order", "data": {}}
            for each in ids
        ]
        fields = {"Content-Type": "application/cloudevents-batch+json"}
        return await self.client.post(
            f"/webhooks/sendgrid?access_token={SECRET}", content=json.dumps(events).encode(), headers=fields
        )

    async def entries(self, count: int) -> list[Entry]:
        """Return all entries once there are so many."""
        return await wait_until_async(lambda: self._read(count), message=f"{count} entries are there")

    def _read(self, count: int) -> list[Entry]:
        lines = [
            line for path in self.folder.glob("journal/raw/*") for line in path.read_bytes().splitlines()
        ]
        return [msgspec.json.decode(line, type=Entry) for line in lines] if len(lines) >= count else []

    def dropped(self, stage: str) -> float:
        """Return how many entries were dropped."""
        text = self.gateway.metrics.render().decode()
        name = f'webhook_journal_dropped_total{{stage="{stage}"}} '
        return next(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


Open = Callable[..., Any]


@pytest.fixture
async def open_office(tmp_path: Path) -> AsyncIterator[Open]:
    """Starts gateways."""
    async with AsyncExitStack() as stack:

        async def open_office(**settings: Any) -> Office:
            office = Office(tmp_path, **settings)
            await office.gateway.start()
            stack.push_async_callback(office.gateway.stop)
            stack.push_async_callback(office.client.aclose)
            return office

        yield open_office


@pytest.fixture
async def office(open_office: Open) -> Office:
    """A gateway at its defaults."""
    made: Office = await open_office()
    return made


async def test_an_accepted_event_has_one_entry(office: Office) -> None:
    """With what its envelope shows, and what only the gateway knows."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert (await office.github(traceparent=trace)).status_code == 202

    (entry,) = await office.entries(1)
    assert (entry.kind, entry.outcome, entry.reason) == (Kind.RECEIVED, "accepted", "")
    assert (entry.provider, entry.type, entry.event_id) == ("github", "zen", "1")
    assert (entry.slot, entry.status, entry.size) == (1, 202, len(BODY))
    assert len(entry.key) == 8
    assert entry.client == "127.0.0.0/24"
    assert entry.trace == trace[3:35]
    assert entry.ms is not None
    assert entry.ms > 0
    envelope = json.loads(office.publisher.messages[0].body)
    shown = {name: envelope.get(name, "") for name in ("subject", "account", "summary")}
    assert {"subject": entry.subject, "account": entry.account, "summary": entry.summary} == shown
    assert entry.detail == ""
    assert SECRET not in repr(entry)


async def test_the_age_of_the_signed_moment_is_kept(office: Office) -> None:
    """It shows how close requests come to the tolerance."""
    moment = int(time.time()) - 100
    body = b'{"id":"evt_1","object":"event","type":"acme.thing","created":1,"data":{"object":{"id":"ob_1"}}}'
    signature = hmac.new(SECRET.encode(), b"%d.%b" % (moment, body), "sha256").hexdigest()
    fields = {"Content-Type": "application/json", "Stripe-Signature": f"t={moment},v1={signature}"}
    await office.client.post("/webhooks/stripe", content=body, headers=fields)

    (entry,) = await office.entries(1)
    assert entry.age is not None
    assert 99 < entry.age < 160
    assert entry.subject == "ob_1"


async def test_a_forgery_leaves_nothing_that_its_sender_chose(office: Office) -> None:
    """But its size, and the network that it came from."""
    answer = await office.github(
        "evt_forged", key="another", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    )
    assert answer.status_code == 401

    (entry,) = await office.entries(1)
    assert (entry.outcome, entry.reason, entry.provider) == (
        "invalid_signature",
        "signature_mismatch",
        "github",
    )
    assert (entry.status, entry.size, entry.client) == (401, len(BODY), "127.0.0.0/24")
    empty = (
        entry.type,
        entry.event_id,
        entry.subject,
        entry.account,
        entry.summary,
        entry.detail,
        entry.trace,
    )
    assert not any(empty)
    assert entry.slot is None


@pytest.mark.parametrize(
    "target", ["/webhooks/%1b%5b31m<script>", "/webhooks/" + "x" * 500, "/webhooks/githbu", "/else"]
)
async def test_a_path_that_leads_nowhere_is_not_kept(office: Office, target: str) -> None:
    """Anybody can ask for any path."""
    await office.client.post(target, content=b"")

    (entry,) = await office.entries(1)
    assert (entry.outcome, entry.provider, entry.detail) == ("unknown_provider", "", "")


async def test_a_flood_of_forgeries_has_a_few_entries(office: Office) -> None:
    """Of each provider; the rest is counted. Genuine events have all of theirs."""
    for _ in range(REFUSALS + 30):
        await office.github(key="another")
    await office.client.post("/webhooks/stripe", content=b"{}")
    await office.github("genuine")

    entries = await office.entries(REFUSALS + 2)
    assert [entry.outcome for entry in entries[-2:]] == ["invalid_signature", "accepted"]
    assert len(entries) + office.dropped("refused") == REFUSALS + 32
    assert office.dropped("refused") >= 20


async def test_what_is_genuine_and_refused_says_why(open_office: Open) -> None:
    """In words of the gateway, without a value."""
    office = await open_office(github={"on_invalid": "reject"})
    assert (await office.github("2", body=b'{"zen": ')).status_code == 400

    (entry,) = await office.entries(1)
    assert (entry.outcome, entry.event_id) == ("malformed_json", "")
    assert entry.slot == 1


async def test_repetitions_have_entries_of_their_own(office: Office) -> None:
    """As often as the event is sent."""
    for _ in range(3):
        await office.github("same")

    assert [entry.outcome for entry in await office.entries(3)] == ["accepted", "duplicate", "duplicate"]


async def test_ids_order_the_entries(office: Office) -> None:
    """Each is larger than the one before."""
    for number in range(20):
        await office.github(str(number))

    entries = await office.entries(20)
    assert [entry.event_id for entry in sorted(entries, key=lambda entry: entry.id)] == [
        str(number) for number in range(20)
    ]


async def test_the_events_of_a_list_name_its_entry(office: Office) -> None:
    """An event twice in it is one duplicate."""
    await office.batch("a", "b", "a")

    request, *events = await office.entries(4)
    assert request.detail == "3 events, 1 duplicate, 2 accepted"
    assert {(event.event_id, event.outcome) for event in events} == {
        ("a", "accepted"),
        ("b", "accepted"),
        ("a", "duplicate"),
    }
    assert {event.request for event in events} == {request.id}
    assert request.request is None


async def test_a_long_list_has_a_limited_number_of_entries(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its own entry says is complete, and the rest is counted."""
    monkeypatch.setattr(context_module, "MAX_NOTES", 5)
    await office.batch(*map(str, range(12)))

    request, *events = await office.entries(6)
    assert request.detail == "12 events, 12 accepted"
    assert len(events) == 5
    assert office.dropped("list") == 7


async def test_a_list_that_fails_says_of_which_events(office: Office) -> None:
    """Those that were not begun have no entry, and are none that a limit dropped."""
    office.publisher.bug = PublishUnavailable("away")
    assert (await office.batch(*map(str, range(150)))).status_code == 503

    await office.gateway.stop()
    request, *events = await office.entries(1)
    assert (request.outcome, request.request) == ("broker_unavailable", None)
    assert events
    assert {event.outcome for event in events} == {"broker_unavailable"}
    assert office.dropped("list") == 0


async def test_a_share_of_the_accepted_events_can_be_kept(open_office: Open) -> None:
    """And every failure."""
    office = await open_office(journal={"sample": 0.2})
    for number in range(100):
        await office.github(f"evt_{number}")
    for number in range(5):
        await office.github(f"evt_{number}", body=b"{")

    await office.gateway.stop()
    outcomes = [entry.outcome for entry in await office.entries(1)]
    assert outcomes.count("malformed_json") == 5
    assert 5 <= outcomes.count("accepted") <= 40


async def test_without_a_journal_nothing_is_written(open_office: Open) -> None:
    """Not even a folder."""
    office = await open_office(journal={"enabled": False})
    await office.github()
    await office.github(key="another")
    await office.gateway.stop()

    assert not (office.folder / "journal").exists()
    assert [record.outcome for record in office.ring.records()] == ["invalid_signature"]


@pytest.mark.parametrize(
    ("kept", "shown"), [("full", "127.0.0.1"), ("none", ""), ("network", "127.0.0.0/24")]
)
async def test_addresses_are_kept_as_the_configuration_says(open_office: Open, kept: str, shown: str) -> None:
    """In full, or not at all."""
    office = await open_office(journal={"addresses": kept})
    await office.github()

    assert [entry.client for entry in await office.entries(1)] == [shown]


async def test_an_event_that_waits_in_the_spool_is_followed_to_its_end(
    open_office: Open, tmp_path: Path
) -> None:
    """One entry when it is accepted, and one when the broker has it."""
    broker = Broker("away")
    noted: list[tuple[Message, float]] = []
    publisher = SpoolingPublisher(broker, tmp_path, 10**7, note_drained=lambda *each: noted.append(each))
    broker.has_been_ready = True
    office = await open_office(publisher=publisher)
    assert (await office.github("late")).status_code == 202
    (entry,) = await office.entries(1)
    assert (entry.outcome, entry.reason) == ("accepted", "spooled")

    broker.unavailable_reason = ""
    await wait_until_async(lambda: bool(noted))
    (message, waited) = noted[0]
    assert message.message_id == "late"
    assert waited >= 0


async def test_a_refused_request_is_kept_for_an_explanation(office: Office) -> None:
    """With its signature and without credentials, under the id of its entry."""
    await office.github("3", key="another", authorization="Bearer abc")

    (entry,) = await office.entries(1)
    (record,) = office.ring.records()
    headers = dict(record.headers)
    assert record.entry == entry.id
    assert (record.provider, record.outcome, record.reason) == (
        "github",
        "invalid_signature",
        "signature_mismatch",
    )
    assert (record.method, record.path, record.query) == ("POST", "/webhooks/github", b"token=***")
    assert record.body == BODY
    assert headers[b"x-hub-signature-256"].startswith(b"sha256=")
    assert headers[b"authorization"] == MASK


async def test_capture_can_be_switched_off(open_office: Open) -> None:
    """Then nothing is kept."""
    office = await open_office(capture="off")
    await office.github(key="another")
    await office.entries(1)

    assert office.ring.records() == []


async def test_a_journal_that_cannot_be_written_costs_no_event(open_office: Open, tmp_path: Path) -> None:
    """Its folder is a file."""
    (tmp_path / "journal").write_bytes(b"")
    office = await open_office()
    assert (await office.github()).status_code == 202

    await wait_until_async(lambda: office.dropped("disk") == 1)
