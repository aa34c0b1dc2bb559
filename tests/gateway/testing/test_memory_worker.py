"""The worker in memory: attempts, retries and dead letters, by a clock that only the test moves."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from gateway.testing import MemoryGateway, MemoryWorker, sample
from gateway.worker import Dead, Event, Retry, Worker


def failing(error: Exception, *, times: int = 100, **settings: float) -> Worker:
    """Return a worker whose handler fails a number of times."""
    worker = Worker("agent", ["stripe.#"], attempts=4, **settings)  # type: ignore[arg-type]

    @worker.on("stripe.invoice.*")
    async def handle(event: Event) -> None:
        if event.attempts <= times:
            raise error

    return worker


async def test_an_event_is_handled_once() -> None:
    """The same event again is a duplicate; an event without a handler is unhandled."""
    event = sample("stripe", "invoice.paid")
    async with MemoryWorker(failing(KeyError(), times=0)) as agent:
        for each in (event, event, sample("stripe", "charge.refunded")):
            await agent.deliver(each)

    assert [outcome.name for outcome in agent.outcomes] == ["handled", "duplicate", "unhandled"]
    assert agent.outcomes[0].event is event


async def test_events_of_one_id_are_told_apart_by_their_key() -> None:
    """Where the provider gives one id to several events; the same event again is a duplicate."""
    event = sample("stripe", "invoice.paid")
    others = [event.model_copy(update={"dedupekey": key}) for key in ("a", "b")]
    async with MemoryWorker(failing(KeyError(), times=0)) as agent:
        for each in (event, *others, *others):
            await agent.deliver(each)

    assert [outcome.name for outcome in agent.outcomes] == ["handled"] * 3 + ["duplicate"] * 2


async def test_a_handler_gets_the_sample() -> None:
    """With all attributes and bytes as data, in a thread as well."""
    worker = Worker("agent", ["#"])
    seen: list[Event] = []
    worker.on("#")(seen.append)
    events = [sample("stripe", account="acct_7"), sample("salesforce_outbound"), sample("sendgrid")]
    async with MemoryWorker(worker) as agent:
        for event in events:
            assert (await agent.deliver(event)).name == "handled"

    assert isinstance(seen[1].data, bytes)
    assert [event.model_dump() for event in seen] == [event.model_dump() for event in events]


async def test_a_failure_is_retried_until_it_is_dead() -> None:
    """Each delay is longer, each outcome has the error, and half an hour passes at once."""
    error = KeyError("customer")
    async with MemoryWorker(failing(error, retry_from=600, retry_most=600)) as agent:
        first = await agent.deliver(sample("stripe", "invoice.paid"))
        assert (first.name, first.attempts, first.delay, first.error) == ("retried", 1, 600, error)
        assert [event.id for event in agent.waiting] == [first.event.id]

        await agent.advance(599)
        assert len(agent.outcomes) == 1
        await agent.advance(1)
        assert len(agent.outcomes) == 2
        await agent.advance(1300)

    assert [(each.name, each.attempts) for each in agent.outcomes] == [
        ("retried", 1),
        ("retried", 2),
        ("retried", 3),
        ("dead", 4),
    ]
    assert agent.dead == agent.outcomes[-1:]
    assert (agent.dead[0].reason, agent.dead[0].error) == ("failed 4 times", error)
    assert agent.waiting == []


async def test_a_handler_that_recovers_is_done() -> None:
    """It asked for 30 s, and gets the next longer delay."""
    async with MemoryWorker(failing(Retry(after=30), times=2)) as agent:
        await agent.deliver(sample("stripe", "invoice.paid"))
        await agent.drain()

    assert [(each.name, each.delay) for each in agent.outcomes] == [
        ("retried", 32),
        ("retried", 32),
        ("handled", 0),
    ]


async def test_the_hopeless_is_dead_at_once() -> None:
    """With its reason."""
    async with MemoryWorker(failing(Dead("no such customer"))) as agent:
        outcome = await agent.deliver(sample("stripe", "invoice.paid"))

    assert (outcome.name, outcome.reason, agent.dead) == ("dead", "no such customer", [outcome])


async def test_a_sample_of_a_later_attempt_is_that() -> None:
    """So that a test can begin with the last attempt."""
    async with MemoryWorker(failing(KeyError())) as agent:
        outcome = await agent.deliver(sample("stripe", "invoice.paid", attempts=4))

    assert (outcome.name, outcome.attempts) == ("dead", 4)


async def test_a_step_that_was_done_is_skipped_by_the_next_attempt() -> None:
    """In coroutines and in threads."""
    worker = Worker("agent", ["#"])
    done: list[str] = []

    @worker.on("stripe.#")
    async def coroutine(event: Event) -> None:
        async with event.once("email") as first:
            if first:
                done.append("coroutine")
        if event.attempts == 1:
            raise KeyError

    @worker.on("github.#")
    def function(event: Event) -> None:
        with event.once("email") as first:
            if first:
                done.append("function")
        if event.attempts == 1:
            raise KeyError

    async with MemoryWorker(worker) as agent:
        await asyncio.gather(agent.deliver(sample("stripe")), agent.deliver(sample("github")))
        await agent.drain()

    assert sorted(done) == ["coroutine", "function"]
    assert [outcome.name for outcome in agent.outcomes].count("handled") == 2


async def test_an_event_that_is_being_handled_is_deferred() -> None:
    """Later it is a duplicate. Cancelling the wait for an outcome does not cancel the handler."""
    worker = Worker("agent", ["#"])
    begun, go_on = asyncio.Event(), asyncio.Event()

    @worker.on("#")
    async def handle(event: Event) -> None:
        begun.set()
        await go_on.wait()

    event = sample("stripe")
    async with MemoryWorker(worker) as agent:
        first = asyncio.create_task(agent.deliver(event))
        await begun.wait()
        assert (await agent.deliver(event)).name == "in_flight"
        first.cancel()
        go_on.set()
        await agent.drain()

    assert [outcome.name for outcome in agent.outcomes] == ["in_flight", "handled", "duplicate"]


async def test_a_done_event_is_forgotten_after_its_retention() -> None:
    """As the real store does."""
    event = sample("stripe", "invoice.paid")
    async with MemoryWorker(failing(KeyError(), times=0)) as agent:
        for days in (0, 3, 2):
            await agent.advance(timedelta(days=days).total_seconds())
            await agent.deliver(event)

    assert [outcome.name for outcome in agent.outcomes] == ["handled", "duplicate", "handled"]


async def test_without_a_guard_everything_is_handled() -> None:
    """As the worker declares."""
    worker = Worker("agent", ["#"], guard="off")

    @worker.on("#")
    async def handle(event: Event) -> None:
        event.once("step")

    event = sample("stripe")
    async with MemoryWorker(worker) as agent:
        first = await agent.deliver(event)

    assert isinstance(first.error, RuntimeError)


async def test_workers_get_what_a_gateway_publishes() -> None:
    """Those that match their patterns, while they run; never duplicates, forged or quarantined events."""
    gateway = MemoryGateway()
    everything = Worker("everything", ["#"])
    await gateway.send("stripe", "invoice.paid")
    async with MemoryWorker(failing(KeyError(), times=1), gateway) as billing:
        async with MemoryWorker(everything, gateway) as other:
            paid = await gateway.send("stripe", "invoice.paid")
            await gateway.repeat(paid)
            await gateway.send("stripe", "invoice.paid", tamper="signature")
            await gateway.send("stripe", "invoice.paid", data={"data": {"object": {"id": 7}}})
            await gateway.send("github", "push")
            await billing.drain()
            await other.drain()
        await gateway.send("github", "push")

    assert [(each.name, each.event.id) for each in billing.outcomes] == [
        ("retried", paid.events[0].id),
        ("handled", paid.events[0].id),
    ]
    assert [each.event.eventtype for each in other.outcomes] == ["invoice.paid", "push"]


async def test_an_event_in_its_handler_when_the_worker_ends_is_requeued() -> None:
    """After the grace, as by a real worker, and the next one handles it. A wait for an event that had not begun ends."""
    worker = Worker("agent", ["#"], concurrency=1, grace=0)
    begun, go_on = asyncio.Event(), asyncio.Event()

    @worker.on("#")
    async def handle(event: Event) -> None:
        begun.set()
        await go_on.wait()

    async with MemoryWorker(worker) as agent:
        first = asyncio.create_task(agent.deliver(sample("stripe")))
        second = asyncio.create_task(agent.deliver(sample("stripe")))
        await begun.wait()

    assert (await first).name == "requeued"
    with pytest.raises(RuntimeError, match=r"ended before evt_.* was handled"):
        await second

    go_on.set()
    async with agent:
        await agent.drain()
    assert [outcome.name for outcome in agent.outcomes] == ["requeued", "handled", "handled"]


async def test_a_worker_that_is_started_again_knows_what_is_done() -> None:
    """It continues with the delayed events."""
    agent = MemoryWorker(failing(KeyError(), times=1))
    event = sample("stripe", "invoice.paid")
    async with agent:
        await agent.deliver(event)
    async with agent:
        await agent.drain()
        await agent.deliver(event)

    assert [outcome.name for outcome in agent.outcomes] == ["retried", "handled", "duplicate"]


async def test_mistakes_are_explained() -> None:
    """Before an event is delivered."""
    agent = MemoryWorker(failing(KeyError()))
    with pytest.raises(RuntimeError, match="within `async with MemoryWorker"):
        await agent.deliver(sample("stripe"))
    async with agent:
        with pytest.raises(
            ValueError, match=r"github.push never reaches queue agent, whose events are stripe.#"
        ):
            await agent.deliver(sample("github", "push"))
