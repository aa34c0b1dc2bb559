"""Steps whose result is stored: the next attempt gets it without running them."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, assert_type

import pytest
from pydantic import BaseModel

from gateway.claims import ClaimsUnavailable
from gateway.testing import MemoryWorker, sample
from gateway.worker import Dead, Event, Retry, Worker
from gateway.worker.idempotency import Idempotency
from gateway.worker.steps import MAX_RESULT
from gateway.worker.store.memory import MemoryStore
from support.agents import Place
from support.waiting import PATIENCE, wait_until_async

NOON = datetime.fromisoformat("2026-01-15T12:00:00Z")


class Draft(BaseModel):
    """A result with a type."""

    text: str
    at: datetime


def short() -> Worker:
    """Return a worker that retries at once."""
    return Worker("agent", ["stripe.#"], attempts=4, retry_from=0.05, retry_most=0.05)


async def test_a_later_attempt_gets_the_stored_result(place: Place) -> None:
    """In a coroutine and in a thread; a call that failed runs again."""
    worker, calls = short(), Counter[str]()
    results: list[Any] = []

    async def charge() -> dict[str, Any]:
        calls["charge"] += 1
        return {"id": f"ch_{calls['charge']}", "lines": ["äöü", None, 1.5]}

    def fail_once() -> str:
        calls["fail"] += 1
        if calls["fail"] == 1:
            raise ConnectionError
        return "sent"

    @worker.on("stripe.invoice.*")
    async def coroutine(event: Event) -> None:
        results.append(await event.once("charge", charge))
        assert await event.once("mail", fail_once) == "sent"
        if event.attempts < 3:
            raise Retry

    @worker.on("stripe.charge.*")
    def function(event: Event) -> None:
        def count() -> int:
            calls["thread"] += 1
            return calls["thread"]

        results.append(event.once("count", count).result())
        if event.attempts < 3:
            raise Retry

    async with place.running(worker) as runner:
        await place.publish("evt_1")
        await place.publish("evt_2", eventtype="charge.failed")
        await wait_until_async(lambda: runner.counts["handled"] == 2, PATIENCE)

    assert calls == {"charge": 1, "fail": 2, "thread": 1}
    assert [result for result in results if result != 1] == [{"id": "ch_1", "lines": ["äöü", None, 1.5]}] * 3
    assert results.count(1) == 3


async def test_a_result_has_its_type_at_every_attempt() -> None:
    """The first one too goes through JSON, so that a difference is seen at once."""
    event = sample("stripe")
    draft = Draft(text="Hello", at=NOON)

    first = await event.once("draft", lambda: draft, returns=Draft)
    again = await event.once("draft", lambda: draft, returns=Draft)
    pair: Any = await event.once("pair", lambda: (1, 2))

    assert_type(first, Draft)
    assert first == again == draft
    assert first is not draft
    assert pair == [1, 2]
    nothing: Any = None
    assert await event.once("nothing", lambda: nothing) is None


@pytest.mark.parametrize(
    ("result", "problem"),
    [(Draft(text="", at=NOON), "a Draft is not JSON; pass `returns="), ("x" * MAX_RESULT, "65,538 bytes")],
    ids=["type", "size"],
)  # fmt: skip
async def test_a_result_that_cannot_be_stored_is_dead_and_not_repeated(result: object, problem: str) -> None:
    """Its effect has happened."""
    worker, calls = short(), Counter[str]()

    def call() -> object:
        calls["call"] += 1
        return result

    @worker.on("#")
    async def handle(event: Event) -> None:
        await event.once("call", call)

    event = sample("stripe", "invoice.paid")
    async with MemoryWorker(worker) as agent:
        first, again = await agent.deliver(event), await agent.deliver(event)

    assert (first.name, again.name, calls["call"]) == ("dead", "dead", 1)
    assert problem in str(first.reason)
    assert str(again.reason) == "step 'call' was done before, and has no stored result"


async def test_a_stored_result_of_another_type_is_dead() -> None:
    """The program has changed since."""
    event = sample("stripe")
    await event.once("draft", lambda: "text")

    with pytest.raises(Dead, match="has another type by now"):
        await event.once("draft", lambda: Draft(text="", at=NOON), returns=Draft)


async def test_a_thread_and_a_coroutine_each_have_their_way() -> None:
    """The other one's would block the loop, or never run."""
    worker = Worker("agent", ["stripe.#"], attempts=1)

    async def coroutine_function() -> int:
        return 1

    @worker.on("stripe.invoice.*")
    async def coroutine(event: Event) -> None:
        event.once("step", lambda: 1).result()

    @worker.on("stripe.charge.*")
    def thread(event: Event) -> None:
        event.once("step", coroutine_function).result()

    async with MemoryWorker(worker) as agent:
        outcomes = [
            await agent.deliver(sample("stripe", name)) for name in ("invoice.paid", "charge.refunded")
        ]

    assert ["await event.once" in str(outcomes[0].error), "async def" in str(outcomes[1].error)] == [True] * 2
    assert [type(outcome.error) for outcome in outcomes] == [TypeError, TypeError]


class ForgetfulStore(MemoryStore):
    """A store that is away whenever a result is asked for, or a commit has one."""

    is_away = True

    async def result_of(self, key: str) -> str | None:
        """Refuse while it is away."""
        if self.is_away:
            raise ClaimsUnavailable
        return await super().result_of(key)

    def commit(self, key: str, on_failure: Any, *, content: str = "", retention: float | None = None) -> None:
        """Refuse what has a result, while it is away."""
        if self.is_away and content:
            on_failure()
        else:
            super().commit(key, on_failure, content=content, retention=retention)


async def test_a_result_that_the_store_did_not_take_is_stored_once_it_is_back() -> None:
    """A lenient worker does not run the step again while its result cannot be read."""
    store = ForgetfulStore(30)
    idempotency = Idempotency(store, "agent", 30, "lenient")
    lease = idempotency.lease_for("/stripe", "evt_1")
    assert await lease.begin("step")
    lease.end("step", is_done=True, result='"kept"')
    with pytest.raises(Retry):
        await lease.result_of("step")

    store.is_away = False
    await idempotency.stop()

    assert not await idempotency.lease_for("/stripe", "evt_1").begin("step")
    assert await lease.result_of("step") == '"kept"'
