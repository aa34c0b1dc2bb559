"""The way out is killed at each point of a delivery: its successor delivers everything, and repeats only what was in flight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiormq
import pytest

from gateway.outbound.accept import Acceptor
from gateway.outbound.client import Client
from gateway.outbound.models import DeliveryState
from gateway.outbound.recorder import Recorder
from gateway.outbound.requests import RequestMaker
from gateway.outbound.store.sql.store import SqlStore
from gateway.queues.embedded import SqliteConsumer
from support.receivers import Receiver
from support.waiting import wait_until
from support.way_out_program import WayOutSite, by_id, is_same

EVENTS = 30


class Point(NamedTuple):
    """Where it dies.

    Attributes:
        function: The function.
        moment: Before, during or after one of its calls.
        has_sent: Whether a request may have been sent by then.
        on_servers: Whether it is another one where the queue and the database are servers.
        nightly: Whether another point stands for it in ``make test``.
    """

    function: Callable[..., Any]
    moment: str
    has_sent: bool = True
    on_servers: bool = False
    nightly: bool = True

    @property
    def words(self) -> tuple[str, str]:
        """The point as ``die_at.py`` takes it."""
        return f"{self.function.__module__}:{self.function.__qualname__}", self.moment


POINTS = {
    "before its lease is claimed": Point(SqlStore.lease, "before", has_sent=False),
    "while its lease is claimed": Point(SqlStore.lease, "during", on_servers=True),
    "before the lease is known": Point(SqlStore.lease, "after", has_sent=False, on_servers=True),
    "when events were read": Point(Acceptor.accept, "before", has_sent=False),
    "before events are written": Point(SqlStore.accept, "before", has_sent=False),
    "while events are written": Point(SqlStore.accept, "during", on_servers=True),
    "before it is known that they are written": Point(
        SqlStore.accept, "after", has_sent=False, on_servers=True
    ),
    "when events are accepted and not acknowledged": Point(
        Acceptor.accept, "after", on_servers=True, nightly=False
    ),
    "when due deliveries were read": Point(SqlStore.due, "after"),
    "before a request is signed": Point(RequestMaker.make, "before:3"),
    "before a request is sent": Point(Client.send, "before:3"),
    "while a request is sent": Point(Client.send, "during"),
    "between sending and recording": Point(Client.send, "after:4", on_servers=True, nightly=False),
    "before an outcome waits to be recorded": Point(Recorder.put, "before:5"),
    "before outcomes are recorded": Point(SqlStore.record, "before:2", on_servers=True),
    "while outcomes are recorded": Point(SqlStore.record, "during:2", on_servers=True, nightly=False),
    "before it is known that they are recorded": Point(SqlStore.record, "after:2", on_servers=True),
}

ACKNOWLEDGING: dict[str, Callable[..., Any]] = {
    "embedded": SqliteConsumer.acknowledge,
    "servers": aiormq.Channel.basic_ack,
}

CASES = [
    pytest.param(place, point, id=f"{name}, {place}", marks=[pytest.mark.nightly] if point.nightly else [])
    for name, point in POINTS.items()
    for place in ("embedded", "servers")
    if point.on_servers or place == "embedded"
] + [
    pytest.param(
        place,
        Point(function, moment),
        id=f"{moment} an acknowledgement, {place}",
        marks=pytest.mark.nightly,
    )
    for place, function in ACKNOWLEDGING.items()
    for moment in ("before", "during", "after")
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Who gets the deliveries."""
    with Receiver() as made:
        yield made


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> WayOutSite:
    """A way out that does not run, with events in its queue."""
    urls = {}
    if request.param == "servers":
        urls = {name: request.getfixturevalue(name) for name in ("rabbitmq_url", "postgres_url")}
    made = WayOutSite(tmp_path, {"shop": receiver}, **urls)
    made.declare()
    made.publish([{"id": f"evt_{number}"} for number in range(EVENTS)])
    return made


@pytest.mark.parametrize(("site", "point"), CASES, indirect=["site"])
def test_killed_at_a_point_it_loses_nothing_and_repeats_only_what_was_in_flight(
    site: WayOutSite, receiver: Receiver, point: Point
) -> None:
    """With the same id and the same bytes; nothing that was recorded is sent again, and nothing is accepted twice."""
    with site.program(*point.words) as victim:
        wait_until(lambda: not victim.child.is_running, message="it died")
        assert victim.child.exit_code == -9, victim.report()
    sent = set(by_id(receiver.requests))
    recorded = {each.message for each in site.deliveries(DeliveryState.DELIVERED)}
    assert recorded <= sent
    assert point.has_sent or not sent

    with site.program() as successor:
        site.wait_for_deliveries(EVENTS)
        assert successor.stop() == 0
        assert "Traceback" not in successor.stdout

    arrived = by_id(receiver.requests)
    assert len(arrived) == EVENTS
    assert len(site.deliveries()) == EVENTS
    assert {each for each, copies in arrived.items() if len(copies) > 1} <= sent - recorded
    for copies in arrived.values():
        assert len(copies) <= 2
        assert is_same(copies)
