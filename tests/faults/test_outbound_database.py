"""The database of the way out fails: nothing is acknowledged and nothing new is sent until it is back, and then all goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from gateway.outbound.models import DeliveryState
from support.postgresql_server import PostgreSQLServer
from support.receivers import Behaviour, Conversation, Receiver, head_of
from support.waiting import wait_until
from support.way_out_program import WayOutProgram, WayOutSite, by_id, is_same

EVENTS = 10

_MOST_BYTES = 16_384
"""A file cannot grow beyond this: more than the log has, and less than the write-ahead logs."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The endpoint."""
    with Receiver() as made:
        yield made


@pytest.fixture
def site(tmp_path: Path, receiver: Receiver, rabbitmq_url: str, postgres_url: str) -> WayOutSite:
    """A way out that does not run."""
    made = WayOutSite(tmp_path, {"shop": receiver}, rabbitmq_url=rabbitmq_url, postgres_url=postgres_url)
    made.declare()
    return made


@pytest.fixture
def program(site: WayOutSite) -> Iterator[WayOutProgram]:
    """It runs, and has delivered events."""
    with site.program() as running:
        site.publish([{"id": f"evt_before_{number}"} for number in range(EVENTS)])
        site.wait_for_deliveries(EVENTS)
        yield running


def publish_more(site: WayOutSite) -> None:
    """Publish events that cannot be written."""
    site.publish([{"id": f"evt_after_{number}"} for number in range(EVENTS)])


def expect_everything_once(site: WayOutSite, receiver: Receiver, program: WayOutProgram) -> None:
    """All goes on by itself, and nothing is sent twice, because no process has ended."""
    site.wait_for_deliveries(2 * EVENTS)
    assert program.stop() == 0
    assert [len(each) for each in by_id(receiver.requests).values()] == [1] * 2 * EVENTS
    expect_few_lines(program)


def expect_few_lines(program: WayOutProgram, most: int = 6) -> None:
    """Its log says what is wrong, in lines and not in tracebacks, and not once for each attempt."""
    text = program.stdout
    assert "Traceback" not in text
    warnings = [
        line for line in text.splitlines() if '"level":"warning"' in line or '"level":"error"' in line
    ]
    assert 1 <= len(warnings) <= most, "\n".join(warnings)
    for line in warnings:
        assert len(line) < 600
        assert "\\n" not in line


def test_a_database_that_is_killed_costs_only_time(
    site: WayOutSite, program: WayOutProgram, receiver: Receiver, postgresql_server: PostgreSQLServer
) -> None:
    """Events stay in their queue."""
    postgresql_server.kill()
    publish_more(site)
    program.wait_for("events wait for the database")
    assert len(receiver.requests) == EVENTS

    postgresql_server.start()
    expect_everything_once(site, receiver, program)


@pytest.mark.nightly
def test_a_database_that_is_frozen_costs_only_time(
    site: WayOutSite, program: WayOutProgram, receiver: Receiver, postgresql_server: PostgreSQLServer
) -> None:
    """It answers late."""
    postgresql_server.suspend()
    try:
        publish_more(site)
        program.child.expect_running()
        assert len(receiver.requests) == EVENTS
    finally:
        postgresql_server.resume()

    site.wait_for_deliveries(2 * EVENTS)
    assert [len(each) for each in by_id(receiver.requests).values()] == [1] * 2 * EVENTS


