"""Redis fails in every way that it has: no event is lost, and none is taken for a duplicate that is not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest
import redis

from gateway.claims import claim_key
from support.fault_proxy import Direction, FaultProxy
from support.redis_server import RedisServer
from support.rig import Rig, in_the_background
from support.waiting import wait_until

COMMIT_ON_THE_WIRE = b"\r\nHSET\r\n"
PENDING_ON_THE_WIRE = b"pending:"

lenient = pytest.mark.parametrize("module_rig", ["lenient"], indirect=True)
strict = pytest.mark.parametrize("module_rig", ["strict"], indirect=True)

Fault = Callable[[Rig], AbstractContextManager[object]]


@contextmanager
def refused(rig: Rig) -> Iterator[None]:
    """Nobody listens."""
    rig.redis.refuse()
    yield
    rig.redis.heal()


@contextmanager
def stalled(rig: Rig) -> Iterator[None]:
    """Nothing comes back."""
    rig.redis.stall()
    yield
    rig.redis.heal()


@contextmanager
def slow(rig: Rig) -> Iterator[None]:
    """Each reply takes longer than it may."""
    rig.redis.delay(1.0, Direction.TO_CLIENT)
    yield
    rig.redis.heal()


@contextmanager
def replies_discarded(rig: Rig) -> Iterator[None]:
    """Redis does what it is told, and cannot be heard."""
    rig.redis.discard(Direction.TO_CLIENT)
    yield
    rig.redis.heal()


@contextmanager
def suspended(rig: Rig) -> Iterator[None]:
    """The process is stopped."""
    rig.redis_server.suspend()
    yield
    rig.redis_server.resume()


@contextmanager
def killed(rig: Rig) -> Iterator[None]:
    """The process is gone, and comes back with nothing."""
    rig.redis_server.kill()
    yield
    rig.redis_server.start()


def commanded(inflict: tuple[str, ...], undo: tuple[str, ...]) -> Fault:
    """A state that Redis is brought into by one command and out of by another."""

    @contextmanager
    def fault(rig: Rig) -> Iterator[None]:
        with redis.Redis.from_url(rig.redis_server.url) as store:
            store.execute_command(*inflict)
            try:
                yield
            finally:
                store.execute_command(*undo)

    return fault


@contextmanager
def busy(rig: Rig) -> Iterator[None]:
    """A script runs for ever, and every other command is refused."""
    with redis.Redis.from_url(rig.redis_server.url) as store:
        store.config_set("busy-reply-threshold", 1)

        def run() -> None:
            with redis.Redis.from_url(rig.redis_server.url) as other, suppress(redis.ResponseError):
                other.eval("while true do end", 0)

        def is_busy() -> bool:
            try:
                store.get("any")
            except redis.ResponseError as error:
                return "BUSY" in str(error)
            return False

        with in_the_background(run):
            wait_until(is_busy)
            try:
                yield
            finally:
                store.script_kill()
                wait_until(lambda: not is_busy())
                store.config_set("busy-reply-threshold", 5000)


FAULTS: dict[str, Fault] = {
    "refused": refused,
    "stalled": stalled,
    "slow": slow,
    "replies discarded": replies_discarded,
    "suspended": suspended,
    "killed": killed,
    "busy": busy,
    "out of memory": commanded(("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "a read-only replica": commanded(("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "too few replicas": commanded(
        ("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")
    ),
    "without permission": commanded(
        ("ACL", "SETUSER", "default", "-set"), ("ACL", "SETUSER", "default", "+@all")
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_while_redis_is_away_events_go_out_unchecked_or_are_refused(rig: Rig, fault: Fault) -> None:
    """As the configuration says; and when it is back, repetitions are recognised again."""
    unchecked_before = rig.metric("webhook_dedupe_unchecked_total")
    events = rig.events(5)

    with fault(rig):
        answers = set(rig.send_all(events, at_once=2))

    assert answers == {"503 dedupe_unavailable" if rig.is_strict else "202 accepted"}
    arrivals = rig.settle()
    words = {copies[0].event["dedupe"] for copies in arrivals.values()}
    assert words == {"claimed" if rig.is_strict else "unchecked"}
    unchecked = rig.metric("webhook_dedupe_unchecked_total") - unchecked_before
    assert unchecked == (0 if rig.is_strict else len(events))
    later = rig.event()
    assert [rig.send(later), rig.send(later)] == ["202 accepted", "200 duplicate"]


def test_a_lost_reply_does_not_turn_our_own_claim_into_a_duplicate(rig: Rig) -> None:
    """Redis has stored the claim and nobody was told: the event is published, once, and done."""
    rig.redis.lose_reply(PENDING_ON_THE_WIRE)
    event = rig.event()

    assert rig.send_until_accepted(event) == "202 accepted"

    rig.redis.wait_tripped(0)
    rig.settle()
    assert rig.send_until_accepted(event) == "200 duplicate"
    assert rig.value_of(event).startswith(b"done")


@strict
@pytest.mark.parametrize("lose", [FaultProxy.cut_at, FaultProxy.lose_reply])
def test_an_event_is_accepted_although_its_claim_cannot_be_committed(
    rig: Rig, lose: Callable[[FaultProxy, bytes], None]
) -> None:
    """It is safe by then; a repetition may publish it once more, never refuse it for good."""
    failures_before = rig.metric("webhook_claim_commit_failures_total")
    lose(rig.redis, COMMIT_ON_THE_WIRE)
    event = rig.event()

    assert rig.send(event) == "202 accepted"

    rig.redis.wait_tripped()
    wait_until(lambda: rig.metric("webhook_claim_commit_failures_total") == failures_before + 1)
    rig.heal()
    rig.send_until_accepted(event)
    rig.settle(most_copies=2)
    assert rig.send(event) == "200 duplicate"


@pytest.mark.parametrize("value", [b"xyz", b"", b"pending", b"1"])
def test_a_foreign_value_is_never_taken_for_a_duplicate(rig: Rig, value: bytes) -> None:
    """The event goes out unchecked, or is refused until the value is gone."""
    event = rig.event()
    with redis.Redis.from_url(rig.redis_server.url) as store:
        store.set(claim_key(event.provider, event.event_id), value)

        assert rig.send(event) == ("503 dedupe_unavailable" if rig.is_strict else "202 accepted")

        store.delete(claim_key(event.provider, event.event_id))
    rig.settle()


@lenient
@pytest.mark.parametrize("loss", ["FLUSHALL", "restart", "eviction"])
def test_a_redis_that_forgets_costs_a_copy_and_no_event(rig: Rig, loss: str) -> None:
    """The copy has the same id, type and source."""
    event = rig.event()
    assert rig.send(event) == "202 accepted"
    wait_until(lambda: rig.value_of(event) == b"done")
    if loss == "FLUSHALL":
        rig.redis_server.flush()
    elif loss == "restart":
        rig.redis_server.kill()
        rig.redis_server.start()
    else:
        eviction = ("CONFIG", "SET", "maxmemory", "1", "maxmemory-policy", "allkeys-lru")
        undo = ("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
        with commanded(eviction, undo)(rig):
            rig.send(rig.event())
            assert rig.value_of(event) == b""
    rig.heal()

    assert rig.send(event) == "202 accepted"

    assert len(rig.settle(most_copies=2)[event.event_id]) == 2


@lenient
def test_a_failover_that_loses_a_claim_costs_a_copy_and_no_event(rig: Rig) -> None:
    """The replica has not heard of the event when it is promoted."""
    event = rig.event()
    with RedisServer() as replica, FaultProxy(rig.redis_server.url) as replication:
        with redis.Redis.from_url(replica.url) as store:
            store.replicaof("127.0.0.1", str(replication.port))
            wait_until(lambda: store.info("replication")["master_link_status"] == "up")
        replication.discard(Direction.TO_CLIENT)
        assert rig.send(event) == "202 accepted"
        wait_until(lambda: rig.value_of(event) == b"done")
        try:
            with redis.Redis.from_url(replica.url) as store:
                store.replicaof("NO", "ONE")
            rig.redis.retarget(replica.port)
            rig.heal()

            assert rig.send_until_accepted(event) == "202 accepted"
            assert rig.send(event) == "200 duplicate"
            assert len(rig.settle(most_copies=2)[event.event_id]) == 2
        finally:
            rig.redis.retarget(rig.redis_server.port)


def test_a_claim_of_the_dead_is_waited_for_and_taken_over(rig: Rig) -> None:
    """Never answered with 2xx while it is pending; accepted when its lease is over, clocks jumping or not."""
    soon, late = rig.events(2)
    with redis.Redis.from_url(rig.redis_server.url) as store:
        store.set(claim_key(soon.provider, soon.event_id), b"pending:another", px=200)
        store.set(claim_key(late.provider, late.event_id), b"pending:another", px=60_000)

        answers = rig.send_all([late, soon])

        assert answers[0] in ("503 in_flight", "503 overloaded")
        assert answers[1] == "202 accepted"

        store.pexpire(claim_key(late.provider, late.event_id), 1)
    rig.settle()


def test_of_many_equal_deliveries_at_once_one_is_published(rig: Rig) -> None:
    """The others are told that they are duplicates when it is, or asked to come again while it is not."""
    event = rig.event()
    rig.broker.delay(0.3, Direction.TO_CLIENT)

    answers = rig.send_all([event] * 50, at_once=50)

    assert answers.count("202 accepted") == 1
    assert set(answers) <= {"202 accepted", "200 duplicate", "503 in_flight", "503 overloaded"}
    rig.settle()


@strict
def test_when_the_holder_of_a_claim_fails_another_takes_over(rig: Rig) -> None:
    """The holder's message never gets to the broker; one of the others is published, sooner or later."""
    event = rig.event()
    rig.broker.delay(0.2, Direction.TO_SERVER)
    rig.broker.cut_at(event.event_id.encode())

    answers = rig.send_all([event] * 5, at_once=5)

    assert "503 broker_unavailable" in answers
    assert answers.count("202 accepted") <= 1
    rig.settle()


