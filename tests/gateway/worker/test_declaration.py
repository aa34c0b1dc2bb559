"""What a worker says of itself, and what it gets: patterns, delays, events."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from gateway.worker import Event, Worker
from gateway.worker.backoff import Backoff
from gateway.worker.event import NotAnEvent
from support.agents import envelope

_HEAVY = (
    "starlette",
    "uvicorn",
    "httptools",
    "yaml",
    "cryptography",
    "jsonschema",
    "httpx",
    "gateway.config",
)


def named(worker: Worker, name: str) -> None:
    """Give the worker a handler that is found by its name."""

    @worker.on(name)
    async def handle(event: Event) -> None: ...

    handle.__name__ = name


@pytest.mark.parametrize(
    ("key", "winner"),
    [
        ("stripe.invoice.paid", "stripe.invoice.paid"),
        ("stripe.invoice.voided", "stripe.invoice.*"),
        ("stripe.charge.paid", "stripe.*.paid"),
        ("stripe.invoice.item.added", "stripe.#"),
        ("stripe.charge.failed", "stripe.*.*"),
        ("stripe", "stripe.#"),
        ("github.push", "#"),
    ],
)
def test_the_most_specific_pattern_wins(key: str, winner: str) -> None:
    """Whatever the order in which they were given."""
    worker = Worker("agent", ["#"])
    for pattern in (
        "#",
        "stripe.#",
        "stripe.*.*",
        "stripe.*.paid",
        "stripe.invoice.*",
        "stripe.invoice.paid",
    ):
        named(worker, pattern)

    handler = worker.handler_for(key)

    assert getattr(handler, "__name__", None) == winner


def test_an_event_that_no_pattern_matches_has_no_handler() -> None:
    """Also after another handler was added."""
    worker = Worker("agent", ["#"])
    before = worker.handler_for("stripe.invoice.paid")
    named(worker, "stripe.#")

    assert before is None
    assert worker.handler_for("stripe.invoice.paid") is not None
    assert worker.handler_for("github.push") is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Worker("amq.mine", ["#"]),
        lambda: Worker("two words", ["#"]),
        lambda: Worker("agent", []),
        lambda: Worker("agent", "stripe.#"),
        lambda: Worker("agent", ["stripe invoice"]),
        lambda: Worker("agent", ["#"], attempts=0),
        lambda: Worker("agent", ["#"], concurrency=0),
        lambda: Worker("agent", ["#"], retry_from=10, retry_most=1),
        lambda: Worker("agent", ["#"], guard="sometimes"),  # type: ignore[arg-type]
        lambda: Worker("agent", ["#"], limit="many"),
        lambda: Worker("agent", ["#"], limit="0/s"),
        lambda: Worker("agent", ["#"], limit="1/s", guard="off"),
        lambda: Worker("agent", ["#"], by="account"),
        lambda: Worker("agent", ["#"], limit="1/s", by="data"),
        lambda: Worker("agent", ["#"], ordered_by="customer"),
        lambda: Worker("agent", ["#"], ordered_by="subject", guard="off"),
        lambda: Worker("agent", ["#"], pause_after=0),
        lambda: Worker("agent", ["#"]).on(),
        lambda: Worker("agent", ["#"]).on("no pattern")(print),
        lambda: Worker("agent", ["#"], timeout=1).on("#")(print),
        lambda: Worker("agent", ["#"]).on("#", "#")(print),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_declared(make: Callable[[], object]) -> None:
    """Not when the first event comes."""
    with pytest.raises(ValueError, match=r"\w"):
        make()


def test_delays_double_up_to_the_most_and_come_apart() -> None:
    """A later attempt waits for its delay or the one below; what is asked for is rounded up to a delay."""
    ladder = Backoff(1, 10)

    assert list(ladder.delays) == [1, 2, 4, 8, 10]
    assert [{ladder.after(attempts) for _ in range(100)} for attempts in (1, 2, 4, 50)] == [
        {1}, {1, 2}, {4, 8}, {8, 10},
    ]  # fmt: skip
    assert [ladder.at_least(seconds) for seconds in (0, 3, 8, 60)] == [1, 4, 8, 10]


def test_an_event_has_what_its_envelope_has() -> None:
    """Extensions that are not known are left out."""
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
    """And where there is none, it is None."""
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
def test_what_is_no_event_is_told_without_its_values(fields: dict[str, Any]) -> None:
    """They could be anybody's."""
    body = orjson.loads(envelope("evt_1")) | fields

    with pytest.raises(NotAnEvent) as caught:
        Event.parse(orjson.dumps(body))

    assert "private" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"null", b"[" * 100_000])
def test_what_is_no_json_object_is_no_event(body: bytes) -> None:
    """Whatever it is."""
    with pytest.raises(NotAnEvent):
        Event.parse(body)


def test_a_step_needs_a_guard() -> None:
    """Rather than being done twice in silence."""
    event = Event.parse(envelope("evt_1"))

    with pytest.raises(RuntimeError, match="not guarded"):
        event.once("pay")


def test_a_module_with_handlers_imports_nothing_of_the_server() -> None:
    """Whoever tests a handler, or uses its module elsewhere, pays for pydantic alone."""
    source = f"import sys, gateway.worker; print([name for name in {_HEAVY} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_an_event_type_may_be_as_its_sender_spells_it() -> None:
    """What is bound and what is compared is the spelling of routing keys."""
    worker = Worker(
        "agent", ["shopify.orders/create", "stripe.v2.core.account[configuration.merchant].*", "acme.订单"]
    )
    named(worker, "shopify.orders/create")

    assert worker.events == (
        "shopify.orders.create",
        "stripe.v2.core.account.configuration.merchant.*",
        "acme.x-3d5436ea23d2",
    )
    assert worker.handler_for("shopify.orders.create") is not None
    with pytest.raises(ValueError, match="has a handler already"):
        named(worker, "shopify.orders.create")
