"""An agent publishes CloudEvents with plain AMQP, or to the embedded queue: an endpoint gets them, and mistakes are quarantined."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import DeliveryMode
from standardwebhooks import Webhook

from support.gateway_process import run_gateway
from support.receivers import Receiver
from support.waiting import wait_until
from support.way_out_program import EVENT, SECRET, WayOutProgram, WayOutSite

WRONG = {
    b"no event at all": "is no CloudEvent",
    b'{"id": "evt_1", "source": "/a", "data": {}}': "missing required field `type`",
    json.dumps({**EVENT, "id": ""}).encode(): "/id: must have 1 to 1024 characters",
    json.dumps({**EVENT, "type": "x" * 200}).encode(): "/type: must not have more than 128 characters",
    json.dumps({**EVENT, "tenant": "ACME!"}).encode(): "/tenant: must be",
    json.dumps({**EVENT, "provider": "stripe"}).encode(): "/provider: is for the gateway's own events",
    json.dumps({**EVENT, "data": "x" * 70_000}).encode(): "is larger than 64 KiB",
}
"""What an agent may publish by mistake, and what its violations say."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """The endpoint."""
    with Receiver() as made:
        yield made


@pytest.fixture(params=["embedded", "servers"])
def site(request: pytest.FixtureRequest, tmp_path: Path, receiver: Receiver) -> WayOutSite:
    """A way out that does not run."""
    urls = {}
    if request.param == "servers":
        urls = {name: request.getfixturevalue(name) for name in ("rabbitmq_url", "postgres_url")}
    return WayOutSite(tmp_path, {"shop": receiver}, **urls)


def quarantine(site: WayOutSite, *words: str) -> str:
    """Run `gateway quarantine`, and return what it printed."""
    done = run_gateway("quarantine", *words, "--agents", "--config", str(site.path), cwd=site.path.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def started(site: WayOutSite) -> WayOutProgram:
    """Return a way out to be entered, whose queues are declared."""
    site.declare()
    return site.program()


def test_what_agents_publish_by_mistake_is_listed_with_its_violations(
    site: WayOutSite, receiver: Receiver
) -> None:
    """The endpoint gets what is right; nothing of the rest is released before it can be delivered."""
    with started(site) as program:
        site.publish_bodies(*WRONG)
        site.publish([{"id": "evt_right"}])
        (request,) = receiver.wait_for(1)
        assert Webhook(SECRET).verify(request.body, request.headers)["id"] == "evt_right"
        found = wait_until(lambda: _listed(site, len(WRONG)), message="the mistakes are quarantined")
        for violations, letter in zip(WRONG.values(), found, strict=True):
            assert violations in letter["violations"]
        assert "Traceback" not in program.stdout

        assert f"0 of {len(WRONG)} events pass" in quarantine(site, "revalidate")
        assert "0 events released to agents, 7 events still" in quarantine(site, "release", "--force")
        assert len(_listed(site, len(WRONG))) == len(WRONG)
        assert len(receiver.requests) == 1


def test_what_can_be_delivered_by_now_is_released(
    site: WayOutSite, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the bytes that the agent has published: such as after an upgrade of a gateway that refused them."""
    site.declare()
    body = json.dumps({**EVENT, "id": "evt_late"}).encode()
    site.quarantine(body, "/type: was not known then")
    with started(site):
        assert "1 event would be released to agents" in quarantine(site, "release", "--dry-run")
        assert "1 event released to agents" in quarantine(site, "release")
        (request,) = receiver.wait_for(1)
        assert request.body == body
        assert not _listed(site, 0)


async def test_a_plain_client_of_amqp_is_enough(
    tmp_path: Path, receiver: Receiver, rabbitmq_url: str, postgres_url: str
) -> None:
    """It publishes a persistent message, and needs nothing of the gateway."""
    site = WayOutSite(tmp_path, {"shop": receiver}, rabbitmq_url=rabbitmq_url, postgres_url=postgres_url)
    await asyncio.to_thread(site.declare)
    with site.program():
        async with await aio_pika.connect(rabbitmq_url) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange("agents")
            message = aio_pika.Message(json.dumps(EVENT).encode(), delivery_mode=DeliveryMode.PERSISTENT)
            await exchange.publish(message, "billing-agent.agent.run.completed")
        (request,) = await asyncio.to_thread(receiver.wait_for, 1)
    assert json.loads(request.body) == EVENT


def test_a_queue_that_nobody_takes_from_is_warned_of(site: WayOutSite) -> None:
    """All endpoints are gone from the configuration, and the gateway was started anew: the queue would grow for ever."""

    def warnings() -> str:
        done = run_gateway("check", "--connect", "--config", str(site.path), cwd=site.path.parent)
        assert done.returncode == 0, done.stderr
        return done.stdout

    site.declare()
    site.publish([{"id": "evt_1"}])
    assert "agents.outbound has" not in warnings()
    site.receivers = {}
    site.configure({})
    assert "agents.outbound has 1 message and no consumer" in warnings()


def _listed(site: WayOutSite, number: int) -> list[dict[str, str]]:
    """Return what is in the quarantine once it is that many, else nothing."""
    lines = [json.loads(line) for line in quarantine(site, "list", "--json").splitlines() if line[:1] == "{"]
    return lines if len(lines) == number else []
