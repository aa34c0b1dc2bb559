"""`gateway serve` with several processes: one gateway to providers, broker and operator."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import senders
from support.gateway_process import GatewayProcess, Secrets, run_gateway
from support.inbox import Inbox, ids
from support.ports import free_port
from support.process import descendants, is_alive, receivers
from support.senders import RetryingSender, post
from support.waiting import wait_until

PROCESSES = 4
DEADLINE = 2.0  # seconds
SETTINGS: dict[str, dict[str, Any]] = {
    "server": {"processes": PROCESSES, "deadline": f"{DEADLINE:g}s"},
    "dedupe": {"lease": f"{2 * DEADLINE:g}s"},
}
KILLS = 6


def counters(gateway: GatewayProcess) -> dict[tuple[str, ...], float]:
    """All counters, by name and labels."""
    text = gateway.get("/metrics", admin=True).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        if family.type in {"counter", "histogram"}
        for sample in family.samples
    }


def requests_of(counted: dict[tuple[str, ...], float]) -> dict[str, float]:
    """How many requests of our own sender ended how."""
    return {
        labels[1] if labels[0] == "acme" else labels[0]: value
        for (name, *labels), value in counted.items()
        if name == "webhook_requests_total" and "acme" in labels and value
    }


def gauge(gateway: GatewayProcess, name: str) -> float:
    """One number without labels."""
    text = gateway.get("/metrics", admin=True).text
    (line,) = (line for line in text.splitlines() if line.startswith(f"{name} "))
    return float(line.split()[1])


def has_all_processes(gateway: GatewayProcess) -> bool:
    """Return whether all configured processes serve."""
    return gauge(gateway, "webhook_processes") == PROCESSES


@pytest.fixture
def gateway(
    tmp_path: Path, fresh_secrets: Secrets, redis_url: str, rabbitmq_url: str
) -> Iterator[GatewayProcess]:
    """Four processes on real servers."""
    process = GatewayProcess(
        tmp_path, fresh_secrets, redis_url=redis_url, rabbitmq_url=rabbitmq_url, overrides=SETTINGS
    )
    with process:
        wait_until(lambda: has_all_processes(process), message="all processes serve")
        yield process


def test_processes_are_one_gateway(gateway: GatewayProcess, rabbitmq_url: str) -> None:
    """Events and their repetitions reach any process; each is published once, and all are counted."""
    inbox = Inbox(rabbitmq_url)
    deliveries = [senders.acme(gateway.secrets.acme, senders.order()) for _ in range(300)]

    # Each request has its own connection, so that an event and its repetition can reach different processes.
    unlasting = httpx.Limits(max_keepalive_connections=0)
    with httpx.Client(trust_env=False, limits=unlasting) as client, ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda delivery: [post(gateway.url, delivery, client).status_code for _ in range(2)],
                deliveries,
            )
        )

    assert answers == [[202, 200]] * len(deliveries)
    assert ids(inbox.take_all()) == dict.fromkeys((delivery.event_id for delivery in deliveries), 1)
    for _ in range(2 * PROCESSES):
        counted = counters(gateway)
        assert requests_of(counted) == {"accepted": len(deliveries), "duplicate": len(deliveries)}
        assert counted["webhook_request_duration_seconds_count", "acme"] == 2 * len(deliveries)
        assert counted["webhook_secret_slot_matches_total", "acme", "0"] == 2 * len(deliveries)
    wait_until(lambda: len(gateway.request_lines()) == 2 * len(deliveries), message="all lines were written")
    assert len({line["process"] for line in gateway.request_lines()}) > 1


def test_killed_processes_are_replaced_and_nothing_is_lost(
    gateway: GatewayProcess, rabbitmq_url: str
) -> None:
    """Neither an event nor a number: no counter ever goes down."""
    inbox = Inbox(rabbitmq_url)
    make = partial(senders.acme, gateway.secrets.acme)
    seen: list[dict[tuple[str, ...], float]] = []
    with RetryingSender(gateway.url, lambda: make(senders.order())) as sender:
        for kill in range(KILLS):
            accepted = len(sender.accepted)
            wait_until(lambda: len(sender.accepted) > accepted + 50, message="events were accepted")  # noqa: B023
            processes = receivers(gateway.child.pid)
            os.kill(processes[kill % len(processes)], signal.SIGKILL)
            wait_until(
                lambda: len(receivers(gateway.child.pid)) == PROCESSES, message="the process was replaced"
            )
            wait_until(  # a successor that is killed before it serves has counted nothing
                lambda: counters(gateway).get(("webhook_process_restarts_total",), 0) > kill,  # noqa: B023
                message="its successor serves",
                forgive=(httpx.TransportError,),
            )
            # The scrape may be with the one that is killed.
            seen.append(
                wait_until(lambda: counters(gateway), message="scraped", forgive=(httpx.TransportError,))
            )
        sender.finish()
    restarts = ("webhook_process_restarts_total",)
    wait_until(lambda: counters(gateway)[restarts] >= KILLS, message="the last one was replaced")
    seen.append(counters(gateway))

    arrivals = inbox.take_distinct(len(sender.accepted))
    data = {arrival.message_id: arrival.data for arrival in arrivals}
    assert data == {event_id: delivery.body for event_id, delivery in sender.accepted.items()}
    assert sender.accepted.keys() == sender.answers.keys()
    assert {arrival.event["dedupe"] for arrival in arrivals} == {"claimed"}  # none by a process without Redis
    for earlier, later in pairwise(seen):
        assert {key for key, value in earlier.items() if later.get(key, -1) < value} == set()
    assert seen[-1][restarts] == KILLS
    # A process can be killed between its answer and its counting of it, as each of its requests can be.
    answered = sum(answer == "202 accepted" for answers in sender.answers.values() for answer in answers)
    assert answered - KILLS * sender.senders <= requests_of(seen[-1])["accepted"] <= answered + KILLS * 8
    replaced = [line for line in gateway.log_lines() if line["event"] == "process replaced"]
    assert [line["predecessor"] for line in replaced] == ["killed by signal 9"] * KILLS


def test_a_signal_ends_all_processes_within_the_deadline(gateway: GatewayProcess) -> None:
    """What was accepted is finished: under load, each event that was begun is answered, or its connection refused."""
    make = partial(senders.acme, gateway.secrets.acme)
    processes = descendants(gateway.child.pid)
    sender = RetryingSender(gateway.url, lambda: make(senders.order()))
    with sender:
        wait_until(lambda: len(sender.accepted) > 50, message="events were accepted")
        assert gateway.stop() == 0
        sender.give_up()
    assert not any(map(is_alive, processes))
    stopped = [line for line in gateway.log_lines() if line["event"] == "stopped"]
    assert sorted(line["process"] for line in stopped) == list(range(PROCESSES))
    answers = {answer for answers in sender.answers.values() for answer in answers}
    assert answers <= {
        "202 accepted",
        "503 shutting_down",
        "ConnectError",
        "ReadError",
        "RemoteProtocolError",
    }


def test_processes_end_when_their_parent_is_killed(gateway: GatewayProcess) -> None:
    """And leave the addresses to the next one."""
    processes = descendants(gateway.child.pid)
    os.kill(gateway.child.pid, signal.SIGKILL)

    wait_until(lambda: not any(map(is_alive, processes)), DEADLINE + 5, "they ended")
    gateway.restart()
    assert post(gateway.url, senders.acme(gateway.secrets.acme, senders.order())).status_code == 202


def test_processes_whose_servers_are_away_say_so(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """They wait for them a moment, not for ever: else nobody would answer what is missing."""
    closed = f"//127.0.0.1:{free_port()}"
    process = GatewayProcess(
        tmp_path,
        fresh_secrets,
        redis_url=f"redis:{closed}",
        rabbitmq_url=f"amqp:{closed}",
        overrides=SETTINGS,
        wait_ready=False,
    )
    with process:
        assert process.get("/readyz").json() == {"status": "unavailable"}
        answer = process.get("/readyz", admin=True)
        assert answer.status_code == 503
        assert set(answer.json()["checks"]) >= {"publisher", "claims"}
        assert process.stop() == 0


@pytest.mark.parametrize(
    ("spoil", "code", "said"),
    [
        ("configuration", 3, "config.yaml"),
        ("schema", 3, "order.json"),
        ("port", 1, "cannot listen at 127.0.0.1:"),
        ("folder", 1, "cannot open the stores in data_dir"),
    ],
)
def test_what_cannot_start_says_why_once(
    tmp_path: Path, fresh_secrets: Secrets, spoil: str, code: int, said: str
) -> None:
    """One line and the exit code, whether it is the parent who finds it or all processes."""
    process = GatewayProcess(tmp_path, fresh_secrets, overrides=SETTINGS)
    text = process.config.read_text()
    if spoil == "configuration":
        process.config.write_text(text.replace('"deadline"', '"dead_line"'))
    elif spoil == "schema":
        (tmp_path / "order.json").write_text('{"type": "no such type"}')
        process.config.write_text(text.replace('"event_type"', '"schema": "order.json", "event_type"'))
    elif spoil == "folder":
        (tmp_path / "var").write_text("in the way")
    with socket.socket() as squatter:
        if spoil == "port":
            squatter.bind(("127.0.0.1", int(process.url.rpartition(":")[2])))
            squatter.listen()
        done = run_gateway(
            "serve", "--config", str(process.config), cwd=tmp_path, extra=process.variables, timeout=30
        )

    assert done.returncode == code
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
