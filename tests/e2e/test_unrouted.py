"""`gateway unrouted` as an operator meets it, and what a worker says about such events when it starts."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from support import senders
from support.examples import outcomes, sample
from support.gateway_process import GatewayProcess, Program, Secrets
from support.senders import post
from support.waiting import wait_until

AGENT = """
from gateway.worker import Event, Worker

worker = Worker("agent", ["stripe.invoice.*", "github.#"])

@worker.on("#")
async def handle(event: Event) -> None:
    print("got", event.eventtype, flush=True)
"""


@pytest.fixture
def gateway(request: pytest.FixtureRequest, tmp_path: Path, fresh_secrets: Secrets) -> GatewayProcess:
    """Return a gateway on the broker that the test names, with an agent beside it."""
    (tmp_path / "agent.py").write_text(AGENT, "utf-8")
    url = request.getfixturevalue("rabbitmq_url") if request.param == "rabbitmq" else ""
    return GatewayProcess(tmp_path, fresh_secrets, rabbitmq_url=url)


def send(gateway: GatewayProcess, *types: str) -> list[str]:
    """Send events of Stripe; return their ids."""
    ids = []
    for event_type in types:
        body = sample("stripe", event_type)
        delivery = senders.stripe(gateway.secrets.stripe, json.dumps(body).encode())
        assert post(gateway.url, delivery).json()["status"] == "accepted"
        ids.append(body["id"])
    return ids


def agent(gateway: GatewayProcess) -> Program:
    """Return the worker, not started."""
    return Program(
        gateway.directory, "worker", "agent:worker", "--config", str(gateway.config), extra=gateway.variables
    )


def notices(worker: Program) -> list[dict[str, object]]:
    """Return what the worker said about unrouted events."""
    lines = [json.loads(line) for line in worker.stdout.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "unrouted events wait"]


both = pytest.mark.parametrize("gateway", ["embedded", "rabbitmq"], indirect=True)


@both
def test_what_came_before_the_first_worker_is_found_and_taken(gateway: GatewayProcess) -> None:
    """By the command that the worker names when it starts; it takes what matches, and leaves the rest."""
    with gateway:
        paid, intent, failed = send(
            gateway, "invoice.paid", "payment_intent.succeeded", "invoice.payment_failed"
        )
        listed = gateway.run("unrouted", "list")
        selected = gateway.run("unrouted", "list", "--event", "stripe.invoice.*", "--json")
        by_type = gateway.run("unrouted", "list", "--event", "payment_intent.*", "--json")
        shown = gateway.run("unrouted", "show", intent)
        with agent(gateway) as first:
            (notice,) = wait_until(lambda: notices(first))
            command = str(notice["command"]).replace("'", "").split()[1:]
            dry = gateway.run(*command, "--dry-run")
            routed = gateway.run(*command)
            wait_until(lambda: len(outcomes(first)) == 2)
            assert first.stop() == 0
        left = gateway.run("unrouted", "list", "--json")
        with agent(gateway) as worker:
            wait_until(lambda: "worker started" in worker.stdout)
            nothing = gateway.run(*command)
            assert worker.stop() == 0
        assert notices(worker) == []

    assert [line.split()[1:] for line in listed.stdout.splitlines()] == [
        ["stripe", "invoice.paid", paid],
        ["stripe", "payment_intent.succeeded", intent],
        ["stripe", "invoice.payment_failed", failed],
    ]
    assert listed.stderr == "3 events in webhooks.unrouted, 3 match (stripe 3), 3 shown\n"
    assert [json.loads(line)["id"] for line in selected.stdout.splitlines()] == [paid, failed]
    assert [json.loads(line)["id"] for line in by_type.stdout.splitlines()] == [intent]
    assert json.loads(shown.stdout)["event"]["id"] == intent
    assert (notice["total"], notice["matching"], notice["unrouted"]) == (3, 2, "webhooks.unrouted")
    assert command == [
        *("unrouted", "route", "--to", "agent", "--event", "stripe.invoice.*", "--event", "github.#")
    ]
    assert len(dry.stdout.splitlines()) == 2
    assert dry.stderr == "2 events would be routed to agent\n"
    assert {"got invoice.paid", "got invoice.payment_failed"} <= set(first.stdout.splitlines())
    assert (routed.returncode, routed.stderr) == (0, "2 events routed to agent\n")
    assert [json.loads(line)["id"] for line in left.stdout.splitlines()] == [intent]
    assert nothing.stderr == "0 events routed to agent\n"


@both
def test_the_events_to_route_have_to_be_named(gateway: GatewayProcess) -> None:
    """A worker would acknowledge what it has no handler for; a queue that is not there takes nothing."""
    with gateway:
        (event_id,) = send(gateway, "payment_intent.succeeded")
        unnamed = gateway.run("unrouted", "route", "--to", "agent")
        nowhere = gateway.run("unrouted", "route", "--to", "agent", "--all")
        itself = gateway.run("unrouted", "route", "--to", "webhooks.unrouted", "--all")
        assert gateway.run("worker", "agent:worker", "--check").returncode == 0
        unknown = gateway.run("unrouted", "route", "--to", "agent", "--id", "evt_unknown")
        by_id = gateway.run("unrouted", "route", "--to", "agent", "--id", event_id, "--json")

    assert unnamed.returncode == 2
    assert "--event" in unnamed.stderr
    assert (nowhere.returncode, nowhere.stderr.count("there is no queue agent")) == (1, 1)
    assert (itself.returncode, unknown.returncode) == (1, 1)
    assert "no event with the id" in unknown.stderr
    assert {key: json.loads(by_id.stdout)[key] for key in ("id", "to", "routed")} == {
        "id": event_id,
        "to": "agent",
        "routed": True,
    }


@pytest.mark.parametrize("gateway", ["rabbitmq"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_loses_nothing(gateway: GatewayProcess, number: signal.Signals) -> None:
    """Each event is in one of the two queues; at worst one is in both."""
    with gateway:
        ids = set(send(gateway, *["invoice.paid"] * 300))
        assert gateway.run("worker", "agent:worker", "--check").returncode == 0
        arguments = ("unrouted", "route", "--to", "agent", "--all", "--json", "--config", str(gateway.config))
        with Program(gateway.directory, *arguments, extra=gateway.variables) as routing:
            wait_until(lambda: len(routing.stdout.splitlines()) > 5)
            routing.child.signal(number)
            wait_until(lambda: not routing.child.is_running)

        def left() -> list[str]:
            listed = gateway.run("unrouted", "list", "--json")
            return [json.loads(line)["id"] for line in listed.stdout.splitlines()]

        still = left()
        rest = gateway.run("unrouted", "route", "--to", "agent", "--all")
        with agent(gateway) as worker:
            wait_until(lambda: len(set(handled(worker))) == len(ids))
            assert worker.stop() == 0

    assert 0 < len(still) < len(ids)
    assert rest.returncode == 0
    assert set(handled(worker)) == ids
    assert len(outcomes(worker)) <= len(ids) + 1


def handled(worker: Program) -> list[str]:
    """Return the ids of the events that the worker settled."""
    lines = [json.loads(line) for line in worker.stdout.splitlines() if line.startswith("{")]
    return [line["id"] for line in lines if line["event"] == "delivery"]