def test_a_database_without_a_free_connection_costs_only_time(
    site: WayOutSite,
    program: WayOutProgram,
    receiver: Receiver,
    postgres_url: str,
) -> None:
    """Others have taken all of them, also those that the way out had."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(psycopg.connect(postgres_url, autocommit=True))

        def takes_all() -> bool:
            first.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'webhook-gateway %'"
            )
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    stack.enter_context(psycopg.connect(postgres_url))
            return "database unavailable" in program.stdout and "too many clients" in program.stdout

        wait_until(takes_all, message="it gets no connection")
        publish_more(site)
        program.wait_for("events wait for the database")
        assert len(receiver.requests) == EVENTS

    expect_everything_once(site, receiver, program)


def slowly(gate: Callable[[], bool]) -> Behaviour:
    """Answer when a gate is open."""

    async def act(conversation: Conversation) -> None:
        while not gate():
            await asyncio.sleep(0.01)
        await conversation.send(head_of(200, {"Content-Length": "0"}))

    return Behaviour("slowly", act, keeps=True)


def test_outcomes_of_attempts_under_way_are_written_when_it_is_back(
    site: WayOutSite, program: WayOutProgram, receiver: Receiver, postgresql_server: PostgreSQLServer
) -> None:
    """They were sent once; meanwhile no other attempt begins."""
    is_open = False
    receiver.behave(slowly(lambda: is_open))
    publish_more(site)
    under_way = len(receiver.wait_for(EVENTS + 8)) - EVENTS
    postgresql_server.kill()
    program.wait_for("database unavailable")
    is_open = True
    program.wait_for("attempts wait for the database")
    assert len(receiver.requests) == EVENTS + under_way

    postgresql_server.start()
    expect_everything_once(site, receiver, program)


def test_a_full_disk_costs_only_time(tmp_path: Path, receiver: Receiver) -> None:
    """Embedded: what cannot be written is not acknowledged, and is written when there is room again."""
    site = WayOutSite(tmp_path, {"shop": receiver})
    site.declare()
    with site.program() as program:
        site.publish([{"id": f"evt_before_{number}"} for number in range(EVENTS)])
        site.wait_for_deliveries(EVENTS)
        limits = resource.prlimit(program.child.pid, resource.RLIMIT_FSIZE)
        pid = program.child.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (_MOST_BYTES, limits[1]))
        publish_more(site)
        program.wait_for("database unavailable")
        program.wait_for("cannot take events")
        assert len(receiver.requests) == EVENTS
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
        site.wait_for_deliveries(2 * EVENTS)
        assert program.stop() == 0
        expect_few_lines(program)
    arrived = by_id(receiver.requests)
    assert len(arrived) == 2 * EVENTS


@pytest.mark.nightly
def test_a_frozen_owner_that_comes_back_overwrites_nothing(
    site: WayOutSite, receiver: Receiver, tmp_path: Path
) -> None:
    """Its lease has ended meanwhile: its outcomes are refused, and only what was in flight was sent twice."""
    is_open = False
    receiver.behave(slowly(lambda: is_open))
    with site.program() as frozen:
        publish_more(site)
        in_flight = {each.headers["webhook-id"] for each in receiver.wait_for(1)}
        wait_until(lambda: len(receiver.requests) == receiver.open_connections)
        os.kill(frozen.child.pid, signal.SIGSTOP)
        try:
            in_flight = set(by_id(receiver.requests))
            is_open = True
            with site.program() as successor:
                site.wait_for_deliveries(EVENTS)
                finals = {each.id: (each.state, each.made) for each in site.deliveries()}
                os.kill(frozen.child.pid, signal.SIGCONT)
                frozen.wait_for("outcomes refused")
                assert successor.stop() == 0
        finally:
            os.kill(frozen.child.pid, signal.SIGCONT)
        assert frozen.stop() == 0
        assert "Traceback" not in frozen.stdout

    assert {each.id: (each.state, each.made) for each in site.deliveries()} == finals
    assert {state for state, _ in finals.values()} == {DeliveryState.DELIVERED}
    arrived = by_id(receiver.requests)
    assert len(arrived) == EVENTS
    assert {each for each, copies in arrived.items() if len(copies) > 1} <= in_flight
    assert all(len(copies) <= 2 and is_same(copies) for copies in arrived.values())


@pytest.mark.nightly
def test_without_a_database_it_starts_when_there_is_one(
    site: WayOutSite, receiver: Receiver, postgresql_server: PostgreSQLServer
) -> None:
    """It waits, and says so once."""
    postgresql_server.kill()
    with site.program() as program:
        program.wait_for("database unavailable")
        publish_more(site)
        postgresql_server.start()
        site.wait_for_deliveries(EVENTS)
        assert program.stop() == 0
        expect_few_lines(program)
    assert len(receiver.requests) == EVENTS
