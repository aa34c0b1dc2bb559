"""The journal agrees with what happened, event by event: the gateway, the broker and a worker as processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from gateway.backends import open_journal
from gateway.config.discovery import load_without_secrets
from gateway.journal import Journal
from gateway.journal.entry import Entry, Kind
from gateway.journal.query import Query
from support import senders
from support.gateway_process import GatewayProcess, Program, Secrets
from support.senders import Delivery, RetryingSender
from support.waiting import PATIENCE, wait_until

EVENTS = 2_000
_AGENT = """
from gateway.worker import Event, Retry, Worker

worker = Worker("agent", ["acme.#"], retry_from=0.1, retry_most=0.1)

@worker.on("#")
async def handle(event: Event) -> None:
    if event.attempts == 1 and int(event.data["id"][-1], 16) == 0:
        raise Retry("one in sixteen")
    event.outcome("noted")
"""


def entries_of(journal: Journal, kind: Kind) -> Iterator[Entry]:
    """Yield all entries of a kind."""
    before = None
    while True:
        page = journal.find(Query(kinds=(kind,)), before=before, limit=1_000, budget=PATIENCE)
        yield from page.entries
        before = page.next
        if before is None:
            return


def test_every_event_has_its_entries(
    tmp_path: Path, fresh_secrets: Secrets, redis_url: str, rabbitmq_url: str
) -> None:
    """Without faults: one receipt for each request, and one entry for each attempt to handle its event."""
    (tmp_path / "agent.py").write_text(_AGENT)
    gateway = GatewayProcess(tmp_path, fresh_secrets, redis_url=redis_url, rabbitmq_url=rabbitmq_url)
    with gateway:
        words = ("worker", "agent:worker", "--config", str(gateway.config))
        with Program(tmp_path, *words, extra=gateway.variables) as worker:
            worker.wait_for("worker started")

            def order() -> Delivery:
                return senders.acme(fresh_secrets.acme, senders.order())

            with RetryingSender(gateway.url, order, senders=4) as sender:
                wait_until(lambda: len(sender.accepted) >= EVENTS, message="the events are accepted")
            again = list(sender.accepted.values())[:50]
            duplicates = [senders.post(gateway.url, each).json()["status"] for each in again]
            forged = senders.post(gateway.url, again[0].tampered())
            config = load_without_secrets(gateway.config)
            data_dir = gateway.directory / config.data_dir
            journal = open_journal(config.model_copy(update={"data_dir": data_dir}), writable=False)

            def is_complete() -> bool:
                done = {
                    each.event_id for each in entries_of(journal, Kind.HANDLED) if each.outcome == "handled"
                }
                requests = sum(1 for _ in entries_of(journal, Kind.RECEIVED))
                return done >= sender.accepted.keys() and requests >= len(sender.accepted) + len(again) + 1

            wait_until(is_complete, PATIENCE, "the journal has all of it")
            received = list(entries_of(journal, Kind.RECEIVED))
            attempts = list(entries_of(journal, Kind.HANDLED))
            journal.close()

    assert (set(duplicates), forged.status_code) == ({"duplicate"}, 401)
    receipts = Counter((entry.event_id, entry.outcome) for entry in received)
    expected = Counter({(event_id, "accepted"): 1 for event_id in sender.accepted})
    expected.update((each.event_id, "duplicate") for each in again)
    expected[("", "invalid_signature")] = 1
    assert receipts == expected
    retried = {event_id for event_id in sender.accepted if event_id.endswith("0")}
    tries = Counter(entry.event_id for entry in attempts)
    assert tries == Counter({event_id: 1 + (event_id in retried) for event_id in sender.accepted})
    assert {
        entry.attempt for entry in attempts if entry.outcome == "handled" and entry.event_id in retried
    } == {2}
    assert {entry.key for entry in received if entry.outcome == "accepted"} == {
        next(entry.key for entry in received if entry.key)
    }
