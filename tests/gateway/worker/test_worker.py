"""The declaration of a worker: its patterns, its handlers, and what is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.worker import Event, Worker


def named(worker: Worker, name: str) -> None:
    """Register a handler with the name of its pattern."""

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
    """In any order of registration."""
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
    """Registering another handler is noticed."""
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
def test_an_invalid_declaration_is_refused_when_it_is_made(make: Callable[[], object]) -> None:
    """Rather than when the first event arrives."""
    with pytest.raises(ValueError, match=r"\w"):
        make()


def test_an_event_type_may_be_as_its_sender_spells_it() -> None:
    """Both bindings and handlers use the spelling of routing keys."""
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
