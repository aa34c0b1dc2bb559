"""How everything is, whatever is away; and every sentence about what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway import __version__
from gateway.backends import open_workers
from gateway.journal.memory import MemoryJournal
from gateway.journal.reports import Heartbeat
from gateway.operations.status import (
    Problem,
    ProcessesStatus,
    QueueStatus,
    SpoolStatus,
    Status,
    StoreStatus,
    status,
)
from gateway.operations.status_problems import problems_of
from gateway.publishers.spool.files import spool_path
from gateway.publishers.spool.store import Spool
from support.journal_entries import NOON, Story, journal_of
from support.letter_queues import DEAD, FAILED, QUARANTINE, QUEUE, Broker, embedded, event
from support.operator_config import operator_config
from support.ports import free_port
from support.spooling import make_message
from support.standin import Answer, StandIn

RUNNING = ProcessesStatus(
    is_running=True, is_ready=True, alive=1, configured=1, restarts=0, checks={}, error=""
)
EMBEDDED = StoreStatus("embedded", is_available=True, text="")
WELL = Status(NOON, "", (), RUNNING, None, (), EMBEDDED, EMBEDDED, None, EMBEDDED, None)


def _queue(name: str, kind: Any = "worker", ready: int = 0, **more: Any) -> QueueStatus:
    values = {"unacknowledged": 0, "delayed": 0, "consumers": 1, "oldest_at": None, **more}
    return QueueStatus(name, kind, ready, **values)


def _heartbeat(**more: Any) -> Heartbeat:
    values = {
        "queue": QUEUE,
        "host": "worker-1",
        "pid": 7,
        "version": __version__,
        "at": NOON,
        "started_at": NOON,
        **more,
    }
    return Heartbeat(**values)


PROBLEMS: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (
        {},
        {
            "processes": replace(
                RUNNING, is_running=False, is_ready=False, error="no gateway answers at http://x"
            )
        },
        "critical",
        "No gateway answers at http://x. Start it with `gateway serve`, or correct server.admin_bind.",
    ),
    (
        {},
        {"processes": replace(RUNNING, is_ready=False, checks={"spool": "full", "claims": "ok"})},
        "critical",
        "The gateway accepts no events: spool: full.",
    ),
    (
        {},
        {"processes": replace(RUNNING, checks={"outbound": "its database cannot be used"})},
        "warning",
        "Nothing is delivered to endpoints: its database cannot be used. Events wait meanwhile.",
    ),
    (
        {},
        {"queues": (_queue("webhooks.outbound", "outbound", ready=3, consumers=0),)},
        "warning",
        (
            "3 events wait in webhooks.outbound, and nothing takes them for delivery to endpoints; see `gateway outbound show`, and "
            "the log of the way out."
        ),
    ),
    (
        {},
        {"queues": (_queue("agents.quarantine", "outbound", ready=1, consumers=0),)},
        "warning",
        (
            "1 event of agents waits in agents.quarantine, because no CloudEvent could be read; the header `violations` of each "
            "says why."
        ),
    ),
    (
        {},
        {"processes": replace(RUNNING, alive=2, configured=3)},
        "warning",
        "2 of 3 processes are alive; a dead one is replaced within seconds, so look into the log if this lasts.",
    ),
    (
        {},
        {"broker": StoreStatus("RabbitMQ", is_available=False, text="", error="nothing listens at x")},
        "critical",
        "The broker (RabbitMQ) does not answer: nothing listens at x; events are answered 503 meanwhile.",
    ),
    (
        {},
        {
            "broker": StoreStatus("RabbitMQ", is_available=False, text="", error="away"),
            "spool": SpoolStatus(0, 0, 1000, None, 0),
        },
        "warning",
        "The broker (RabbitMQ) does not answer: away; events wait in the spool meanwhile.",
    ),
    (
        {},
        {"claims": StoreStatus("Redis", is_available=False, text="", error="refused")},
        "warning",
        "The deduplication store (Redis) does not answer: refused; events are published without deduplication meanwhile.",
    ),
    (
        {"dedupe": {"on_unavailable": "reject"}},
        {"claims": StoreStatus("Redis", is_available=False, text="", error="refused")},
        "critical",
        "The deduplication store (Redis) does not answer: refused; events are answered 503 meanwhile.",
    ),
    (
        {},
        {"claims": replace(EMBEDDED, warnings=("it evicts keys",))},
        "warning",
        "Deduplication store: it evicts keys.",
    ),
    (
        {},
        {"clock_offset": -7.0},
        "warning",
        (
            "This machine's clock is 7 s behind that of the deduplication store: signed timestamps may be refused. "
            "Synchronize both with NTP."
        ),
    ),
    (
        {},
        {"spool": SpoolStatus(3, 10, 1000, NOON - 90, 0)},
        "warning",
        "3 events wait in the spool, the oldest for 1 min 30 s; they are published once the broker takes them.",
    ),
    (
        {},
        {"spool": SpoolStatus(0, 900, 1000, None, 0)},
        "critical",
        "The spool is 90% full; events are answered 503 once it is. Bring the broker back, or raise spool.max_size.",
    ),
    (
        {},
        {"spool": SpoolStatus(0, 0, 1000, None, 1)},
        "warning",
        "1 row of the spool could not be read and was set aside; see `gateway spool export --corrupt`.",
    ),
    (
        {},
        {"spool": SpoolStatus(0, 0, 1000, None, 0, "file is not a database")},
        "warning",
        "The spool cannot be read: file is not a database.",
    ),
    (
        {},
        {"queues": (_queue(QUEUE, ready=1, consumers=0, oldest_at=NOON - 3700),)},
        "warning",
        "1 event waits in billing-agent, and no worker reads it; the oldest was received 1 h 1 min ago. Start its worker.",
    ),
    ({}, {"queues": (_queue(QUEUE, consumers=0),)}, "notice", "No worker reads the queue billing-agent."),
    (
        {},
        {
            "queues": (
                _queue(QUEUE, ready=4, paused="20 failures in a row, the last KeyError at agent.py:10"),
            )
        },
        "warning",
        "The worker of billing-agent is paused: 20 failures in a row, the last KeyError at agent.py:10.",
    ),
    (
        {},
        {"queues": (_queue(QUEUE, ready=4000, oldest_at=NOON - 700),)},
        "warning",
        (
            "4,000 events wait in billing-agent, the oldest received 11 min ago: its workers do not keep up. Start more of "
            "them, or look for slow handlers."
        ),
    ),
    (
        {},
        {"queues": (_queue(DEAD, "dead_letters", ready=2),)},
        "warning",
        "2 events wait in the dead-letter queue billing-agent.dead; see `gateway dead list billing-agent`.",
    ),
    (
        {},
        {"queues": (_queue(QUARANTINE, "quarantine", ready=1, oldest_at=NOON - 60),)},
        "warning",
        "1 event waits in the quarantine, the oldest received 1 min ago; see `gateway quarantine list`.",
    ),
    (
        {},
        {"queues": (_queue("webhooks.unrouted", "unrouted", ready=2),)},
        "warning",
        (
            "No queue was bound for 2 events; see `gateway unrouted list`, and start a worker for them or move them with "
            "`gateway unrouted route`."
        ),
    ),
    (
        {},
        {"journal": StoreStatus("embedded", is_available=False, text="", error="disk I/O error")},
        "warning",
        "The journal cannot be read: disk I/O error. Events flow all the same.",
    ),
    (
        {},
        {"journal": replace(EMBEDDED, warnings=("x.db could not be read and was set aside",))},
        "notice",
        "Journal: x.db could not be read and was set aside.",
    ),
    (
        {},
        {"processes": replace(RUNNING, dropped=12)},
        "notice",
        (
            "12 entries of the journal were dropped since the gateway started, so that some events lack a part of their "
            "timeline."
        ),
    ),
]


@pytest.mark.parametrize(("sections", "changes", "level", "text"), PROBLEMS)
def test_problems(
    tmp_path: Path, sections: dict[str, Any], changes: dict[str, Any], level: str, text: str
) -> None:
    """Each in its own words, with what to do, and nothing else."""
    found = problems_of(operator_config(tmp_path, **sections), replace(WELL, **changes), [])

    assert [(problem.level, problem.text) for problem in found] == [(level, text)]


def test_all_well(tmp_path: Path) -> None:
    """Busy queues that are read are no problem, nor is a spool that empties, nor a clock that is a little off."""
    busy = replace(
        WELL,
        queues=(
            _queue("agents.outbound", "outbound", consumers=0),
            _queue("webhooks.outbound", "outbound", ready=2, oldest_at=NOON - 3),
            _queue(QUEUE, ready=5, oldest_at=NOON - 5),
            _queue(DEAD, "dead_letters"),
            _queue("x", consumers=None),
        ),
        spool=SpoolStatus(2, 10, 1000, NOON - 1, 0),
        clock_offset=1.0,
    )

    assert problems_of(operator_config(tmp_path), busy, [_heartbeat()]) == []


def test_the_worst_is_first(tmp_path: Path) -> None:
    """Whatever the order in which they were found."""
    found = problems_of(
        operator_config(tmp_path),
        replace(
            WELL,
            processes=replace(RUNNING, dropped=1),
            queues=(_queue(DEAD, "dead_letters", ready=1),),
            spool=SpoolStatus(1, 990, 1000, NOON - 60, 0),
        ),
        [_heartbeat(version="0.0.1")],
    )

    assert [problem.level for problem in found] == ["critical", "warning", "warning", "notice", "notice"]


async def test_nothing_runs_and_nothing_is_there(tmp_path: Path) -> None:
    """A machine on which nobody has started anything; looking creates no file."""
    config = operator_config(tmp_path / "var", server={"admin_bind": f"127.0.0.1:{free_port()}"})

    found = await status(config, MemoryJournal(), now=NOON)

    assert not found.processes.is_running
    assert found.queues == ()
    assert found.broker.is_available
    assert found.claims.is_available
    assert found.spool is None
    assert [problem.part for problem in found.problems] == ["processes"]
    assert found.headline == found.problems[0].text
    assert not (tmp_path / "var").exists()


async def test_queues_of_both_brokers(broker: Broker) -> None:
    """A worker's queue with its dead letters, found through the journal where the broker cannot list them."""
    await broker.declare(QUEUE, DEAD, QUARANTINE)
    for number in range(3):
        await broker.put(QUEUE, event(number), {})
    await broker.put(DEAD, event(9), FAILED)
    story = Story()
    story.attempt("retried", 1, queue=QUEUE)

    found = await status(broker.config, journal_of(story), now=story.now + 60, processes=RUNNING)

    counted = {queue.name: (queue.kind, queue.ready) for queue in found.queues}
    assert counted == {QUEUE: ("worker", 3), DEAD: ("dead_letters", 1), QUARANTINE: ("quarantine", 0)}
    assert [queue.name for queue in found.queues] == [QUEUE, DEAD, QUARANTINE]
    assert any("gateway dead list billing-agent" in problem.text for problem in found.problems)


