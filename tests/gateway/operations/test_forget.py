"""To forget an event: in the deduplication store, and in the journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import OperatorError
from gateway.journal.entry import Entry, Kind, first_id_at
from gateway.journal.memory import MemoryJournal
from gateway.operations.forget import forget_claim, forget_texts
from support import senders
from support.gateway_process import GatewayProcess, Secrets
from support.letter_queues import configuration
from support.senders import post


def entry(number: int, event_id: str) -> Entry:
    """An entry of an event with a text of its own."""
    at = first_id_at(1_790_000_000) + number
    return Entry(at, Kind.RECEIVED, "accepted", provider="acme", event_id=event_id, subject="customer 7")


async def test_the_texts_of_an_event_are_erased_from_the_journal(tmp_path: Path) -> None:
    """Its entries stay, without anything that says whose it was."""
    config = configuration(tmp_path, "embedded")
    journal = MemoryJournal()
    journal.append([entry(1, "id-1"), entry(2, "id-2"), entry(3, "id-1")])

    assert await forget_texts(config, "acme", "id-1", journal=journal) == 2
    assert await forget_texts(config, "acme", "id-1", journal=journal) == 0
    assert journal.timeline("id-1") == []
    (kept,) = journal.timeline("id-2")
    assert kept.subject == "customer 7"


async def test_without_a_journal_nothing_can_be_erased(tmp_path: Path) -> None:
    """Rather than say that nothing was found."""
    config = configuration(tmp_path, "embedded")
    config = config.model_copy(update={"journal": config.journal.model_copy(update={"enabled": False})})
    with pytest.raises(OperatorError, match=r"journal\.enabled is false"):
        await forget_texts(config, "acme", "id-1")


async def test_a_forgotten_claim_lets_the_event_come_again(tmp_path: Path) -> None:
    """Once it is gone, it is not there."""
    with GatewayProcess(tmp_path, Secrets()) as gateway:
        delivery = senders.acme(gateway.secrets.acme, senders.order())
        assert post(gateway.url, delivery).json()["status"] == "accepted"
        assert post(gateway.url, delivery).json()["status"] == "duplicate"
        config = gateway.load()

        assert await forget_claim(config, "acme", delivery.event_id)
        assert not await forget_claim(config, "acme", delivery.event_id)
        assert post(gateway.url, delivery).json()["status"] == "accepted"


def test_the_command_erases_texts_beside_a_running_gateway(tmp_path: Path) -> None:
    """With the journal that the gateway writes to."""
    with GatewayProcess(tmp_path, Secrets()) as gateway:
        unknown = gateway.run("forget", "--journal", "acme", "id-unknown")

    assert (unknown.returncode, unknown.stderr) == (
        1,
        "acme: event 'id-unknown' is not in the journal; nothing changed\n",
    )
