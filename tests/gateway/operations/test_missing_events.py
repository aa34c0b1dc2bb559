"""The answer for an id that the journal does not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.backends import open_claims
from gateway.claims import claim_key
from gateway.config import Config
from gateway.journal import Point
from gateway.journal.entry import Kind
from gateway.journal.memory import MemoryJournal
from gateway.operations.events import not_found
from support.journal_entries import NOON, Story, journal_of
from support.operator_config import operator_config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Embedded stores in a folder of their own."""
    return operator_config(tmp_path)


async def _claim(config: Config, provider: str, event_id: str, *, is_done: bool) -> None:
    claims = open_claims(config)
    await claims.start()
    await claims.claim(claim_key(provider, event_id), "token")
    if is_done:
        claims.commit(claim_key(provider, event_id), lambda: None)
    await claims.stop()


def _received(provider: str = "stripe", event_id: str = "evt_1", after: float = 0.0) -> Story:
    story = Story(event_id, provider)
    story.received(after=after)
    return story


async def test_nothing_is_known(config: Config) -> None:
    """An empty journal, no claims: each fact is told as far as it goes, and nothing is created on disk."""
    missing = await not_found(config, MemoryJournal(), "evt_9", "stripe", now=NOON)

    assert missing.headline == "The journal has no entry of this event of Stripe."
    assert missing.sentences == (
        "The deduplication store does not know the id: as far as it remembers, it was not published in the last 4 days.",
        "The journal is empty.",
        "The journal knows of no refused request of Stripe in the last 24 hours.",
        "The journal has no event of Stripe at all.",
    )
    assert missing.next_steps[0].startswith("See at Stripe whether it sent the event")
    assert not list(config.data_dir.iterdir())


async def test_a_claim_proves_that_it_was_published(config: Config) -> None:
    """It came before the journal begins; the provider with the claim is named first."""
    await _claim(config, "stripe", "evt_9", is_done=True)

    missing = await not_found(config, journal_of(_received("github"), _received()), "evt_9", now=NOON + 7200)

    assert missing.providers[0].provider == "stripe"
    assert missing.providers[0].claim == "published"
    assert missing.sentences[0] == (
        "The deduplication store knows the id: Stripe sent it, and it was published. Its entry is older than the journal, "
        "was sampled out, or was dropped."
    )
    assert "The journal begins at 2026-11-30T12:00:00Z, 2 h ago." in missing.sentences
    assert not any(
        "Ask the provider" in step or "let the provider send" in step for step in missing.next_steps
    )


async def test_a_claim_of_an_attempt_that_is_under_way(config: Config) -> None:
    """Somebody publishes it at this moment."""
    await _claim(config, "acme", "evt_9", is_done=False)

    missing = await not_found(config, MemoryJournal(), "evt_9", "acme", now=NOON)

    assert missing.providers[0].claim == "in_flight"
    assert "under way" in missing.sentences[0]


async def test_a_store_that_is_away_is_not_taken_for_no(tmp_path: Path) -> None:
    """Nobody knows then whether it was published."""
    config = operator_config(tmp_path, redis={"url": "redis://127.0.0.1:1"})

    missing = await not_found(config, MemoryJournal(), "evt_9", "stripe", now=NOON)

    assert missing.providers[0].claim == "unknown"
    assert missing.sentences[0] == "Whether it was published before could not be found out for Stripe."


async def test_ids_that_are_unique_within_something_cannot_be_looked_up(config: Config) -> None:
    """GitHub's claim is on more than the id: that there is none under the id alone says nothing."""
    await _claim(config, "github", "72d3162e\nx", is_done=True)

    missing = await not_found(config, MemoryJournal(), "72d3162e", "github", now=NOON)

    assert missing.providers[0].claim == "unknown"