async def test_live_workers_are_consumers_of_the_embedded_queue(tmp_path: Path) -> None:
    """Their heartbeats say how many there are, what they hold, and that they are paused."""
    async with embedded(tmp_path) as broker:
        await broker.declare(QUEUE, DEAD)
        workers = open_workers(broker.config)
        workers.note([_heartbeat(at=NOON, paused="over its rate limit"), _heartbeat(at=NOON, pid=8)])
        workers.close()

        found = await status(broker.config, MemoryJournal(), now=NOON + 1, processes=RUNNING)
        later = await status(broker.config, MemoryJournal(), now=NOON + 600, processes=RUNNING)
        unknown = await status(
            broker.config, MemoryJournal(), now=NOON + 600, processes=replace(RUNNING, is_running=False)
        )

    assert (found.queues[0].consumers, found.queues[0].paused) == (2, "over its rate limit")
    assert later.queues[0].consumers == 0
    assert unknown.queues[0].consumers is None  # without a console nobody has read the heartbeats


async def test_servers_that_are_away_are_reported_one_by_one(tmp_path: Path) -> None:
    """Within a few seconds, and without a password."""
    config = operator_config(
        tmp_path,
        redis={"url": f"redis://:hidden@127.0.0.1:{free_port()}"},
        rabbitmq={"url": f"amqp://guest:hidden@127.0.0.1:{free_port()}/"},
        server={"admin_bind": f"127.0.0.1:{free_port()}"},
    )

    found = await status(config, None, now=NOON)

    assert not found.broker.is_available
    assert not found.claims.is_available
    assert found.journal
    assert not found.journal.is_available
    assert found.spool == SpoolStatus(0, 0, config.spool.max_size, None, 0)
    assert "hidden" not in repr(found)
    assert {problem.part for problem in found.problems} == {"processes", "broker", "claims", "journal"}


