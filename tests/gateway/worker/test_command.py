"""The command `gateway worker`, as its users see it."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.worker import Worker
from support.agents import Place
from support.gateway_process import GatewayProcess, Program, Secrets, run_gateway
from support.ports import free_port
from support.waiting import wait_until

AGENT = Worker("agent", ["stripe.#"])
_HEAD = "import asyncio\nimport time\nfrom gateway.worker import Dead, Event, Worker\n"


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Program]:
    """Return a function that runs the worker of a module with the given text, embedded and without secrets."""
    config = GatewayProcess(tmp_path, Secrets()).config

    def make(source: str, *options: str) -> Program:
        (tmp_path / "agent.py").write_text(_HEAD + source, "utf-8")
        return Program(tmp_path, "worker", "agent:worker", "--config", str(config), *options)

    return make


def lines(program: Program, event: str) -> list[dict[str, Any]]:
    """Return the lines of the log whose event is ``event``."""
    found = [json.loads(line) for line in program.stdout.splitlines()]
    return [line for line in found if line["event"] == event]


async def test_a_worker_tells_each_delivery_in_one_line_and_ends_in_order(
    program: Callable[..., Program], tmp_path: Path
) -> None:
    """A failure has its place in the code, but neither the text of the exception nor any data of the event."""
    source = """
worker = Worker("agent", ["stripe.#"], retry_from=0.1, retry_most=0.1)

@worker.on("stripe.invoice.paid")
async def handle(event: Event) -> None:
    if event.attempts == 1:
        raise ValueError("pri" + "vate")

@worker.on("#")
def drop(event: Event) -> None:
    raise Dead("nobody wants it")
"""
    place = Place(tmp_path / "var")
    await place.queue_of(AGENT).check()  # what is published before is unrouted
    with program(source) as running:
        await place.publish("evt_1")
        await place.publish("evt_2", eventtype="charge.failed")
        wait_until(lambda: len(lines(running, "delivery")) == 3)
        assert running.stop() == 0

        told = {(line["id"], line["outcome"]): line for line in lines(running, "delivery")}
        (end,) = lines(running, "worker ended")
    failed = told["evt_1", "retried"]
    assert told.keys() == {("evt_1", "retried"), ("evt_1", "handled"), ("evt_2", "dead")}
    assert list(told["evt_1", "handled"]) == [
        *("timestamp", "level", "event", "queue", "type", "id", "outcome", "attempts", "ms")
    ]
    assert (failed["error"], failed["attempts"], failed["delay"]) == ("ValueError", 1, 0.1)
    assert re.fullmatch(r'agent\.py:\d+ in handle: raise ValueError\("pri" \+ "vate"\)', failed["trace"])
    assert told["evt_2", "dead"]["reason"] == "nobody wants it"
    assert "private" not in running.stdout
    assert (end["handled"], end["retried"], end["dead"]) == (1, 1, 1)


async def test_a_worker_has_its_numbers_where_it_is_told_to(
    program: Callable[..., Program], tmp_path: Path
) -> None:
    """In the format of Prometheus, with all outcomes from the start."""
    source = """
worker = Worker("agent", ["stripe.#"], attempts=1)

@worker.on("#")
def handle(event: Event) -> None:
    if event.id == "evt_2":
        raise ValueError
"""
    place, port = Place(tmp_path / "var"), free_port()
    await place.queue_of(AGENT).check()
    with program(source, "--metrics", f"127.0.0.1:{port}") as running:
        await place.publish("evt_1", "evt_2", receivedat=lambda _: "2025-01-15T12:00:00Z")
        wait_until(lambda: len(lines(running, "delivery")) == 2)
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics")

    samples = {
        (sample.name, sample.labels.get("outcome") or sample.labels.get("le")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["webhook_deliveries_total", "handled"] == 1
    assert samples["webhook_deliveries_total", "dead"] == 1
    assert samples["webhook_deliveries_total", "retried"] == 0
    assert samples["webhook_handler_duration_seconds_count", None] == 2
    assert samples["webhook_lag_seconds_bucket", "86400.0"] == 0
    assert samples["webhook_lag_seconds_bucket", "+Inf"] == 2
    assert samples["webhook_deliveries_in_hand", None] == 0
    assert samples["webhook_deliveries_paused", None] == 0


@pytest.mark.parametrize("bind", ["nowhere", "127.0.0.1:99999"])
def test_what_is_no_address_for_the_numbers_is_told(program: Callable[..., Program], bind: str) -> None:
    """As a mistake on the command line."""
    with program("worker = Worker('agent', ['#'])\nworker.on('#')(print)\n", "--metrics", bind) as running:
        assert running.wait_for_end() == 2
    assert "--metrics" in running.stderr


def test_an_address_that_is_taken_is_told(program: Callable[..., Program]) -> None:
    """In one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        with program(
            "worker = Worker('agent', ['#'])\nworker.on('#')(print)\n", "--metrics", bind
        ) as running:
            assert running.wait_for_end() == 1
    assert f"cannot listen at {bind}: Address already in use" in running.stderr


