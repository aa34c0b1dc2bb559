"""The gateway is killed at each point of an event's way: its sender comes again, and the event is there."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from gateway.adapters.adapter import BoundAdapter
from gateway.claims.redis import RedisClaims
from gateway.claims.redis_packed import PackedRedisClaims
from gateway.observability.counters import ProviderMetrics
from gateway.publishers.amqp_connection import PublishConnection
from gateway.publishers.spool.store import Spool
from gateway.receive.receiver import Receiver
from gateway.receive.responses import Success
from support.gateway_process import Section
from support.rig import LENIENT, STRICT, Rig
from support.senders import wire
from support.waiting import wait_until

LAUNCHER = Path(__file__).with_name("die_at.py")
IMPATIENT = {"server": {"deadline": "500ms"}, "dedupe": {"lease": "1s"}}

NOTHING, PENDING, DONE = b"", b"pending", b"done"


@pytest.fixture(scope="module", params=["lenient"])
def impatient_rig(
    request: pytest.FixtureRequest, new_rig: Callable[[Mapping[str, Section]], AbstractContextManager[Rig]]
) -> Iterator[Rig]:
    """A gateway whose claims end as soon as they may."""
    with new_rig((STRICT if request.param == "strict" else LENIENT) | IMPATIENT) as rig:
        yield rig


strict = pytest.mark.parametrize("impatient_rig", ["strict"], indirect=True)


class Point(NamedTuple):
    """Where it dies.

    Attributes:
        function: the method.
        moment: before, during or after it.
        left: what may stand in Redis for the event then.
        most_copies: of the event that may arrive in the end.
    """

    function: Callable[..., Any]
    moment: str
    left: set[bytes]
    most_copies: int

    @property
    def target(self) -> str:
        """The method as ``die_at.py`` takes it."""
        return f"{self.function.__module__}:{self.function.__qualname__}"


ON_THE_WAY = {
    "before it is verified": Point(BoundAdapter.verify, "before", {NOTHING}, 1),
    "before it is claimed": Point(RedisClaims.claim, "before", {NOTHING}, 1),
    "while it is claimed": Point(RedisClaims.claim, "during", {NOTHING, PENDING, DONE}, 2),
    "before the claim is known": Point(RedisClaims.claim, "after", {PENDING}, 1),
    "before it is published": Point(PublishConnection.publish, "before", {PENDING}, 1),
    "while it is published": Point(PublishConnection.publish, "during", {PENDING, DONE}, 2),
    "before the confirm is known": Point(PublishConnection.settle, "before", {PENDING}, 2),
    "before it is committed": Point(PackedRedisClaims.commit, "before", {PENDING}, 2),
    "while it is committed": Point(PackedRedisClaims.commit, "during", {PENDING, DONE}, 2),
    "before it is answered": Point(Success.respond, "before", {PENDING, DONE}, 2),
    "after it is answered": Point(ProviderMetrics.count_outcome, "during", {PENDING, DONE}, 2),
}

WITHOUT_A_BROKER = {
    "before it is spooled": Point(Spool.append, "before", {PENDING}, 1),
    "while it is spooled": Point(Spool.append, "during", {PENDING, DONE}, 2),
    "after it is spooled": Point(Spool.append, "after", {PENDING}, 2),
    "before it is deleted from the spool": Point(Spool.delete, "before", {DONE}, 2),
    "while it is deleted from the spool": Point(Spool.delete, "during", {DONE}, 2),
    "after it is deleted from the spool": Point(Spool.delete, "after", {DONE}, 1),
}

WHILE_IT_IS_REFUSED = {
    "before it is released": Point(RedisClaims.release, "before", {PENDING}, 1),
    "while it is released": Point(RedisClaims.release, "during", {NOTHING, PENDING}, 1),
}


def points(table: dict[str, Point]) -> pytest.MarkDecorator:
    """A test for each of them."""
    return pytest.mark.parametrize("point", table.values(), ids=table)


def arm(rig: Rig, point: Point) -> None:
    """Start the gateway anew, such that it dies there."""
    rig.renew()
    usual = rig.gateway.program
    rig.gateway.program = (sys.executable, str(LAUNCHER), point.target, point.moment)
    try:
        rig.gateway.restart()
    finally:
        rig.gateway.program = usual


def expect_recovery(rig: Rig, point: Point) -> None:
    """Wait for its death, start it again, and see to the events."""
    wait_until(lambda: not rig.gateway.child.is_running, message="the gateway died")
    assert rig.gateway.child.exit_code == -9
    (event,) = rig.sent.values()
    assert rig.value_of(event).partition(b":")[0] in point.left
    rig.broker.heal()
    rig.gateway.restart()

    assert rig.send_until_accepted(event) in ("202 accepted", "200 duplicate")

    rig.settle(point.most_copies)
    assert rig.send(event) == "200 duplicate"


@points(ON_THE_WAY)
def test_killed_on_the_way_of_an_event_it_has_it_when_its_sender_comes_again(
    impatient_rig: Rig, point: Point
) -> None:
    """Whether the sender was told of its death or of its success."""
    arm(impatient_rig, point)

    impatient_rig.send(impatient_rig.event())

    expect_recovery(impatient_rig, point)


def test_killed_in_the_middle_of_a_body_it_remembers_nothing(impatient_rig: Rig) -> None:
    """The sender begins from the start."""
    rig, point = impatient_rig, Point(Receiver.open, "during", {NOTHING}, 1)
    arm(rig, point)
    event = rig.event(size=2000)
    rig.sent[event.event_id], rig.answers[event.event_id] = event, []
    with socket.create_connection(("127.0.0.1", urlsplit(rig.gateway.url).port or 0)) as connection:
        connection.sendall(wire(event)[:-1000])

        expect_recovery(rig, point)


@points(WITHOUT_A_BROKER)
def test_killed_on_the_way_into_the_spool_or_out_of_it_it_has_the_event(
    impatient_rig: Rig, point: Point
) -> None:
    """What is in the spool is published at the start, before or after its sender comes again."""
    arm(impatient_rig, point)
    impatient_rig.broker.refuse()

    impatient_rig.send(impatient_rig.event())
    impatient_rig.broker.heal()

    expect_recovery(impatient_rig, point)


@strict
@points(WHILE_IT_IS_REFUSED)
def test_killed_on_the_way_back_from_a_refusal_it_takes_the_event_again(
    impatient_rig: Rig, point: Point
) -> None:
    """At once where the claim was given back, else when its lease is over."""
    arm(impatient_rig, point)
    impatient_rig.broker.refuse()

    impatient_rig.send(impatient_rig.event())

    expect_recovery(impatient_rig, point)
