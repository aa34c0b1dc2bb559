"""One line an event: it fits the terminal, says what matters first, and nothing in it moves the cursor."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.cells import cell_len

from gateway.observability.event_lines import EventLine, line_of_attempt, line_of_delivery, line_of_request

REQUEST: dict[str, Any] = {
    "outcome": "accepted",
    "status": 202,
    "ms": 13.2,
    "provider": "stripe",
    "event_type": "payment_intent.succeeded",
    "event_id": "evt_028b5637a32c468ba67a54ee549e851c",
}
SUMMARY = "payment pi_1 of 42.00 eur succeeded"
HOSTILE = "\x1b[2J\u202e\u2066\u200b\x9b31m\r\n\u3164"


def test_a_wide_line_has_everything() -> None:
    """Time, mark, provider, type, summary, id, status and duration."""
    line = line_of_request(REQUEST, SUMMARY).fitted(160, color=False)

    assert re.fullmatch(
        r"\d\d:\d\d:\d\d ✓ stripe payment_intent\.succeeded  payment pi_1 of 42\.00 eur succeeded"
        r"  evt_028b5637a32c468ba67a54ee549e851c  202 13 ms",
        line,
    )


def test_a_narrow_line_loses_the_id_and_then_the_end_of_the_summary() -> None:
    """Never the result, which stands last."""
    line = line_of_request(REQUEST, SUMMARY).fitted(80, color=False)

    assert line.endswith("  payment pi_1 of 42.00 eu…  202 13 ms")
    assert len(line) == 80


@pytest.mark.parametrize("columns", [30, 40, 60, 79, 80, 120, 200])
@pytest.mark.parametrize("text", [SUMMARY, "支付成功" * 40, "e\u0301" * 100, "👩‍💻" * 40, HOSTILE * 9, ""])
def test_no_line_is_wider_than_the_terminal(columns: int, text: str) -> None:
    """Whatever the sender wrote: wide characters take two columns, combining ones none."""
    for line in (
        line_of_request(REQUEST, text),
        line_of_request({**REQUEST, "cause": text, "outcome": "internal"}),
    ):
        fitted = line.fitted(columns, color=False)
        assert cell_len(fitted) <= columns
        assert fitted.endswith("202 13 ms")
        assert fitted.isprintable()


def test_a_refusal_says_why() -> None:
    """With what was asked for, where no provider is known."""
    asked = {
        "outcome": "unknown_provider",
        "status": 404,
        "ms": 0.2,
        "method": "POST",
        "path": "/webhooks/Stripe",
        "cause": "no provider 'Stripe'; did you mean 'stripe'?",
    }

    assert line_of_request(asked).fitted(120, color=False)[9:] == (
        "✗ POST /webhooks/Stripe  no provider 'Stripe'; did you mean 'stripe'?  404 0 ms"
    )
    refused = {**REQUEST, "outcome": "invalid_signature", "status": 401, "cause": "signature_mismatch"}
    assert "  invalid signature: signature_mismatch  " in line_of_request(refused).fitted(120, color=False)


def test_a_batch_says_what_became_of_its_events() -> None:
    """It has no type and no summary of its own."""
    batch = {**REQUEST, "event_type": None, "events": 3, "outcomes": {"accepted": 2, "duplicate": 1}}

    assert "stripe 3 events  2 accepted, 1 duplicate" in line_of_request(batch).fitted(120, color=False)


def test_colours_change_nothing_but_the_colour() -> None:
    """Without the escapes the line is the same."""
    line = line_of_request(REQUEST, SUMMARY)
    coloured = line.fitted(80, color=True)

    assert "\x1b[32m✓" in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == line.fitted(80, color=False)


def test_in_a_pipe_a_line_is_complete_and_its_columns_are_two_spaces_apart() -> None:
    """However long it is."""
    line = EventLine(
        "09:43:09", "acme", "made", "a  b" + "x" * 300, "duplicate", "200 1 ms", ("id-1",)
    ).plain()

    assert line.split("  ") == [
        "09:43:09",
        "=",
        "acme",
        "made",
        "id-1",
        "duplicate",
        "a b" + "x" * 300,
        "200 1 ms",
    ]


def test_a_delivery_that_failed_says_how_and_when_it_is_tried_again() -> None:
    """With the message of the exception, where the log has it."""
    fields = {
        "queue": "agent",
        "type": "com.stripe.invoice.paid",
        "id": "evt_1",
        "outcome": "retried",
        "attempts": 2,
    }
    failed = {**fields, "error": "KeyError", "error_message": "'email'", "delay": 2.0, "ms": 12.0}

    assert line_of_delivery(failed).fitted(120, color=False)[9:] == (
        "✗ agent com.stripe.invoice.paid  retried: KeyError: 'email' (attempt 2)  evt_1  retry in 2 s, 12 ms"
    )


ATTEMPT: dict[str, Any] = {
    "delivery": "dlv_01JDKQ4T7V9X2B4D6F8H0K2M4N",
    "endpoint": "ep_billing",
    "type": "com.stripe.invoice.paid",
    "attempt": 1,
    "status": 200,
    "ms": 35.4,
}


def test_an_attempt_that_was_taken_needs_no_words() -> None:
    """Endpoint, type, delivery, status and duration."""
    line = line_of_attempt(ATTEMPT).fitted(120, color=False)

    assert line[9:] == "✓ ep_billing com.stripe.invoice.paid  dlv_01JDKQ4T7V9X2B4D6F8H0K2M4N  200 35 ms"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"status": 503, "outcome": "status", "retry_in": 5.2}, "status: attempt 1, retry in 5 s  503 35 ms"),
        (
            {"status": None, "outcome": "connect", "cause": "Connection refused", "retry_in": 30.0},
            "connect: attempt 1, retry in 30 s: Connection refused  35 ms",
        ),
        ({"status": 400, "outcome": "status"}, "status: attempt 1, no further attempt  400 35 ms"),
    ],
)
def test_an_attempt_that_failed_says_how_and_what_follows(fields: dict[str, Any], text: str) -> None:
    """As far as there is room."""
    line = line_of_attempt({**ATTEMPT, **fields}).fitted(140, color=False)

    assert (
        line[9:].replace("  dlv_01JDKQ4T7V9X2B4D6F8H0K2M4N", "")
        == f"✗ ep_billing com.stripe.invoice.paid  {text}"
    )
