"""RabbitMQ fails in every way that it has: no event is lost, and copies come only where a confirm was missed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import aio_pika
import pytest
from aio_pika.abc import AbstractRobustChannel

from support.fault_proxy import Direction
from support.inbox import Inbox
from support.rig import Rig, in_the_background
from support.waiting import wait_until

lenient = pytest.mark.parametrize("module_rig", ["lenient"], indirect=True)
strict = pytest.mark.parametrize("module_rig", ["strict"], indirect=True)

_ANSWERS = {"202 accepted", "503 broker_unavailable", "503 dedupe_unavailable"}
"""Under load; on a machine that is busy with other things Redis may be late, too."""


def do(url: str, work: Callable[[AbstractRobustChannel], Awaitable[object]]) -> None:
    """Change something in RabbitMQ."""

    async def run() -> None:
        async with await aio_pika.connect_robust(url) as connection:
            await work(await connection.channel())

    asyncio.run(run())


@contextmanager
def refused(rig: Rig) -> Iterator[None]:
    """Nobody listens."""
    rig.broker.refuse()
    yield
    rig.broker.heal()


@contextmanager
def stalled(rig: Rig) -> Iterator[None]:
    """Nothing comes back."""
    rig.broker.stall()
    yield
    rig.broker.heal()


@contextmanager
def confirms_discarded(rig: Rig) -> Iterator[None]:
    """The broker takes the events, and cannot be heard; then the connection is gone."""
    rig.broker.discard(Direction.TO_CLIENT)
    yield
    rig.broker.reset_all()
    rig.broker.heal()


@contextmanager
def suspended(rig: Rig) -> Iterator[None]:
    """The process is stopped: the connection is open, and nothing is read."""
    rig.rabbitmq_server.suspend()
    yield
    rig.rabbitmq_server.resume()


@contextmanager
def alarmed(rig: Rig) -> Iterator[None]:
    """The broker says that it has no memory left, and reads no more."""
    rig.rabbitmq_server.ctl("set_vm_memory_high_watermark", "0.0000001")
    try:
        yield
    finally:
        rig.rabbitmq_server.ctl("set_vm_memory_high_watermark", "0.4")


@contextmanager
def without_permission(rig: Rig) -> Iterator[None]:
    """The user may no longer write; who is connected finds out at the next connection."""
    rig.rabbitmq_server.ctl("set_permissions", "--vhost", rig.vhost, "guest", ".*", "^$", ".*")
    rig.broker.reset_all()
    try:
        yield
    finally:
        rig.rabbitmq_server.ctl("set_permissions", "--vhost", rig.vhost, "guest", ".*", ".*", ".*")


@contextmanager
def nacking(rig: Rig) -> Iterator[None]:
    """One of the bound queues is full and refuses what comes; the others have it already."""

    async def bind(channel: AbstractRobustChannel) -> None:
        limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue("full", durable=True, arguments=limits)
        await channel.default_exchange.publish(aio_pika.Message(b"full"), "full")
        await queue.bind("webhooks", "#")

    do(rig.rabbitmq_url, bind)
    try:
        yield
    finally:
        do(rig.rabbitmq_url, lambda channel: channel.queue_delete("full"))


@contextmanager
def unroutable(rig: Rig) -> Iterator[None]:
    """No queue is bound, and the exchange for what is unrouted has lost its queue too."""

    async def unbind(channel: AbstractRobustChannel) -> None:
        await (await channel.get_queue("inbox")).unbind("webhooks", "#")
        await (await channel.get_queue("webhooks.unrouted")).unbind("webhooks.unrouted", "")

    async def bind(channel: AbstractRobustChannel) -> None:
        await (await channel.get_queue("webhooks.unrouted")).bind("webhooks.unrouted", "")
        await (await channel.get_queue("inbox")).bind("webhooks", "#")

    do(rig.rabbitmq_url, unbind)
    try:
        yield
    finally:
        do(rig.rabbitmq_url, bind)


class Fault(NamedTuple):
    """A way in which the broker takes nothing.

    Attributes:
        inflict: does so within its block.
        most_copies: of one event that may arrive: 1 where it cannot have got there unconfirmed.
        is_mended: whether the gateway puts it right by itself, once it has seen it.
    """

    inflict: Callable[[Rig], AbstractContextManager[object]]
    most_copies: int
    is_mended: bool = False


FAULTS = {
    "refused": Fault(refused, 1),
    "stalled": Fault(stalled, 4),
    "confirms discarded": Fault(confirms_discarded, 4),
    "suspended": Fault(suspended, 4),
    "alarmed": Fault(alarmed, 4),
    "without permission": Fault(without_permission, 1),
    # A nack is for all queues together: each attempt leaves a copy in those that had room.
    "nacking": Fault(nacking, 20),
    "unroutable": Fault(unroutable, 1, is_mended=True),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_while_the_broker_takes_nothing_events_wait_on_disk_or_are_refused(rig: Rig, fault: Fault) -> None:
    """As the configuration says; and when it takes them again, all of them are there."""
    with fault.inflict(rig):
        answers = rig.send_all(rig.events(6), at_once=2)

    refusal = "503 broker_unavailable" if rig.is_strict else "202 accepted"
    assert refusal in answers
    assert set(answers) <= ({refusal, "202 accepted"} if fault.is_mended else {refusal})
    rig.settle(fault.most_copies)
    later = rig.event()
    assert [rig.send(later), rig.send(later)] == ["202 accepted", "200 duplicate"]
    assert len(rig.settle(fault.most_copies)[later.event_id]) == 1


@pytest.mark.parametrize("copies", [1, 2], ids=["before the broker had it", "after it confirmed"])
def test_a_connection_that_is_reset_under_an_event_costs_at_most_a_copy(rig: Rig, copies: int) -> None:
    """One more where the broker had it and the confirm was lost."""
    event = rig.event()
    lose = rig.broker.cut_at if copies == 1 else rig.broker.lose_reply
    lose(event.event_id.encode())

    assert rig.send(event) == ("503 broker_unavailable" if rig.is_strict else "202 accepted")

    rig.broker.wait_tripped(0)
    assert len(rig.settle(copies, least_copies=copies)[event.event_id]) == copies


def test_a_large_event_that_is_cut_in_the_middle_of_a_frame_arrives_once_and_whole(rig: Rig) -> None:
    """The broker drops what is incomplete."""
    event = rig.event(size=900_000)
    rig.broker.cut_after(300_000)

    assert rig.send(event) == ("503 broker_unavailable" if rig.is_strict else "202 accepted")

    rig.broker.wait_tripped(0)
    rig.settle()


def test_slow_confirms_under_load_delay_events_and_nothing_else(rig: Rig) -> None:
    """Many are under way at a time, and confirmed many at a time."""
    rig.broker.delay(0.1, Direction.TO_CLIENT)

    answers = rig.send_all(rig.events(128), at_once=64)

    assert set(answers) == {"202 accepted"}
    rig.settle()


def remove_binding(rig: Rig) -> None:
    """That of the consumers' queue."""

    async def unbind(channel: AbstractRobustChannel) -> None:
        await (await channel.get_queue("inbox")).unbind("webhooks", "#")

    do(rig.rabbitmq_url, unbind)


