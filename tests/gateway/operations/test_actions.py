"""Actions are reported with who took them; a report that cannot be sent changes nothing."""

from __future__ import annotations

import getpass
import os
from pathlib import Path

import pytest

from gateway.backends import open_report_source
from gateway.config import Config
from gateway.journal.entry import MAX_DETAIL, Entry
from gateway.journal.memory import MemoryJournal
from gateway.journal.query import Query
from gateway.journal.reports.receiver import drain_reports
from gateway.journal.workers.memory import MemoryWorkers
from gateway.operations.actions import Action, report_action, reported_actions, system_user


def config(folder: Path, **sections: object) -> Config:
    """A configuration with its data in ``folder``."""
    return Config.model_validate(
        {
            "data_dir": str(folder),
            "providers": {"stripe": {"adapter": "stripe", "secrets": ["whsec_bm90LWEtcmVhbC1zZWNyZXQ"]}},
            **sections,
        }
    )


async def entries(settings: Config) -> list[Entry]:
    """The entries that were reported."""
    journal = MemoryJournal()
    await drain_reports(lambda: open_report_source(settings), journal, MemoryWorkers())
    return journal.find(Query()).entries


async def test_an_action_is_reported_with_its_actor(tmp_path: Path) -> None:
    """By default the user of the system."""
    settings = config(tmp_path)
    await report_action(
        settings,
        Action.FORGOTTEN,
        routing_key="stripe.invoice.paid",
        event_id="evt_1",
        queue="agent",
        detail="x" * 2000,
    )
    (entry,) = await entries(settings)

    assert (entry.kind, entry.outcome, entry.actor) == ("action", "forgotten", getpass.getuser())
    assert (entry.provider, entry.type, entry.event_id, entry.queue) == (
        "stripe",
        "invoice.paid",
        "evt_1",
        "agent",
    )
    assert len(entry.detail) == MAX_DETAIL


async def test_many_actions_travel_together(tmp_path: Path) -> None:
    """In the name of whoever is named."""
    settings = config(tmp_path)
    async with reported_actions(settings, "token:ops") as actions:
        for number in range(450):
            actions.note(Action.REDRIVEN, routing_key="stripe.invoice.paid", event_id=f"evt_{number}")
    journal = MemoryJournal()
    count = await drain_reports(lambda: open_report_source(settings), journal, MemoryWorkers())

    assert count == 450
    assert {entry.actor for entry in journal.find(Query(), limit=1000).entries} == {"token:ops"}


async def test_without_a_journal_nothing_is_reported(tmp_path: Path) -> None:
    """And nothing is opened."""
    await report_action(config(tmp_path / "var", journal={"enabled": False}), Action.SENT)

    assert not (tmp_path / "var").exists()


async def test_a_broker_that_is_away_changes_nothing(tmp_path: Path) -> None:
    """The action has been taken; the command ends all the same."""
    settings = config(tmp_path, rabbitmq={"url": "amqp://127.0.0.1:1/"})

    await report_action(settings, Action.SENT, event_id="evt_1")


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a made-up user."""

    def fail() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", fail)

    assert system_user() == f"uid {os.getuid()}"
