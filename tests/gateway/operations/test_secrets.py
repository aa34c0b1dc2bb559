"""The evidence for a rotation: by fingerprint, although positions move."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import Config
from gateway.journal import JOURNAL_FOLDER, Point
from gateway.journal.fingerprints import Fingerprints
from gateway.journal.memory import MemoryJournal
from gateway.operations.secrets import SecretEvidence, is_overdue, secret_evidence
from support.journal_entries import NOON, Story
from support.operator_config import operator_config

DAY = 86_400.0
OLD, NEW = "whsec_" + "o" * 32, "whsec_" + "n" * 32


class Rotation:
    """One provider whose secrets change, and what its requests leave in the journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = MemoryJournal()
        self.fingerprints = Fingerprints(folder / JOURNAL_FOLDER)
        self.secrets = [OLD]

    def matched(self, secret: str, at: float, times: int = 1, *, is_kept: bool = True) -> None:
        """A request matched; it is counted, and has an entry unless that was dropped."""
        slot = self.secrets.index(secret)
        if is_kept:
            story = Story(at=at)
            story.received(slot=slot, key=self.fingerprints.of(secret))
            self.journal.append(story.entries)
        self.journal.add_points([Point(at, "stripe", f"slot:{slot}", times)])

    def evidence(self, now: float = NOON) -> dict[str, SecretEvidence]:
        """What is known of each secret that is configured."""
        found = secret_evidence(self.config, self.journal, now=now, provider="stripe")
        return dict(zip(self.secrets, found, strict=True))

    @property
    def config(self) -> Config:
        """The configuration at the moment."""
        config = operator_config(self.folder)
        stripe = config.providers["stripe"].model_copy(update={"secrets": _hidden(self.secrets)})
        return config.model_copy(update={"providers": {**config.providers, "stripe": stripe}})


def _hidden(secrets: list[str]) -> object:
    from pydantic import SecretStr

    return [SecretStr(secret) for secret in secrets]


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    """Stripe, which repeats for three days; events are remembered for four."""
    return Rotation(tmp_path)


def test_a_single_secret_in_use(rotation: Rotation) -> None:
    """It is never safe to remove."""
    rotation.matched(OLD, NOON - 60, 5)

    found = rotation.evidence()[OLD]

    assert (found.verdict, found.last_day, found.last_fortnight, found.safe_at) == ("in_use", 5, 5, None)
    assert found.text == "In use: the only secret; it last matched 1 min ago."
    assert OLD not in repr(found)


def test_a_single_quiet_secret_is_not_to_be_removed(rotation: Rotation) -> None:
    """However quiet the provider is."""
    rotation.matched(OLD, NOON - 10 * DAY)

    found = rotation.evidence()[OLD]

    assert (found.verdict, found.safe_at) == ("quiet", None)


def test_never_used(rotation: Rotation) -> None:
    """Nothing came; or the provider signs with another one."""
    alone = rotation.evidence()[OLD]
    rotation.matched(OLD, NOON - 60)
    rotation.secrets = [NEW, OLD]
    both = rotation.evidence(NOON + 1)

    assert alone.verdict == "never_used"
    assert alone.text == "Never used: nothing has matched it since it was first seen, just now."
    assert both[NEW].verdict == "never_used"
    assert "while the provider signs with another one" in both[NEW].text
    assert both[OLD].verdict == "in_use"


def test_a_rotation_from_begin_to_end(rotation: Rotation) -> None:
    """In use, quiet until the provider repeats no more, safe to remove; the positions move meanwhile."""
    rotation.matched(OLD, NOON - 6 * DAY, 100)
    rotation.secrets = [NEW, OLD]
    rotation.matched(OLD, NOON - 5 * DAY, 7)
    before = rotation.evidence(NOON - 5 * DAY + 60)
    rotation.matched(NEW, NOON - 5 * DAY + 3600, 30)
    quiet = rotation.evidence(NOON - 5 * DAY + 7200)
    rotation.matched(NEW, NOON - 60, 3)
    safe = rotation.evidence()

    assert before[OLD].verdict == "in_use"
    assert (quiet[OLD].verdict, quiet[NEW].verdict) == ("quiet", "in_use")
    assert (
        "wait until 2026-11-29T12:00:00Z, because the provider may repeat what it sent for 4 days"
        in quiet[OLD].text
    )
    assert safe[OLD].verdict == "safe_to_remove"
    assert safe[OLD].safe_at == pytest.approx(NOON - DAY, abs=61)
    assert safe[OLD].last_fortnight == 107
    assert (safe[NEW].last_fortnight, safe[NEW].last_day) == (33, 3)
    assert "another one has matched 33 times" in safe[OLD].text


