"""The gateway is told to end at bad moments, and lives in a poor place: no event is lost, and it never hangs."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from support.gateway_process import Section
from support.rig import LENIENT, STRICT, Rig, in_the_background
from support.senders import wire
from support.waiting import PATIENCE, wait_until

TERMS = 6
UNKNOWN_PATHS = 2_000
REFUSALS = {"503 shutting_down", "503 broker_unavailable", "503 overloaded"}
NO_ANSWER = {"ConnectError", "ReadError", "RemoteProtocolError", "WriteError"}

Overrides = Mapping[str, Section]
Serve = Callable[[Overrides], AbstractContextManager[Rig]]


@pytest.fixture(scope="module", params=["lenient"])
def ending_rig(request: pytest.FixtureRequest, new_rig: Serve) -> Iterator[Rig]:
    """A gateway that is ended and started again by each test."""
    with new_rig(STRICT if request.param == "strict" else LENIENT) as rig:
        yield rig


@pytest.fixture
def rig(ending_rig: Rig) -> Rig:
    """The gateway of the module, running and in good order."""
    if not ending_rig.gateway.child.is_running:
        ending_rig.redis.heal()
        ending_rig.broker.heal()
        ending_rig.gateway.restart()
    ending_rig.renew()
    return ending_rig


def connect(rig: Rig) -> socket.socket:
    """A connection to the gateway."""
    return socket.create_connection(("127.0.0.1", urlsplit(rig.gateway.url).port or 0), timeout=PATIENCE)


def is_deaf(rig: Rig) -> bool:
    """Whether it has stopped to listen, as it does when it is told to end."""
    try:
        connect(rig).close()
    except ConnectionRefusedError:
        return True
    return False


def test_ended_at_random_moments_under_load_it_finishes_what_it_began(rig: Rig) -> None:
    """Orderly each time; what has no answer, or a refusal, is accepted in the next life."""
    dice, pause, stop = random.Random(), threading.Event(), threading.Event()

    def keep_sending() -> None:
        while not stop.is_set():
            rig.send_until_accepted(rig.event())

    with contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(in_the_background(keep_sending))
        stack.callback(stop.set)
        for _ in range(TERMS):
            accepted = rig.all_answers()["202 accepted"]
            wait_until(partial(_has_accepted_more_than, rig, accepted))
            pause.wait(dice.uniform(0, 0.1))
            assert rig.gateway.stop() == 0
            rig.gateway.start()

    assert set(rig.all_answers()) <= {"202 accepted"} | REFUSALS | NO_ANSWER
    rig.settle(most_copies=2)


def _has_accepted_more_than(rig: Rig, count: int) -> bool:
    return rig.all_answers()["202 accepted"] > count


@pytest.mark.parametrize("ending_rig", ["lenient", "strict"], indirect=True)
def test_ended_while_the_broker_says_nothing_it_accepts_nothing_that_it_cannot_keep(rig: Rig) -> None:
    """What is under way is spooled or refused, and the process ends in time."""
    rig.broker.stall()
    with in_the_background(lambda: rig.send_all(rig.events(8))):
        wait_until(lambda: rig.metric("webhook_publishes_unconfirmed") > 0)
        assert rig.gateway.stop(timeout=10) == 0
    rig.broker.heal()
    rig.gateway.start()

    assert set(rig.all_answers()) <= {"202 accepted"} | REFUSALS | NO_ANSWER
    rig.settle(most_copies=4)


def test_a_half_sent_body_does_not_keep_it_from_ending(rig: Rig) -> None:
    """Its sender is let go, and may come again."""
    event = rig.event(size=2000)
    with connect(rig) as connection:
        connection.sendall(wire(event)[:-1000])
        wait_until(lambda: rig.metric("webhook_connections") >= 1)

        assert rig.gateway.stop(timeout=10) == 0

        with contextlib.suppress(ConnectionResetError):
            assert b" 202 " not in connection.recv(4096)
    rig.gateway.start()
    assert rig.send(event) == "202 accepted"
    rig.settle()


def test_told_twice_it_ends_at_once(rig: Rig) -> None:
    """As if it were killed: nobody is told what is not true."""
    rig.broker.stall()
    with in_the_background(lambda: rig.send_all(rig.events(4))):
        wait_until(lambda: rig.metric("webhook_publishes_unconfirmed") > 0)
        rig.gateway.child.signal(signal.SIGTERM)
        wait_until(lambda: is_deaf(rig) or not rig.gateway.child.is_running)
        assert rig.gateway.stop(timeout=3) in (0, 128 + signal.SIGTERM)
    rig.broker.heal()
    rig.gateway.start()

    rig.settle(most_copies=4)


def test_a_log_that_nobody_reads_does_not_hold_up_events(rig: Rig) -> None:
    """Standard output is a full pipe: lines are dropped, events are not."""
    gateway = rig.gateway
    assert gateway.stop() == 0
    usual, pipe = gateway.stdout_path, gateway.directory / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        gateway.stdout_path = pipe
        try:
            gateway.start()
        finally:
            gateway.stdout_path = usual

        assert set(rig.send_all(rig.events(600))) == {"202 accepted"}

        rig.settle()
        assert gateway.stop(timeout=15) == 0
    finally:
        os.close(reader)


def test_unknown_paths_make_no_metrics(rig: Rig) -> None:
    """However many of them: they are one number."""

    def series() -> set[str]:
        """Without those of the console, which looks at queues, workers and secrets now and then."""
        lines = rig.gateway.get("/metrics", admin=True).text.splitlines()
        return {line.rpartition(" ")[0] for line in lines if line.startswith("webhook_requests_total")}

    before = series()
    with httpx.Client(base_url=rig.gateway.url, trust_env=False) as client:
        for number in range(UNKNOWN_PATHS):
            assert client.post(f"/webhooks/unknown-{number}").status_code == 404

    assert series() == before


def test_without_open_files_left_it_waits_until_there_are_some(rig: Rig) -> None:
    """Connections beyond the limit wait or are refused; what it holds already works on."""
    pid = rig.gateway.child.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, limits[1]))
    with contextlib.ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(connect(rig))
        wait_until(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) >= 60)
        assert rig.gateway.child.is_running

    rig.send_until_accepted(rig.event())

    assert rig.gateway.stdout.count("Too many open files") < 20
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    rig.settle()
