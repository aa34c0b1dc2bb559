"""Every sentence about an event: what the entries say, and never what they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config import Config
from gateway.journal.entry import Kind
from gateway.operations.event_models import EventView
from gateway.operations.event_state import standing_of
from gateway.operations.event_steps import describe, steps_of
from gateway.operations.event_view import event_view
from support.journal_entries import Story, journal_of
from support.operator_config import operator_config


def _title_of(provider: str) -> str:
    return {"stripe": "Stripe", "github": "GitHub"}.get(provider, provider)


def _headline(story: Story, after: float = 0.0) -> str:
    return standing_of(story.entries, _title_of, now=story.now + after).headline


def _accepted(**more: Any) -> Story:
    story = Story()
    story.received(**more)
    return story


def _handled_at_the_second_attempt() -> Story:
    story = _accepted()
    story.attempt("retried", 1, reason="TimeoutError")
    story.attempt("handled", 2, after=2)
    return story


def _dead() -> Story:
    story = _accepted()
    for number in range(1, 8):
        story.attempt("retried", number, reason="TimeoutError")
    story.attempt("dead", 8, reason="TimeoutError")
    return story


def _redriven() -> Story:
    story = _dead()
    story.action("redriven", after=60, queue="billing-agent")
    return story


def _redriven_and_handled() -> Story:
    story = _redriven()
    story.attempt("handled", 1, after=2)
    return story


def _dropped() -> Story:
    story = _dead()
    story.action("dropped", after=60, queue="billing-agent.dead")
    return story


def _two_queues() -> Story:
    story = _accepted()
    story.attempt("handled", 1, queue="crm-agent")
    story.attempt("dead", 1, queue="billing-agent", reason="ValueError")
    return story


def _spooled() -> Story:
    return _accepted(reason="spooled")


def _drained() -> Story:
    story = _spooled()
    story.published(after=30)
    return story


def _quarantined() -> Story:
    story = Story()
    story.received("quarantined", detail="/total: type")
    return story


def _released() -> Story:
    story = _quarantined()
    story.action("released", after=120)
    return story


def _refused() -> Story:
    story = Story()
    story.received("broker_unavailable")
    return story


def _only(outcome: str) -> Callable[[], Story]:
    def make() -> Story:
        story = Story()
        story.received(outcome)
        return story

    return make


def _attempt(outcome: str, **more: Any) -> Callable[[], Story]:
    def make() -> Story:
        story = _accepted()
        story.attempt(outcome, **more)
        return story

    return make


SENTENCES = [
    (_accepted, 5, "Published 5 s ago; no worker has reported an attempt."),
    (
        _handled_at_the_second_attempt,
        0,
        "Handled by billing-agent at the second attempt, 3 s after it was received.",
    ),
    (_attempt("handled"), 0, "Handled by billing-agent at the first attempt, 1 s after it was received."),
    (
        _attempt("handled", queue=""),
        0,
        "Handled by a worker at the first attempt, 1 s after it was received.",
    ),
    (_attempt("handled", number=None), 0, "Handled by billing-agent, 1 s after it was received."),
    (_attempt("unhandled"), 0, "Acknowledged by billing-agent, which has no handler for invoice.paid."),
    (_attempt("duplicate"), 0, "Skipped by billing-agent, which had handled it before."),
    (
        _attempt("waiting"),
        20,
        "Deferred by billing-agent 20 s ago, because an earlier event of its order was not done.",
    ),
    (_attempt("limited"), 20, "Deferred by billing-agent 20 s ago, because its rate limit was reached."),
    (
        _attempt("in_flight"),
        20,
        "Deferred by billing-agent 20 s ago, because another process was handling it.",
    ),
    (_attempt("requeued"), 20, "Deferred by billing-agent 20 s ago, because its process was shutting down."),
    (
        _attempt("unsettled"),
        20,
        "Deferred by billing-agent 20 s ago, because it lost the connection to the broker.",
    ),
    (
        _attempt("retried", reason="KeyError"),
        20,
        "Failed in billing-agent at the first attempt (KeyError) 20 s ago, and is to be tried again.",
    ),
    (
        _attempt("retried", reason="KeyError"),
        3 * 3600,
        "Failed in billing-agent at the first attempt (KeyError) 3 h ago; no later attempt has been reported.",
    ),
    (
        _dead,
        0,
        "Dead-lettered by billing-agent at the eighth attempt (TimeoutError), 8 s after it was received.",
    ),
    (_redriven, 10, "Redriven to billing-agent by alice 10 s ago; no attempt has been reported since."),
    (_redriven_and_handled, 0, "Handled by billing-agent at the first attempt, 2 s after it was redriven."),
    (_dropped, 10, "Dropped from the dead letters of billing-agent by alice 10 s ago."),
    (
        _two_queues,
        0,
        (
            "Handled by crm-agent at the first attempt, 1 s after it was received; dead-lettered by billing-agent at the "
            "first attempt (ValueError), 2 s after it was received."
        ),
    ),
    (
        _spooled,
        90,
        "Accepted into the spool 1 min 30 s ago; that the broker has taken it is not reported yet.",
    ),
    (_drained, 5, "Published 5 s ago; no worker has reported an attempt."),
    (_quarantined, 60, "Quarantined 1 min ago: it does not match its schema (/total: type)."),
    (_released, 60, "Released from the quarantine by alice 1 min ago; no worker has reported an attempt."),
    (_refused, 1, "Refused 1 s ago with 503 (broker_unavailable); Stripe should send it again."),
    (_only("ignored"), 0, "Ignored: the configuration does not select the type invoice.paid."),
    (
        _only("duplicate"),
        0,
        "Answered as a duplicate of an event that was published before; the journal has no entry of that.",
    ),
]


@pytest.mark.parametrize(("make", "after", "expected"), SENTENCES)
def test_headline(make: Callable[[], Story], after: float, expected: str) -> None:
    """Each way to stand has a sentence of its own."""
    assert _headline(make(), after) == expected


def test_states() -> None:
    """The word and the colour agree with the sentence."""
    found = {
        make.__name__[1:]: (standing.state, standing.tone)
        for make in (
            _accepted,
            _handled_at_the_second_attempt,
            _dead,
            _redriven,
            _two_queues,
            _spooled,
            _quarantined,
            _dropped,
        )
        for standing in [standing_of(make().entries, _title_of, now=0)]
    }

    assert found == {
        "accepted": ("waiting", "busy"),
        "handled_at_the_second_attempt": ("handled", "good"),
        "dead": ("dead_lettered", "bad"),
        "redriven": ("waiting", "busy"),
        "two_queues": ("mixed", "bad"),
        "spooled": ("spooled", "busy"),
        "quarantined": ("quarantined", "bad"),
        "dropped": ("dropped", "neutral"),
    }


def test_duplicates_are_counted_in_one_sentence() -> None:
    """Requests that say the same are one step, and the headline says how many there were."""
    story = _accepted()
    for after in (2, 30, 300):
        story.received("duplicate", after)

    standing = standing_of(story.entries, _title_of, now=story.now)
    steps = steps_of(story.entries, _title_of)

    assert standing.headline.endswith("Stripe sent it 4 times.")
    assert [step.text for step in steps] == [
        "Received from Stripe and accepted with 202 in 12 ms.",
        "Sent again 3 times by Stripe within 5 min 30 s, each time recognised as a duplicate with 200.",
    ]
    assert [step.times for step in steps] == [1, 3]


def test_missing_receipt_is_not_claimed() -> None:
    """Without the entry of the receipt nobody knows how long it took, nor how often it was sent."""
    story = Story()
    story.received("duplicate")
    story.received("duplicate")
    story.attempt("handled", 3)

    standing = standing_of(story.entries, _title_of, now=story.now)

    assert (
        standing.headline == "Handled by billing-agent at the third attempt. Stripe sent it at least twice."
    )
    assert "older than the journal" in standing.notes[0]
    assert "2 further attempts of billing-agent" in standing.notes[1]


def test_sampling_is_mentioned() -> None:
    """A journal that keeps a part knows less."""
    story = Story()
    story.attempt("handled", 1)

    assert "sampled out" in standing_of(story.entries, _title_of, now=0, is_sampled=True).notes[0]


def test_no_report_proves_nothing() -> None:
    """The absence of a report is explained."""
    notes = standing_of(_accepted().entries, _title_of, now=0).notes

    assert "does not prove" in notes[0]


def test_clock_skew_hides_the_interval() -> None:
    """A report from before the receipt comes from another clock: no span is claimed, and the reason is given."""
    story = Story()
    story.attempt("handled", 1, after=0)
    story.received(after=5)

    standing = standing_of(story.entries, _title_of, now=story.now)

    assert standing.headline == "Handled by billing-agent at the first attempt."
    assert standing.notes[0].startswith("A worker reported an attempt 5 s before the event was received")


def test_accepted_twice_is_noted() -> None:
    """Two acceptances mean two publications."""
    story = _accepted()
    story.received()

    assert "accepted twice" in " ".join(standing_of(story.entries, _title_of, now=0).notes)


def test_ten_thousand_attempts_fold() -> None:
    """The first two, the last two and a sum are shown; the step keeps few of the entries."""
    story = _accepted()
    for number in range(1, 10_001):
        story.attempt("retried", number, reason="TimeoutError")

    steps = steps_of(story.entries, _title_of)

    assert [step.times for step in steps] == [1, 1, 1, 9996, 1, 1]
    assert steps[3].text == "billing-agent: attempts 3 to 9,998 failed (TimeoutError) within 2 h 46 min."
    assert len(steps[3].entries) == 20


def test_queues_that_alternate_fold_each() -> None:
    """What one queue reports does not break up what another does."""
    story = _accepted()
    for number in range(1, 21):
        story.attempt("waiting", number, queue="one")
        story.attempt("limited", number, queue="two")

    assert [step.times for step in steps_of(story.entries, _title_of)] == [1, 20, 20]


def test_different_reasons_do_not_fold() -> None:
    """Another exception is another step."""
    story = _accepted()
    story.attempt("retried", 1, reason="KeyError")
    story.attempt("retried", 2, reason="ValueError")

    assert len(steps_of(story.entries, _title_of)) == 3


@pytest.mark.parametrize(
    ("kind", "outcome", "more", "expected"),
    [
        (
            Kind.RECEIVED,
            "handshake",
            {"status": 200},
            "Received from Stripe and answered as a handshake with 200.",
        ),
        (
            Kind.RECEIVED,
            "invalid_signature",
            {"reason": "timestamp_too_old", "status": 401},
            "Received from Stripe and refused: invalid_signature (timestamp_too_old) with 401.",
        ),
        (
            Kind.RECEIVED,
            "client_disconnected",
            {},
            "Begun by Stripe, which closed the connection before the body was complete.",
        ),
        (Kind.PUBLISHED, "published", {}, "Published from the spool and confirmed by the broker."),
        (Kind.ACTION, "replayed", {"queue": "crm", "actor": "bob"}, "Replayed to crm by bob."),
        (Kind.ACTION, "sent", {"actor": "bob"}, "Sent as a test event by bob."),
        (Kind.ACTION, "polished_up", {}, "Polished up."),
        (Kind.HANDLED, "polished", {"queue": "q"}, "q reported polished."),
        (
            Kind.DELIVERED,
            "failed",
            {"queue": "crm", "status": 500, "attempt": 2},
            "crm did not take it at the second attempt with 500.",
        ),
        (
            Kind.DELIVERED,
            "dead",
            {"queue": "crm", "status": 503, "reason": "status", "attempt": 12},
            "crm did not take it at the 12th attempt with 503; the delivery is dead.",
        ),
        (
            Kind.DELIVERED,
            "retried",
            {"queue": "crm", "reason": "timeout_head", "attempt": 1},
            "crm did not take it at the first attempt (timeout head); it is tried again.",
        ),
        (Kind.RECEIVED, "accepted", {"provider": ""}, "Received from an unknown provider and accepted."),
    ],
)
def test_entry_as_a_sentence(kind: Kind, outcome: str, more: dict[str, Any], expected: str) -> None:
    """Each kind of entry, and words of a later version."""
    assert describe(Story().add(kind, outcome, **more), _title_of) == expected


def test_a_dead_delivery_is_no_dead_letter(config: Config) -> None:
    """Nothing of it is in a queue of a worker, neither while it is tried again nor afterwards."""
    story = Story()
    story.received()
    story.add(Kind.DELIVERED, "retried", queue="crm", status=503, reason="status", attempt=1)
    retrying = _view(config, story)
    story.add(Kind.DELIVERED, "dead", queue="crm", status=503, reason="status", attempt=2)
    dead = _view(config, story)

    assert retrying
    assert (retrying.state, "Not taken by crm at the first attempt with 503" in retrying.headline) == (
        "retrying",
        True,
    )
    assert dead
    assert dead.state == "dead"
    assert dead.headline.startswith(
        "The delivery to crm is dead: it failed at the second attempt with 503"
    ), dead.headline
    for view in (retrying, dead):
        assert not [place for place in view.places if place.queue]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two providers, and one of the operator's own."""
    return operator_config(tmp_path)


