"""The console as a process of its own: the gateway needs it for nothing, and it never outlives the gateway."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support import senders
from support.gateway_process import GatewayProcess, Program, Secrets, run_gateway
from support.inbox import Inbox
from support.ports import free_ports
from support.process import descendants, is_alive, is_console
from support.senders import RetryingSender, post
from support.waiting import wait_until

KILLS = 4


def console_of(gateway: Program) -> int:
    """The process of the console, once there is one."""

    def find() -> int | None:
        return next((pid for pid in descendants(gateway.child.pid) if is_console(pid)), None)

    return wait_until(find, message="the console runs") or 0


def numbers(gateway: GatewayProcess) -> dict[tuple[str, ...], float]:
    """All counters, by name and labels."""
    text = gateway.get("/metrics", admin=True).text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        if family.type in {"counter", "histogram"}
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def start(folder: Path, secrets: Secrets, processes: int = 1, **more: Any) -> GatewayProcess:
    """A gateway with so many processes."""
    return GatewayProcess(folder, secrets, overrides={"server": {"processes": processes}, **more})


@pytest.mark.parametrize("processes", [1, 3])
def test_it_is_one_process_more(tmp_path: Path, fresh_secrets: Secrets, processes: int) -> None:
    """It answers for all, its log is clean, and all end together."""
    with start(tmp_path, fresh_secrets, processes) as gateway:
        wait_until(
            lambda: f"webhook_processes {processes:.1f}" in gateway.get("/metrics", admin=True).text,
            message="all processes serve",
        )
        family = descendants(gateway.child.pid)
        assert len(family) == (1 if processes == 1 else processes + 1)
        assert [pid for pid in family if is_console(pid)] == [console_of(gateway)]
        assert gateway.get("/livez", admin=True).json() == {"status": "live"}
        assert gateway.get("/readyz", admin=True).json()["status"] == "ready"
        for _ in range(20):
            post(gateway.url, senders.acme(fresh_secrets.acme, senders.order()))
        assert numbers(gateway)["webhook_requests_total", "accepted", "acme"] == 20

        assert gateway.stop() == 0
        assert not any(map(is_alive, family))
        lines = [line for line in gateway.log_lines() if line["event"] != "request"]
        assert {line["level"] for line in lines} == {"info"}
        assert [line["admin"] for line in lines if "admin" in line] == [gateway.admin_url]
        assert gateway.stderr == ""


def test_without_it_the_gateway_answers_itself(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """With metrics and health alone."""
    with start(tmp_path, fresh_secrets, console={"enabled": False}) as gateway:
        assert descendants(gateway.child.pid) == []
        assert gateway.get("/readyz", admin=True).json()["status"] == "ready"
        assert "webhook_processes 1.0" in gateway.get("/metrics", admin=True).text
        assert gateway.get("/", admin=True).status_code == 404
        assert gateway.stop() == 0


@pytest.mark.parametrize("processes", [1, 3])
def test_killed_under_load_it_comes_back_and_nothing_is_lost(
    tmp_path: Path, fresh_secrets: Secrets, redis_url: str, rabbitmq_url: str, processes: int
) -> None:
    """No event, no answer and no number: counters go on where they were."""
    gateway = GatewayProcess(
        tmp_path,
        fresh_secrets,
        redis_url=redis_url,
        rabbitmq_url=rabbitmq_url,
        overrides={"server": {"processes": processes}},
    )
    with gateway:
        inbox = Inbox(rabbitmq_url)
        seen = [numbers(gateway)]
        with RetryingSender(gateway.url, lambda: senders.acme(fresh_secrets.acme, senders.order())) as sender:
            for _ in range(KILLS):
                accepted = len(sender.accepted)
                wait_until(lambda: len(sender.accepted) > accepted + 50, message="events were accepted")  # noqa: B023
                console = console_of(gateway)
                os.kill(console, signal.SIGKILL)
                wait_until(lambda: not is_alive(console), message="it was killed")  # noqa: B023
                seen.append(wait_until(lambda: numbers(gateway), forgive=(httpx.TransportError,)))
            sender.finish()
        accepted_key = ("webhook_requests_total", "accepted", "acme")
        wait_until(  # a request is counted after its answer
            lambda: numbers(gateway).get(accepted_key) == len(sender.accepted), message="all were counted"
        )
        seen.append(numbers(gateway))

        arrivals = inbox.take_distinct(len(sender.accepted))
        assert {each.message_id for each in arrivals} == sender.accepted.keys()
        answers = {answer for answers in sender.answers.values() for answer in answers}
        assert answers == {"202 accepted"}
        for before, after in pairwise(seen):
            assert {key for key, value in before.items() if after.get(key, -1) < value} == set()
        assert seen[-1]["webhook_console_restarts_total",] == KILLS
        replaced = [line for line in gateway.log_lines() if line["event"] == "process replaced"]
        assert {(line["process"], line["predecessor"]) for line in replaced} == {
            ("console", "killed by signal 9")
        }


@pytest.mark.parametrize("processes", [1, 3])
def test_a_gateway_that_was_killed_starts_again_at_once(
    tmp_path: Path, fresh_secrets: Secrets, processes: int
) -> None:
    """On the same addresses: nothing of the old one holds them."""
    with start(tmp_path, fresh_secrets, processes) as gateway:
        for _ in range(3):
            family = [gateway.child.pid, *descendants(gateway.child.pid)]
            console = console_of(gateway)
            killed = gateway.child
            os.kill(killed.pid, signal.SIGKILL)
            gateway.start()
            killed.kill()
            wait_until(lambda: not is_alive(console), message="the console ended")  # noqa: B023
            wait_until(lambda: not any(map(is_alive, family)), message="all ended")  # noqa: B023
            # The console of the old one may have been asked until it ended.
            wait_until(
                lambda: gateway.get("/readyz", admin=True).json()["status"] == "ready",
                message="it is ready",
                forgive=(httpx.TransportError,),
            )
        assert gateway.stderr == ""


def test_it_keeps_a_configuration_that_works(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """A hangup reads it again; where it is wrong, a console that is started meanwhile still has metrics and health."""
    with start(tmp_path, fresh_secrets) as gateway:
        first = console_of(gateway)
        wait_until(lambda: gateway.get("/", admin=True).status_code != 503, message="it has pages")
        sound = gateway.config.read_text()
        gateway.config.write_text(json.dumps({**json.loads(sound), "console": {"auth": "everybody"}}))
        gateway.child.signal(signal.SIGHUP)
        gateway.wait_for("configuration rejected")
        assert gateway.get("/", admin=True).status_code != 503
        assert console_of(gateway) == first

        os.kill(first, signal.SIGKILL)
        wait_until(
            lambda: "cannot be used" in gateway.get("/", admin=True).text,
            message="it says why",
            forgive=(httpx.TransportError,),
        )
        assert gateway.get("/readyz", admin=True).json()["status"] == "ready"
        assert "webhook_console_restarts_total 1.0" in gateway.get("/metrics", admin=True).text

        gateway.config.write_text(sound)
        gateway.child.signal(signal.SIGHUP)
        wait_until(lambda: gateway.get("/", admin=True).status_code != 503, message="it has pages again")
        assert gateway.stop() == 0


def test_its_address_is_taken(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """The gateway says so and does not start."""
    gateway = start(tmp_path, fresh_secrets)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", int(gateway.admin_url.rpartition(":")[2])))
        squatter.listen()
        done = run_gateway(
            "serve", "--config", str(gateway.config), cwd=tmp_path, extra=gateway.variables, timeout=30
        )

    assert done.returncode == 1
    assert done.stderr.startswith("cannot listen at 127.0.0.1:")
    assert "server.admin_bind" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_state_of_the_processes_is_seen(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """One that is stuck makes the gateway degraded, not unready; a broker that is away says so."""
    closed = f"amqp://127.0.0.1:{free_ports(1)[0]}"
    process = GatewayProcess(
        tmp_path,
        fresh_secrets,
        rabbitmq_url=closed,
        overrides={"server": {"processes": 2}, "spool": {"enabled": False}},
        wait_ready=False,
    )
    with process as gateway:
        answer = wait_until(
            lambda: (
                (found := gateway.get("/readyz", admin=True)).status_code == 503
                and "has not reported" not in found.text
                and found
            ),
            message="both have reported",
        )
        assert answer
        checks = answer.json()["checks"]
        assert checks["claims"] == "ok"
        assert checks["publisher"] not in {"", "ok"}
        stuck = next(pid for pid in descendants(gateway.child.pid) if not is_console(pid))
        os.kill(stuck, signal.SIGSTOP)
        try:
            wait_until(
                lambda: "has not reported" in gateway.get("/readyz", admin=True).text, message="it is missed"
            )
        finally:
            os.kill(stuck, signal.SIGCONT)
        assert gateway.stop() == 0


def test_it_ends_at_once_though_somebody_watches(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """A live page goes on for ever; its end leaves no line in the log."""
    with start(tmp_path, fresh_secrets) as gateway:
        made = gateway.run("console", "tokens", "create", "test", "--role", "viewer")
        headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
        wait_until(lambda: gateway.get("/", admin=True).status_code != 503, message="it has pages")
        with (
            httpx.Client(trust_env=False, timeout=60) as client,
            client.stream("GET", f"{gateway.admin_url}/api/v1/tail", headers=headers) as answer,
        ):
            lines = answer.iter_lines()
            assert answer.status_code == 200
            assert next(lines)
            gateway.child.signal(signal.SIGTERM)
            list(lines)  # it ends in order
        assert gateway.wait_for_end() == 0
        assert {line["level"] for line in gateway.log_lines()} == {"info"}


def test_webhooks_are_not_received_there(tmp_path: Path, fresh_secrets: Secrets) -> None:
    """A provider that has the wrong port is told so, from the first moment on."""
    with start(tmp_path, fresh_secrets) as gateway:
        url = f"{gateway.admin_url}/webhooks/stripe"
        assert httpx.post(url, content=b"{}", trust_env=False).status_code == 404


@pytest.fixture
def dev(tmp_path: Path) -> Callable[[str], Program]:
    """Makes a ``gateway dev`` in a folder of its own."""

    def make(name: str) -> Program:
        folder = tmp_path / name
        folder.mkdir()
        public, admin = free_ports(2)
        places = ("--bind", f"127.0.0.1:{public}", "--admin-bind", f"127.0.0.1:{admin}")
        return Program(folder, "dev", "--demo", *places)

    return make


def test_dev_opens_with_a_link_that_logs_in(dev: Callable[[str], Program]) -> None:
    """In its first lines; two of them run beside each other, and leave nothing behind."""
    with dev("one") as one, dev("other") as other:
        for program in (one, other):
            program.wait_for("Press Ctrl-C to stop.")
            (line,) = (line for line in program.stdout.splitlines()[:6] if "console" in line)
            link = line.split()[1]
            assert "/login#once=" in link
            wait_until(
                lambda: httpx.get(link, trust_env=False).status_code == 200,  # noqa: B023
                message="the page is there",
            )
        family = [*descendants(one.child.pid), *descendants(other.child.pid)]
        assert sum(map(is_console, family)) == 2
        for program in (one, other):
            for pid in descendants(program.child.pid):  # as a terminal does, which signals all
                os.kill(pid, signal.SIGINT)
            assert program.stop(signal.SIGINT) == 0
            assert program.stderr == ""
            assert "Traceback" not in program.stdout
        assert not any(map(is_alive, family))
