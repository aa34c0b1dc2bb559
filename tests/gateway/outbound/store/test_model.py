"""Whatever is done in whatever order, a database has what the store in memory has, which is the model."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace
from typing_extensions import override

from gateway.outbound.ids import shard_of
from gateway.outbound.models import (
    Delivery,
    DeliveryState,
    EndpointState,
    Operation,
    OutboundMessage,
    Trigger,
)
from gateway.outbound.store import Chosen, Conflict, DeliveryFilter, MessageFilter, Store
from gateway.outbound.store.memory import MemoryStore
from gateway.outbound.store.postgresql import PostgresStore
from gateway.outbound.store.sqlite import SqliteStore
from support.outbound_records import a_delivery, a_message, a_record, an_endpoint, new_id

DAY = 86_400.0
NAMES = ("shop", "other")
STATES = st.sampled_from(DeliveryState)
FEW = st.integers(0, 50)
KEYS = [bytes(range(32))]


KEYS_AND_PLACES = st.tuples(
    st.sampled_from(["in_1", "in_1", "in_2", ""]),
    st.sampled_from(["", "", "0000000001", "0000000002"]),
    st.lists(st.sampled_from(["shop", "shop", "other", "gone"]), min_size=1, max_size=2),
)
AGES = st.sampled_from([0.0, 0.0, 0.0, 10.0, 16.0, 40.0])
WAITING = st.sampled_from(
    [DeliveryState.PENDING, DeliveryState.PENDING, DeliveryState.PENDING, DeliveryState.HELD]
)


class StoreModel(RuleBasedStateMachine):
    """Everything that people, owners and senders do, to a database and to the model."""

    def make(self) -> Store:
        """Return the database, which has to be empty."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="outbound-"))
        self.model = MemoryStore()
        self.store = self.make()
        self.began_at = float(int(time.time())) - 1000
        self.moments = 0
        self.epochs: dict[int, int] = {}
        self.known: list[Delivery] = []
        self.messages: list[OutboundMessage] = []
        self.operations: list[str] = []

    @initialize(on_dead=st.sampled_from(["skip", "hold"]))
    def start(self, on_dead: str) -> None:
        """Two endpoints, and an owner of both."""
        self.runner.run(self.store.start())

        async def put_all(store: Store) -> None:
            for name in NAMES:
                await store.put_endpoint(an_endpoint(name, on_dead=on_dead))

        self.both(put_all)
        self.epochs = {
            each.shard: each.epoch
            for each in self.both(lambda store: store.lease("one", 900.0, want=256), [])
        }

    def both(self, action: Callable[[Store], Awaitable[Any]], *unlike: Any) -> Any:
        """Do something to both, which have to answer alike; what varies with the clock is left to the other checks."""
        answers = [self.runner.run(_answer(action(store))) for store in (self.store, self.model)]
        if not unlike:
            assert answers[0] == answers[1]
        return answers[0]

    def now(self) -> float:
        """Return a moment after all others."""
        self.moments += 1
        return self.began_at + self.moments

    def pick(self, number: int) -> Delivery | None:
        """Return a delivery as it was at some time."""
        return self.known[number % len(self.known)] if self.known else None

    @rule(
        batch=st.lists(st.tuples(st.integers(0, 40), KEYS_AND_PLACES, AGES, WAITING), min_size=1, max_size=6)
    )
    def accept(self, batch: list[tuple[int, tuple[str, str, list[str]], float, DeliveryState]]) -> None:
        """Accept messages, of which some were accepted before."""
        accepted = []
        for event, (key, sequence, endpoints), age, state in batch:
            message = a_message(f"evt_{event}", at=self.now() - age * DAY, sequence=sequence)
            deliveries = [a_delivery(message, f"ep_{name}", state=state, order_key=key) for name in endpoints]
            accepted.append((message, deliveries))
        answers = self.both(lambda store: store.accept(accepted))
        for (message, deliveries), is_new in zip(accepted, answers, strict=True):
            if is_new:
                self.known += deliveries
                self.messages.append(message)

    @rule(
        name=st.sampled_from(NAMES),
        states=st.lists(STATES, min_size=1, max_size=4),
        is_owner=st.sampled_from([True, True, True, False]),
    )
    def record(self, name: str, states: list[DeliveryState], is_owner: bool) -> None:
        """End attempts of what is due."""
        ready = self.both(lambda store: store.due(f"ep_{name}", 1e12, 4), [])
        epoch = self.epochs[shard_of(f"ep_{name}")] - (not is_owner)
        records = [
            a_record(each, state, epoch, at=self.now()) for each, state in zip(ready, states, strict=False)
        ]
        self.both(lambda store: store.record(records))
        self.known += [each.delivery for each in records]

    @rule(number=FEW, state=STATES)
    def record_late(self, number: int, state: DeliveryState) -> None:
        """End an attempt that began when much was different."""
        if delivery := self.pick(number):
            record = a_record(delivery, state, self.epochs[shard_of(delivery.endpoint)], at=self.now())
            self.both(lambda store: store.record([record, record]))

    @rule(number=FEW, retries=st.booleans())
    def redeliver(self, number: int, retries: bool) -> None:
        """Begin a new round, if that is possible."""
        if delivery := self.pick(number):
            at = self.now()
            self.both(
                lambda store: store.redeliver(delivery.id, trigger=Trigger.MANUAL, at=at, retries=retries),
                "due and end vary",
            )

    @rule(number=FEW, states=st.lists(STATES, max_size=2, unique=True), of_message=st.booleans())
    def cancel(self, number: int, states: list[DeliveryState], of_message: bool) -> None:
        """Cancel a delivery, or all of a message."""
        if delivery := self.pick(number):
            wanted = DeliveryFilter(states=tuple(states), message=delivery.message)
            wanted = wanted if of_message else wanted._replace(delivery=delivery.id)
            self.both(lambda store: store.cancel(wanted))

    @rule(name=st.sampled_from(NAMES), since=st.sampled_from([None, 0.0, 5.0]))
    def resume(self, name: str, since: float | None) -> None:
        """Decide about what is held."""
        moment = since and self.began_at + self.moments - since
        self.both(lambda store: store.resume(f"ep_{name}", since=moment))

    @rule(
        name=st.sampled_from(["", *NAMES]),
        states=st.lists(STATES, max_size=2, unique=True),
        limit=st.sampled_from([None, None, 1, 3]),
        chosen=st.sampled_from([None, lambda message: message.event_id.endswith(("1", "3", "5"))]),
        as_new=st.booleans(),
    )
    def replay(
        self, name: str, states: list[DeliveryState], limit: int | None, chosen: Chosen | None, as_new: bool
    ) -> None:
        """Deliver many anew."""
        now = self.now()
        operation = Operation(
            id=new_id("op", now), endpoint="", created_at=now, actor="", state="running", total=0
        )
        wanted = DeliveryFilter(endpoint=name and f"ep_{name}", states=tuple(states))
        self.both(
            lambda store: store.replay(operation, wanted, rate=0.5, limit=limit, chosen=chosen, as_new=as_new)
        )
        self.operations.append(operation.id)

    @rule(number=FEW)
    def cancel_operation(self, number: int) -> None:
        """End a bulk replay."""
        if self.operations:
            operation = self.operations[number % len(self.operations)]
            self.both(lambda store: store.cancel_operation(operation))

    @rule(number=FEW)
    def forget(self, number: int) -> None:
        """Forget a message."""
        if self.messages:
            message = self.messages[number % len(self.messages)].id
            self.both(lambda store: store.forget(message))

    @rule(name=st.sampled_from(NAMES), on_dead=st.sampled_from(["skip", "hold"]))
    def change_endpoint(self, name: str, on_dead: str) -> None:
        """Change what a dead delivery means."""
        self.both(lambda store: store.put_endpoint(an_endpoint(name, on_dead=on_dead)))

    @rule(name=st.sampled_from(NAMES), chance=st.integers(1, 6))
    def delete_endpoint(self, name: str, chance: int) -> None:
        """Delete an endpoint, which may come back. Not often, or little else would happen."""
        if chance == 6:
            self.both(lambda store: store.delete_endpoint(f"ep_{name}"))

    @rule(
        name=st.sampled_from(NAMES),
        state=st.sampled_from(EndpointState),
        was=st.sampled_from([None, *EndpointState]),
    )
    def change_state(self, name: str, state: EndpointState, was: EndpointState | None) -> None:
        """Pause, disable or enable an endpoint."""

        async def change(store: Store) -> None:
            found = await store.endpoint(f"ep_{name}")
            if found:
                await store.put_health(replace(found[1], state=state), by_person=False, was=was)

        self.both(change)

    @rule(days=st.sampled_from([0, 0, 0, 14.5, 14.5, 31]))
    def prune(self, days: float) -> None:
        """Let time pass."""
        self.both(lambda store: store.prune(self.began_at + days * DAY))

    @invariant()
    def both_have_the_same(self) -> None:
        """All that anybody can ask."""
        if self.epochs:
            self.both(self.everything)

    async def everything(self, store: Store) -> list[object]:
        """Return all that is kept, without what the clocks of the two make different."""
        deliveries = await store.deliveries(DeliveryFilter(), limit=1000)
        endpoints = [f"ep_{name}" for name in (*NAMES, "gone")]
        waiting = await store.waiting(endpoints)
        return [
            await store.endpoints(),
            await store.version(),
            [replace(each, due_at=0.0, ended_at=each.ended_at and 0.0) for each in deliveries],
            [await store.attempts(each.id) for each in deliveries],
            await store.messages([each.id for each in self.messages]),
            await store.list_messages(MessageFilter(), limit=1000),
            [[each.id for each in await store.due(endpoint, 1e12, 1000)] for endpoint in endpoints],
            sorted(await store.next_due(endpoints)),
            {name: each._replace(next_due=each.next_due and 0.0) for name, each in waiting.items()},
            [await store.operation(each) for each in self.operations],
            [await store.count(DeliveryFilter(states=(each,))) for each in DeliveryState],
            [
                each.id
                for each in await store.deliveries(DeliveryFilter(endpoint="ep_shop"), oldest_first=True)
            ],
        ]

    @override
    def teardown(self) -> None:
        """Close the database."""
        self.runner.run(self.store.stop())
        self.runner.close()
        shutil.rmtree(self.folder)


async def _answer(action: Awaitable[Any]) -> Any:
    try:
        return await action
    except (KeyError, Conflict) as error:
        return type(error)


def run(model: type[StoreModel], examples: int) -> None:
    """Try many orders of things."""
    run_state_machine_as_test(
        model,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            phases=(
                Phase.explicit,
                Phase.reuse,
                Phase.generate,
            ),  # a shorter example would take minutes to find
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_sqlite_does_what_the_model_does() -> None:
    """In a file of its own each time."""

    class SqliteModel(StoreModel):
        @override
        def make(self) -> Store:
            return SqliteStore(self.folder, KEYS)

    run(SqliteModel, 30)


def test_postgresql_does_what_the_model_does(postgres_url: str) -> None:
    """In empty tables each time."""

    class PostgresModel(StoreModel):
        @override
        def make(self) -> Store:
            with psycopg.connect(postgres_url) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")
            return PostgresStore(postgres_url, KEYS)

    run(PostgresModel, 12)