def _view(config: Config, *stories: Story, event_id: str = "evt_1", provider: str = "") -> EventView | None:
    return event_view(config, journal_of(*stories), event_id, provider, now=stories[0].now + 1)


def test_an_event_that_was_handled_before_its_request_was_answered(config: Config) -> None:
    """The timeline begins with its receipt: a request stands where it began, and took 12 ms here."""
    story = Story()
    story.attempt("handled", 1, after=0)
    story.received(after=0.005)

    view = _view(config, story)

    assert view
    assert [step.stage for step in view.steps] == ["gateway", "worker"]
    assert view.steps[1].delay == pytest.approx(0.007, abs=1e-3)
    assert view.headline == "Handled by billing-agent at the first attempt, 7 ms after it was received."
    assert view.first_at < view.last_at


def test_view_takes_the_newest_provider_and_names_the_others(config: Config) -> None:
    """Two providers may have an event of one id; each has its own timeline."""
    stripe, github = Story(), Story(provider="github")
    stripe.received()
    github.received(after=5)

    found, asked = _view(config, stripe, github), _view(config, stripe, github, provider="stripe")

    assert found
    assert (found.provider, found.other_providers, found.entries) == ("github", ("stripe",), 1)
    assert asked
    assert (asked.provider, asked.other_providers) == ("stripe", ("github",))


