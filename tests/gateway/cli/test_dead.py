"""`gateway dead redrive`: what it says of a worker that would not handle the events now."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from gateway.cli.dead import run_redrive
from gateway.journal.reports import Heartbeat
from gateway.journal.workers.sqlite import FILE_NAME, SqliteWorkers
from gateway.queues.filter import EventFilter
from gateway.worker import Dead, Event, Worker
from support.agents import Place
from support.waiting import PATIENCE, wait_until_async


@pytest.fixture(autouse=True)
def _loud(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command silences the log of its whole process, which other tests here want to read."""
    monkeypatch.setattr("gateway.cli.dead_letters.silence_logs", lambda: None)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration of an embedded gateway, whose worker has dead-lettered an event."""
    worker = Worker("agent", ["stripe.#"])

    @worker.on("#")
    async def refuse(event: Event) -> None:
        raise Dead("no such customer")

    async def fail() -> None:
        place = Place(tmp_path / "var")
        async with place.running(worker) as runner:
            await place.publish("evt_1")
            await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE)

    asyncio.run(fail())
    path = tmp_path / "config.yaml"
    path.write_text(
        f"data_dir: {tmp_path / 'var'}\nproviders: {{stripe: {{adapter: stripe, secrets: [whsec_bm90LWEtcmVhbA]}}}}\n"
    )
    return path


def heartbeat(pid: int, paused: str = "", until: float | None = None) -> Heartbeat:
    """The last word of a process."""
    now = time.time()
    return Heartbeat(
        queue="agent",
        host="a",
        pid=pid,
        version="1",
        at=now,
        started_at=now,
        paused=paused,
        paused_until=until,
    )


def redrive(config: Path) -> None:
    """Return the event to its queue."""
    run_redrive(config, "agent", EventFilter(), None, dry_run=False)


def test_a_paused_worker_is_named_with_its_reason(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is on a terminal is one line, whatever the reason contains."""
    table = SqliteWorkers(config.parent / "var")
    table.note(
        [heartbeat(1, "20 failures in a row, the last Odd\x1b[2J\nError at agent.py:10", time.time() + 40)]
    )
    table.close()

    redrive(config)

    said = capsys.readouterr().err
    assert "1 event redriven to agent\n" in said
    assert "the worker of agent is paused until " in said
    assert "(20 failures in a row, the last Odd\\u001b[2J Error at agent.py:10)" in said


def test_a_worker_of_which_one_process_works_is_not_paused(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor one that is not known."""
    table = SqliteWorkers(config.parent / "var")
    table.note([heartbeat(1, "20 failures in a row"), heartbeat(2)])
    table.close()

    redrive(config)

    assert "paused" not in capsys.readouterr().err


def test_a_table_that_cannot_be_read_stops_nothing(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The events are redriven all the same."""
    path = config.parent / "var" / FILE_NAME
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"no database, but long enough to be looked at" * 10)

    redrive(config)

    assert "1 event redriven" in capsys.readouterr().err