async def test_refusals_are_counted_by_reason(config: Config) -> None:
    """From the counters, where there are any: entries are dropped in a flood."""
    journal = journal_of(_received())
    for measure, times in (
        ("outcome:invalid_signature", 41),
        ("fault:signature_mismatch", 40),
        ("fault:timestamp_too_old", 1),
    ):
        journal.add_points([Point(NOON + 60, "stripe", measure, times)])
    journal.add_points(
        [
            Point(NOON + 60, "stripe", "outcome:accepted", 9),
            Point(NOON, "stripe", "outcome:body_too_large", 2),
        ]
    )

    missing = await not_found(config, journal, "evt_9", "stripe", now=NOON + 3600)

    assert missing.providers[0].refusals == (
        ("signature_mismatch", 40),
        ("body_too_large", 2),
        ("timestamp_too_old", 1),
    )
    assert any(
        "signature_mismatch 40 times, body_too_large twice and timestamp_too_old once" in each
        for each in missing.sentences
    )
    assert any("provider:stripe is:failed" in step for step in missing.next_steps)


async def test_refusals_without_a_console_come_from_entries(config: Config) -> None:
    """Nobody has sampled the counters: the entries say it."""
    story = _received()
    story.add(Kind.RECEIVED, "invalid_signature", event_id="", reason="signature_mismatch")

    missing = await not_found(config, journal_of(story), "evt_9", "stripe", now=NOON + 3600)

    assert missing.providers[0].refusals == (("signature_mismatch", 1),)


async def test_around_narrows_the_window(config: Config) -> None:
    """Refusals of another hour do not count."""
    journal = MemoryJournal()
    journal.add_points([Point(NOON, "stripe", "fault:signature_mismatch", 3)])

    near = await not_found(config, journal, "evt_9", "stripe", now=NOON + 86_400, around=NOON + 1800)
    far = await not_found(config, journal, "evt_9", "stripe", now=NOON + 86_400, around=NOON + 36_000)

    assert near.providers[0].refusals == (("signature_mismatch", 3),)
    assert not far.providers[0].refusals
    assert "between 2026-11-30T11:30:00Z and 2026-11-30T13:30:00Z" in near.sentences[2]


async def test_similar_ids(config: Config) -> None:
    """One that was not copied to its end, or in other letters, is found."""
    journal = journal_of(_received(event_id="evt_1QxSample"), _received(event_id="evt_2"))

    for wrong in ("evt_1Qx", "EVT_1QXSAMPLE", "evt_1QxSample "):
        missing = await not_found(config, journal, wrong, now=NOON)
        assert missing.similar == (("evt_1QxSample", "stripe"),)
    assert not (await not_found(config, journal, "evt", now=NOON)).similar


async def test_an_unknown_provider(config: Config) -> None:
    """Is said to be none; the others are looked at."""
    missing = await not_found(config, MemoryJournal(), "evt_9", "shopify", now=NOON)

    assert (
        missing.headline
        == "The configuration has no provider shopify, and the journal has no entry of this event."
    )
    assert {trace.provider for trace in missing.providers} == {"stripe", "github", "acme"}


@pytest.mark.parametrize("event_id", ["a/b", "'; rm -rf ~", 'say "hi"', "x" * 5000, "\x1b[31m", ""])
async def test_odd_ids(tmp_path: Path, event_id: str) -> None:
    """Are answered like any other; commands quote them."""
    config = operator_config(tmp_path, archive={"enabled": True})
    await _claim(config, "stripe", event_id, is_done=True)

    missing = await not_found(config, MemoryJournal(), event_id, now=NOON)

    assert missing.event_id == event_id
    assert missing.providers[0].claim == "published"
    if event_id == "'; rm -rf ~":
        assert """--id ''"'"'; rm -rf ~' --dry-run""" in missing.next_steps[0]


async def test_sampling_and_a_journal_that_is_off(tmp_path: Path) -> None:
    """Both explain why an event may be missing."""
    sampled = operator_config(tmp_path, journal={"sample": 0.1})
    off = operator_config(tmp_path, journal={"enabled": False})

    told = [
        " ".join((await not_found(config, journal_of(_received()), "evt_9", "stripe", now=NOON)).sentences)
        for config in (sampled, off)
    ]

    assert "keeps 10% of the accepted events" in told[0]
    assert "journal.enabled is false" in told[1]