def test_view_of_an_unknown_event_is_none(config: Config) -> None:
    """Also of one that another provider has, and of no id at all: entries without one belong to no event."""
    story = Story()
    story.received()
    story.add(Kind.RECEIVED, "invalid_signature", event_id="")

    assert _view(config, story, event_id="evt_2") is None
    assert _view(config, story, provider="github") is None
    assert _view(config, story, event_id="") is None


@pytest.mark.parametrize(
    "event_id", ["a/b?c=d#e", 'say "hi"', "<script>", "日本", "a b", "é" * 300, "x" * 1000, "a\0b"]
)
def test_view_finds_odd_ids(config: Config, event_id: str) -> None:
    """However long or odd: the journal keeps a part of it, and the same part is looked for."""
    story = Story(event_id)
    story.received()

    found = _view(config, story, event_id=event_id)

    assert found
    assert found.event_id == event_id
    assert any("begin alike" in note for note in found.notes) == (len(event_id.encode()) > 200)


def test_related_events(config: Config) -> None:
    """Events of the same subject, account and request, each once, without the event itself."""
    request = Story("")
    whole = request.received()
    parts = [Story(f"evt_{number}") for number in range(1, 201)]
    for part in parts:
        part.received(request=whole.id, subject="in_1", account="acct_1")
    parts[1].received("duplicate", request=None, subject="in_1")
    other = Story("evt_other", provider="github")
    other.received(subject="in_1")

    found = _view(config, request, *parts, other)

    assert found
    assert found.related.request_total == 200
    assert len(found.related.request) == 20
    assert len({entry.event_id for entry in found.related.subject}) == 20
    ids = {
        entry.event_id for entry in (*found.related.subject, *found.related.account, *found.related.request)
    }
    assert not ids & {"evt_1", "evt_other", ""}


def test_places_of_the_payload(config: Config) -> None:
    """The places follow from how the event stands."""
    archived = config.model_copy(update={"archive": config.archive.model_copy(update={"enabled": True})})

    def kinds(story: Story, settings: Config = config) -> list[str]:
        found = _view(settings, story)
        assert found
        return [place.kind for place in found.places]

    assert kinds(_quarantined()) == ["quarantine"]
    assert kinds(_dead()) == ["dead_letters"]
    assert kinds(_dead(), archived) == ["dead_letters", "archive"]
    assert kinds(_spooled()) == ["spool"]
    assert kinds(_accepted()) == ["unrouted", "queue"]
    assert kinds(_handled_at_the_second_attempt()) == []
    assert kinds(_handled_at_the_second_attempt(), archived) == ["archive"]
    assert kinds(_attempt("retried")()) == ["queue"]
    assert kinds(_only("ignored")(), archived) == []
    assert kinds(_redriven()) == ["queue"]