async def test_the_spool_is_counted(tmp_path: Path) -> None:
    """With the age of the oldest."""
    config = operator_config(tmp_path, rabbitmq={"url": f"amqp://127.0.0.1:{free_port()}/"})
    spool = Spool(spool_path(tmp_path, 0), 10**9)
    await spool.start()
    for number in range(3):
        await spool.append(make_message(number))
    await spool.stop()

    found = await status(config, MemoryJournal(), now=NOON, processes=RUNNING)

    assert found.spool
    assert found.spool.events == 3
    assert found.spool.oldest_at is not None


async def test_a_running_gateway_is_asked(tmp_path: Path) -> None:
    """Over HTTP: whether it is ready, with what each part says, and its processes."""
    metrics = {
        "GET /readyz": [
            Answer(503, {"status": "unavailable", "checks": {"broker": "connection refused", "claims": "ok"}})
        ],
        "GET /metrics": [Answer(200)],
    }
    with StandIn(metrics) as gateway:
        config = operator_config(tmp_path, server={"admin_bind": gateway.url.removeprefix("http://")})
        found = await status(config, MemoryJournal(), now=NOON)

    assert found.processes.is_running
    assert not found.processes.is_ready
    assert found.headline.startswith("The gateway accepts no events: broker: connection refused.")


async def test_another_program_at_the_address(tmp_path: Path) -> None:
    """Is not taken for a gateway."""
    with StandIn({"GET /readyz": [Answer(200, ["hello"])]}) as other:
        config = operator_config(tmp_path, server={"admin_bind": other.url.removeprefix("http://")})
        found = await status(config, MemoryJournal(), now=NOON)

    assert not found.processes.is_running
    assert "another program answers" in found.processes.error


async def test_a_journal_that_cannot_be_read(tmp_path: Path) -> None:
    """Says why; the rest is told all the same."""

    class Broken(MemoryJournal):
        def state(self) -> Any:
            raise OSError("disk I/O error")

    found = await status(operator_config(tmp_path), Broken(), now=NOON, processes=RUNNING)

    assert found.journal
    assert found.journal.error == "disk I/O error"
    assert isinstance(found.problems[0], Problem)