async def test_a_thread_that_does_not_finish_does_not_keep_the_process(
    program: Callable[..., Program], tmp_path: Path
) -> None:
    """The event is requeued, and the exit code says so."""
    source = """
worker = Worker("agent", ["stripe.#"], grace=0.2)

@worker.on("#")
def handle(event: Event) -> None:
    print("begun", flush=True)
    time.sleep(3600)
"""
    place = Place(tmp_path / "var")
    await place.queue_of(AGENT).check()
    with program(source) as running:
        await place.publish("evt_1")
        running.wait_for("begun")

        assert running.stop() == 1
        assert '"requeued":1' in running.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_a_worker_at_once(
    program: Callable[..., Program], tmp_path: Path, number: signal.Signals
) -> None:
    """With the same exit code as the gateway. The default action would not end the first process of a container."""
    source = """
worker = Worker("agent", ["stripe.#"], grace=600)

@worker.on("#")
async def handle(event: Event) -> None:
    print("begun", flush=True)
    await asyncio.sleep(3600)
"""
    place = Place(tmp_path / "var")
    await place.queue_of(AGENT).check()
    with program(source) as running:
        await place.publish("evt_1")
        running.wait_for("begun")
        running.child.signal(signal.SIGTERM)
        running.wait_for("finishing")
        assert running.child.is_running
        assert running.stop(number) == 128 + number


@pytest.mark.parametrize(
    ("target", "source", "complaint"),
    [
        ("agent", "", "write MODULE:NAME"),
        ("agent:", "", "write MODULE:NAME"),
        ("missing:worker", "", "there is no module 'missing'"),
        ("agent.missing:worker", "", "there is no module 'agent.missing'"),
        ("agent:missing", "", "agent has no Worker called 'missing'"),
        ("agent:Worker", "", "agent has no Worker called 'Worker'"),
        ("agent:worker", "worker = Worker('agent', ['#'])", "agent:worker has no handlers"),
    ],
)
def test_what_is_no_worker_is_told_in_one_line(
    tmp_path: Path, target: str, source: str, complaint: str
) -> None:
    """With exit code 1."""
    config = GatewayProcess(tmp_path, Secrets()).config
    (tmp_path / "agent.py").write_text(_HEAD + source, "utf-8")

    done = run_gateway("worker", target, "--config", str(config), cwd=tmp_path)

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert complaint in done.stderr


def test_a_mistake_in_the_module_keeps_its_traceback(tmp_path: Path) -> None:
    """Its author needs the traceback."""
    config = GatewayProcess(tmp_path, Secrets()).config
    (tmp_path / "agent.py").write_text("import not_there\n", "utf-8")

    done = run_gateway("worker", "agent:worker", "--config", str(config), cwd=tmp_path)

    assert done.returncode == 1
    assert "agent.py" in done.stderr
    assert "not_there" in done.stderr


def test_the_check_declares_and_finds_what_is_otherwise(tmp_path: Path) -> None:
    """Exit code 0 if everything is as declared, 3 if not; no event is handled."""
    config = GatewayProcess(tmp_path, Secrets()).config
    codes = []
    for events in ("stripe.#", "stripe.#", "github.push"):  # of other lengths, or old bytecode would do
        (tmp_path / "agent.py").write_text(
            f"{_HEAD}worker = Worker('agent', ['{events}'])\nworker.on('#')(print)\n", "utf-8"
        )
        done = run_gateway("worker", "agent:worker", "--check", "--config", str(config), cwd=tmp_path)
        codes.append(done.returncode)

    assert codes == [0, 0, 3]
    assert done.stderr.startswith("queue agent was declared for the events stripe.#, not for github.push")


def test_the_check_reports_a_broker_that_cannot_be_reached(tmp_path: Path) -> None:
    """In one line, with exit code 1."""
    process = GatewayProcess(tmp_path, Secrets(), rabbitmq_url="amqp://guest:guest@127.0.0.1:1/")
    (tmp_path / "agent.py").write_text(
        f"{_HEAD}worker = Worker('agent', ['#'])\nworker.on('#')(print)\n", "utf-8"
    )

    done = process.run("worker", "agent:worker", "--check")

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "the broker is unreachable" in done.stderr
