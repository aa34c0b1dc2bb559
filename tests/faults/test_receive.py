"""Senders and their network fail: what was sent whole is published once, what was not leaves no trace."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

import pytest

from support.fault_proxy import Direction
from support.gateway_process import Section
from support.rig import LENIENT, Rig
from support.senders import wire
from support.waiting import PATIENCE, wait_until

LIMITED = LENIENT | {"server": {"deadline": "2s", "max_in_flight": 8, "max_connections": 50}}

lenient = pytest.mark.parametrize("module_rig", ["lenient"], indirect=True)


@pytest.fixture(scope="module")
def limited_rig(new_rig: Callable[[Mapping[str, Section]], AbstractContextManager[Rig]]) -> Iterator[Rig]:
    """A gateway that takes little at a time."""
    with new_rig(LIMITED) as rig:
        yield rig


def connect(rig: Rig) -> socket.socket:
    """A connection to the gateway."""
    return socket.create_connection(("127.0.0.1", urlsplit(rig.gateway.url).port or 0), timeout=PATIENCE)


def close(connection: socket.socket) -> None:
    """Leave in good order."""
    connection.close()


def reset(connection: socket.socket) -> None:
    """Leave without a word: what is under way is forgotten."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_close(connection: socket.socket) -> None:
    """Say no more, and listen."""
    connection.shutdown(socket.SHUT_WR)


LEAVE = [close, reset, half_close]
Leave = Callable[[socket.socket], None]


@lenient
@pytest.mark.parametrize("leave", LEAVE)
def test_a_sender_that_leaves_in_the_middle_of_its_body_leaves_no_trace(rig: Rig, leave: Leave) -> None:
    """No event, no claim, no exception; its next attempt is the first."""
    event = rig.event(size=2000)
    lines_before = len(rig.gateway.request_lines())
    with connect(rig) as connection:
        connection.sendall(wire(event)[:-1000])
        leave(connection)
        wait_until(lambda: len(rig.gateway.request_lines()) > lines_before)

    assert rig.gateway.request_lines()[-1]["outcome"] == "client_disconnected"
    assert rig.value_of(event) == b""
    assert "Traceback" not in rig.gateway.stdout + rig.gateway.stderr
    assert rig.send(event) == "202 accepted"
    rig.settle()


@lenient
@pytest.mark.parametrize("leave", LEAVE)
def test_a_sender_that_leaves_after_its_body_finds_its_event_done(rig: Rig, leave: Leave) -> None:
    """The confirm is still on its way when it leaves; its next attempt is a duplicate."""
    rig.broker.delay(0.2, Direction.TO_CLIENT)
    event = rig.event()
    with connect(rig) as connection:
        connection.sendall(wire(event))
        wait_until(lambda: rig.value_of(event).startswith(b"pending:"))
        leave(connection)

        assert rig.send(event) == "200 duplicate"

    assert "Traceback" not in rig.gateway.stdout + rig.gateway.stderr
    rig.settle()


@lenient
def test_slow_senders_hold_up_nobody_and_are_let_go(rig: Rig) -> None:
    """Some say nothing, some half a head, some half a body; others are served, and these closed in time."""
    event = rig.event(size=2000)
    parts = (b"", wire(event)[:30], wire(event)[:-1000])
    with contextlib.ExitStack() as stack:
        stuck = [stack.enter_context(connect(rig)) for _ in range(60)]
        for connection, part in zip(stuck, parts * 20, strict=True):
            connection.sendall(part)

        assert set(rig.send_all(rig.events(50))) == {"202 accepted"}

        for connection in stuck:
            assert b" 202 " not in read_to_the_end(connection)
    rig.settle()


def read_to_the_end(connection: socket.socket) -> bytes:
    """What the gateway has to say before it closes the connection, which it does in time."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            data += piece
    return data


def test_more_requests_than_are_handled_at_a_time_are_refused_at_once(limited_rig: Rig) -> None:
    """While the broker is slow; all come through when they come again."""
    limited_rig.broker.delay(0.5, Direction.TO_CLIENT)

    answers = limited_rig.send_all(limited_rig.events(40), at_once=40)

    assert "202 accepted" in answers
    assert "503 overloaded" in answers
    assert set(answers) <= {"202 accepted", "503 overloaded"}
    limited_rig.settle(most_copies=2)


def test_more_connections_than_are_kept_are_refused_and_the_rest_served(limited_rig: Rig) -> None:
    """Idle ones use them up; when they are gone, there is room."""
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(limited_rig)) for _ in range(60)]
        wait_until(lambda: any(is_refused(connection) for connection in idle))
    limited_rig.send_until_accepted(limited_rig.event())
    limited_rig.settle()


def is_refused(connection: socket.socket) -> bool:
    """Whether it was told to come later, or closed, without having asked for anything."""
    connection.settimeout(0.01)
    try:
        answer = connection.recv(4096)
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    return not answer or b" 503 " in answer
