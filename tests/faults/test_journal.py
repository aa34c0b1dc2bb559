"""The journal under faults: it loses entries, and never an event."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest

from gateway.journal.entry import Entry
from support.gateway_process import Section
from support.rig import Rig
from support.waiting import wait_until

NewRig = Callable[[Mapping[str, Section]], AbstractContextManager[Rig]]

_LOST = 0.2
"""Seconds whose entries a killed process may lose."""

_SLACK = 0.3
"""Seconds that the thread may take to write them on a machine with much else to do."""


@pytest.fixture(scope="module")
def journal_rig(new_rig: NewRig) -> Iterator[Rig]:
    """A gateway with a journal that nobody indexes."""
    with new_rig({"console": {"enabled": False}}) as rig:
        yield rig


@pytest.fixture
def rig(journal_rig: Rig) -> Rig:
    """The gateway of the module, in good order."""
    journal_rig.renew()
    return journal_rig


def entries_of(rig: Rig) -> dict[str, Entry]:
    """The entries of all events that are on disk, by id; a torn line is none."""
    found = {}
    folder: Path = rig.gateway.directory / "var/journal/raw"
    for path in folder.glob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except msgspec.DecodeError:
                continue
            if entry.outcome == "accepted":
                found[entry.event_id] = entry
    return found


def test_a_killed_process_loses_its_last_moments_alone(rig: Rig) -> None:
    """What was answered before them is on disk."""
    answered: dict[str, float] = {}

    def send() -> None:
        while True:
            event = rig.event()
            if not rig.send(event).startswith("202"):
                return
            answered[event.event_id] = time.monotonic()

    with ThreadPoolExecutor(4) as threads:
        senders = [threads.submit(send) for _ in range(4)]
        wait_until(lambda: len(answered) > 300)
        killed_at = time.monotonic()
        rig.gateway.kill()
        for sender in senders:
            sender.result()
    kept = entries_of(rig)
    rig.gateway.start()
    rig.settle(most_copies=2)  # an event that was published and not answered is sent again

    old = {event_id for event_id, moment in answered.items() if moment < killed_at - _LOST - _SLACK}
    assert old
    assert old <= kept.keys()


def test_a_folder_that_is_gone_under_load_loses_no_event(rig: Rig) -> None:
    """Entries are dropped and counted, and come again when they can be written."""
    rig.send_all(rig.events(20))
    folder = rig.gateway.directory / "var/journal/raw"
    wait_until(folder.exists, message="the first entries are written")
    shutil.rmtree(folder)
    folder.write_bytes(b"")  # no folder can be made in its place
    try:
        assert set(rig.send_all(rig.events(200))) == {"202 accepted"}
        wait_until(lambda: rig.metric('webhook_journal_dropped_total{stage="disk"}') > 0)
    finally:
        folder.unlink()
    event = rig.event()
    assert rig.send(event) == "202 accepted"
    wait_until(lambda: event.event_id in entries_of(rig))
    rig.settle()
