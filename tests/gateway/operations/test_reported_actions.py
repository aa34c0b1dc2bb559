"""Each act is in the journal afterwards, with who took it, on which event, and where it went."""

from __future__ import annotations

from gateway.backends import open_report_source
from gateway.journal.entry import Entry, Kind
from gateway.operations import dead_letters, quarantine, unrouted
from gateway.operations.redeliver import redeliver
from gateway.queues.filter import EventFilter
from support.letter_queues import DEAD, EVERYTHING, FAILED, QUARANTINE, QUEUE, VIOLATIONS, Broker, event
from support.waiting import PATIENCE

UNROUTED = "webhooks.unrouted"


async def reported(broker: Broker, count: int) -> list[Entry]:
    """The next entries that were reported."""
    entries: list[Entry] = []
    async with open_report_source(broker.config) as source:
        while len(entries) < count and (received := await source.receive(PATIENCE)):
            entries += received.report.entries
            await source.acknowledge(received)
    return entries


async def test_each_act_is_reported_with_its_actor(broker: Broker) -> None:
    """One entry an event: its timeline names whoever touched it."""
    await broker.declare(QUEUE, DEAD, QUARANTINE, UNROUTED)
    await broker.bind()
    for number in range(3):
        await broker.put(DEAD, event(number, subject="order 7"), FAILED)
    await broker.put(UNROUTED, event(3), {"provider": "acme"})
    for number in (4, 5):
        headers = {"provider": "acme", "violations": VIOLATIONS}
        await broker.put(QUARANTINE, event(number, '{"total": 1}'), headers, key="acme.order.created")

    config, folder = broker.config, broker.config.data_dir
    await dead_letters.redrive(config, QUEUE, EventFilter(ids=["id-0"]), actor="ada")
    await dead_letters.drop(config, QUEUE, EventFilter(ids=["id-1"]), confirmed=1, actor="ada")
    await redeliver(config, folder, "acme", "id-2", QUEUE, actor="ben")
    await unrouted.route(config, QUEUE, EVERYTHING, actor="cleo")
    await quarantine.release(config, folder, EventFilter(ids=["id-4"]), actor="dan")
    await quarantine.release(config, folder, EVERYTHING, dry_run=True, actor="dan")
    await quarantine.drop(config, EVERYTHING, confirmed=1, actor="eve")
    entries = await reported(broker, 6)

    assert [(each.event_id, each.outcome, each.queue, each.actor) for each in entries] == [
        ("id-0", "redriven", QUEUE, "ada"),
        ("id-1", "dropped", DEAD, "ada"),
        ("id-2", "redriven", QUEUE, "ben"),
        ("id-3", "routed", QUEUE, "cleo"),
        ("id-4", "released", "webhooks", "dan"),
        ("id-5", "dropped", QUARANTINE, "eve"),
    ]
    assert {(each.kind, each.provider, each.type) for each in entries} == {
        (Kind.ACTION, "acme", "order.created")
    }
    assert entries[0].subject == "order 7"
