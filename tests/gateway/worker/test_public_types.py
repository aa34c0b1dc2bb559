"""The public API as a user's type checker sees it: mypy in strict mode checks every line, and each also runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, assert_type

from gateway.testing import Answer, MemoryGateway, MemoryWorker, Outcome, sample
from gateway.worker import Dead, Event, Retry, Worker

worker = Worker(
    "agent",
    ["stripe.#"],
    attempts=3,
    timeout=None,
    guard="strict",
    ordered_by="subject",
    limit="1000/s",
    by=lambda event: event.data.get("account"),
    pause_after=None,
)


@worker.on("stripe.invoice.*")
async def remind(event: Event) -> None:
    """A coroutine with a guarded step."""
    if event.attempts == 1:
        raise Retry(after=1)
    async with event.once("send-email") as first:
        assert_type(first, bool)
        assert_type(event.key_of("send-email"), str)
    raise Dead("an invoice that nobody pays")


@worker.on("stripe.charge.*", "stripe.payout.*")
def note(event: Event) -> None:
    """A function that runs in a thread."""
    with event.once("note") as first:
        assert_type(first, bool)


class Callee:
    """A handler may be an object, too."""

    async def __call__(self, event: Event) -> None:
        """Accept every event."""


worker.on("stripe.#")(Callee())


def test_a_decorated_function_keeps_its_type() -> None:
    """The decorator registers it, and returns it unchanged."""

    def handle(event: Event) -> None: ...

    decorated = Worker("agent", ["#"]).on("#")(handle)

    kept: Callable[[Event], None] = decorated
    assert kept is handle


def test_an_event_has_typed_attributes() -> None:
    """Data alone is of any type."""
    event = sample("stripe", "invoice.paid", data={"livemode": False}, account="acct_7")

    assert_type(event, Event)
    assert_type(event.id, str)
    assert_type(event.account, str | None)
    assert_type(event.time, datetime | None)
    assert_type(event.attempts, int)
    assert_type(event.data, Any)


async def test_the_test_kit_is_typed() -> None:
    """The gateway answers, the worker settles, and both say how."""
    gateway = MemoryGateway()
    async with MemoryWorker(worker, gateway) as agent:
        answer = await gateway.send("stripe", "invoice.payment_failed")
        await agent.drain()
        outcome = await agent.deliver(gateway.sample("stripe", "charge.refunded"))

    assert_type(agent, MemoryWorker)
    assert_type(answer, Answer)
    assert_type(answer.status, int)
    assert_type(answer.events, tuple[Event, ...])
    assert_type(outcome, Outcome)
    assert_type(outcome.error, BaseException | None)
    assert_type(agent.outcomes, list[Outcome])
    assert_type(agent.waiting, list[Event])
    assert [each.name for each in agent.outcomes] == ["retried", "dead", "handled"]


def test_a_guard_is_one_of_three_words() -> None:
    """A typing error otherwise, as well as a ValueError."""
    guard: Literal["strict", "lenient", "off"]
    for guard in ("strict", "lenient", "off"):
        assert_type(Worker("agent", ["#"], guard=guard).guard, Literal["strict", "lenient", "off"])