@lenient
def test_a_publish_that_outlasts_the_lease_costs_copies_and_no_event(rig: Rig) -> None:
    """Attempts of the same event under an expired claim may publish it again: no more copies than attempts."""
    event = rig.event()
    rig.broker.delay(0.2, Direction.TO_CLIENT)
    with redis.Redis.from_url(rig.redis_server.url) as store, ThreadPoolExecutor(1) as pool:
        first = pool.submit(rig.send, event)
        wait_until(lambda: rig.value_of(event).startswith(b"pending:"))
        store.pexpire(claim_key(event.provider, event.event_id), 1)
        second = rig.send_until_accepted(event)
    assert (first.result(), second) == ("202 accepted", "202 accepted")
    assert rig.value_of(event) == b"done"

    rig.settle(most_copies=2)

    assert rig.send(event) == "200 duplicate"


@lenient
def test_claims_fail_and_return_under_load_without_a_loss(rig: Rig) -> None:
    """Connections reset, stalled and refused in turn while events come without a pause."""
    stop = threading.Event()

    def keep_failing() -> None:
        while not stop.is_set():
            for switch in (rig.redis.reset_all, rig.redis.stall, rig.redis.refuse):
                switch()
                stop.wait(0.1)
                rig.redis.heal()
                stop.wait(0.2)

    with in_the_background(keep_failing):
        answers = rig.send_all(rig.events(400), at_once=8)
        stop.set()

    assert set(answers) == {"202 accepted"}
    rig.settle()
