"""Events as handlers get them: the attributes of the envelope, and steps."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from gateway.worker import Event
from gateway.worker.event import NotAnEvent
from support.agents import envelope


def test_an_event_has_what_its_envelope_has() -> None:
    """Unknown extensions are ignored."""
    body = envelope(
        "evt_1",
        data={"amount": 1.5},
        time="2026-01-15T12:00:00Z",
        subject="in_1",
        summary="Stripe: paid",
        replaysuspected=True,
        partlysigned=True,
        newextension="x",
    )

    event = Event.parse(body, attempts=2)

    assert (event.id, event.source, event.type) == ("evt_1", "/stripe", "com.stripe.invoice.paid")
    assert (event.provider, event.eventtype, event.subject) == ("stripe", "invoice.paid", "in_1")
    assert event.time == datetime(2026, 1, 15, 12, tzinfo=UTC)
    assert (event.data, event.attempts, event.account) == ({"amount": 1.5}, 2, None)
    assert (event.replaysuspected, event.partlysigned, event.redacted) == (True, True, False)


def test_data_that_is_not_json_is_bytes() -> None:
    """Without data it is None."""
    encoded = Event.parse(envelope("evt_1", data_base64=b64encode(b"<a/>\xff").decode()))

    assert encoded.data == b"<a/>\xff"
    assert Event.parse(envelope("evt_1")).data is None


@pytest.mark.parametrize(
    "fields",
    [
        {"id": None},
        {"type": 7},
        {"specversion": "0.3"},
        {"data_base64": "no base64!"},
        {"data_base64": 7},
        {"time": "private"},
        {"replaysuspected": "private"},
    ],
)
def test_a_message_that_is_not_an_event_is_refused_without_its_values(fields: dict[str, Any]) -> None:
    """They may be confidential."""
    body = orjson.loads(envelope("evt_1")) | fields

    with pytest.raises(NotAnEvent) as caught:
        Event.parse(orjson.dumps(body))

    assert "private" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"null", b"[" * 100_000])
def test_a_body_that_is_not_a_json_object_is_not_an_event(body: bytes) -> None:
    """Whatever else it is."""
    with pytest.raises(NotAnEvent):
        Event.parse(body)


def test_a_step_needs_a_guard() -> None:
    """Rather than run twice in silence."""
    event = Event.parse(envelope("evt_1"))

    with pytest.raises(RuntimeError, match="not guarded"):
        event.once("pay")