def test_a_position_that_held_both(rotation: Rotation) -> None:
    """The provider changed before the old secret ever matched at its new position."""
    for day in range(13, 6, -1):
        rotation.matched(OLD, NOON - day * DAY, 10)
    rotation.secrets = [NEW, OLD]
    for day in range(6, -1, -1):
        rotation.matched(NEW, NOON - day * DAY - 60, 10)

    found = rotation.evidence()

    assert (found[OLD].last_fortnight, found[NEW].last_fortnight) == (70, 70)
    assert found[OLD].last_match_at == pytest.approx(NOON - 7 * DAY, abs=1)
    assert found[OLD].verdict == "safe_to_remove"


def test_few_matches_of_the_other_prove_nothing(rotation: Rotation) -> None:
    """The provider may have tried it once."""
    rotation.secrets = [NEW, OLD]
    rotation.matched(OLD, NOON - 10 * DAY, 100)
    rotation.matched(NEW, NOON - DAY, 3)

    found = rotation.evidence()[OLD]

    assert found.verdict == "quiet"
    assert "wait until another secret has matched 20 times, so far 3 times" in found.text


def test_missing_entries_do_not_hide_matches(rotation: Rotation) -> None:
    """Entries are sampled or dropped; the counters say how often, and the neighbours say which secret."""
    rotation.secrets = [NEW, OLD]
    rotation.matched(OLD, NOON - 3000, 5)
    rotation.matched(OLD, NOON - 1200, 5, is_kept=False)
    rotation.matched(OLD, NOON - 600, 5)
    rotation.matched(OLD, NOON - 60, 5, is_kept=False)

    found = rotation.evidence()[OLD]

    assert found.last_day == 20
    assert found.last_match_at == pytest.approx(NOON - 60, abs=60)


def test_without_counters_entries_are_counted(rotation: Rotation) -> None:
    """Where no console has ever run."""
    story = Story(at=NOON - 60)
    for _ in range(3):
        story.received(slot=0, key=rotation.fingerprints.of(OLD))
    rotation.journal.append(story.entries)

    found = rotation.evidence()[OLD]

    assert (found.verdict, found.last_day) == ("in_use", 3)


def test_what_was_seen_is_remembered_longer_than_the_journal(rotation: Rotation) -> None:
    """When it was configured first, and when it matched last."""
    rotation.secrets = [NEW, OLD]
    rotation.matched(OLD, NOON - 60, 5)
    first = rotation.evidence()[OLD]
    rotation.journal = MemoryJournal()
    rotation.matched(NEW, NOON + 59 * DAY, 50)

    later = rotation.evidence(NOON + 60 * DAY)[OLD]

    assert later.last_match_at == first.last_match_at
    assert later.configured_at == pytest.approx(first.configured_at)
    assert later.verdict == "safe_to_remove"
    assert is_overdue(later, NOON + 60 * DAY)
    assert not is_overdue(later, NOON + 20 * DAY)


def test_a_match_is_as_recent_as_it_was(rotation: Rotation) -> None:
    """Also within the minute in which the history was written."""
    rotation.matched(OLD, NOON - 40)
    rotation.evidence(NOON - 30)
    rotation.matched(OLD, NOON - 10)

    assert rotation.evidence()[OLD].last_match_at == pytest.approx(NOON - 10, abs=0.01)


def test_a_secret_was_not_configured_before_it_was_first_seen(rotation: Rotation) -> None:
    """Its first match is counted in a minute that began earlier; a minute that had ended by then does say more."""
    rotation.matched(OLD, NOON + 20)
    assert rotation.evidence(NOON + 30)[OLD].configured_at == NOON + 30

    rotation.secrets = [NEW]
    rotation.matched(NEW, NOON + 100)
    assert rotation.evidence(NOON + 300)[NEW].configured_at == NOON + 60
