"""An event that the configuration leaves out is reported once a type: a typing error in `events` looks like that."""

from __future__ import annotations

from pathlib import Path

import structlog

from support.acme import Acme

NAMED = {"event_id": "body:/id", "event_type": "body:/type"}


async def test_the_first_ignored_event_of_a_type_is_a_warning(tmp_path: Path) -> None:
    """Later ones are not; both spellings of a pattern let events pass."""
    with structlog.testing.capture_logs() as logs:
        async with Acme(tmp_path, provider=NAMED | {"events": ["orders/create", "made.*"]}) as acme:
            answers = [
                (await acme.post(b'{"id":"%d","type":"%b"}' % (number, event_type))).json()["status"]
                for number, event_type in enumerate(
                    (b"orders/create", b"orders/paid", b"orders/paid", b"x", b"made:y")
                )
            ]

    assert answers == ["accepted", "ignored", "ignored", "ignored", "accepted"]
    reported = [line for line in logs if line["event"] == "event type ignored"]
    assert [(line["log_level"], line["event_type"]) for line in reported] == [
        ("warning", "orders.paid"),
        ("warning", "x"),
    ]
    assert "providers.acme.events" in reported[0]["cause"]