def remove_exchange(rig: Rig) -> None:
    """The exchange that all events go to; the next connection declares it anew."""
    do(rig.rabbitmq_url, lambda channel: channel.exchange_delete("webhooks"))


def reset(rig: Rig) -> None:
    """The connection."""
    rig.broker.reset_all()


@pytest.mark.parametrize("remove", [remove_binding, remove_exchange, reset])
def test_what_is_taken_away_under_load_takes_no_event_with_it(
    rig: Rig, remove: Callable[[Rig], None]
) -> None:
    """What finds no queue of consumers is in the queue for what is unrouted; what is refused is sent again."""
    events = rig.events(300)
    with in_the_background(lambda: rig.send_all(events)):
        wait_until(lambda: rig.all_answers()["202 accepted"] > 50)
        remove(rig)

    assert set(rig.all_answers()) <= _ANSWERS
    rig.settle(most_copies=2)


@strict
def test_a_broker_that_is_killed_under_load_has_all_that_it_confirmed(rig: Rig) -> None:
    """And gets the rest when it is back, on the connection that comes by itself."""
    events = rig.events(300)
    with in_the_background(lambda: rig.send_all(events)):
        wait_until(lambda: rig.all_answers()["202 accepted"] > 50)
        rig.rabbitmq_server.kill()
    assert rig.gateway.get("/readyz").status_code == 503
    rig.rabbitmq_server.start()

    assert set(rig.all_answers()) <= _ANSWERS
    rig.settle(most_copies=2)


@lenient
def test_an_event_that_finds_no_queue_is_in_the_one_for_what_is_unrouted(rig: Rig) -> None:
    """A routing mistake is a full queue, not a loss."""
    do(rig.rabbitmq_url, lambda channel: channel.queue_delete("inbox"))
    event = rig.event()

    assert rig.send(event) == "202 accepted"

    (arrival,) = Inbox(rig.rabbitmq_url, "webhooks.unrouted", None).take(1)
    assert (arrival.message_id, arrival.data) == (event.event_id, event.body)
