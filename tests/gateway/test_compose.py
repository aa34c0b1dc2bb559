"""compose.yaml: its users may do what they have to and no more, on real servers; and what it is made of is fixed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import aio_pika
import pytest
import redis
import yaml
from aiormq.exceptions import ChannelAccessRefused

from gateway.claims import Standing, claim_key
from gateway.claims.redis_packed import PackedRedisClaims
from gateway.claims.redis_servers import OneServer
from gateway.events.message import Message
from gateway.outbound.intake import AGENTS_EXCHANGE
from gateway.outbound.intake.rabbitmq import open_rabbitmq_intake
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.queues.dead_letters.rabbitmq import open_rabbitmq_queue
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.worker import Worker
from gateway.worker.rabbitmq import RabbitQueue
from support.rabbitmq_server import RabbitMQServer
from support.redis_server import RedisServer
from support.repository import ROOT
from support.requirements import require
from support.waiting import wait_until_async

PATIENCE = 30.0
WORDS = {
    "RABBITMQ_PASSWORD": "of-the-gateway",
    "RABBITMQ_WORKER_PASSWORD": "of-the-worker",
    "RABBITMQ_OPERATOR_PASSWORD": "of-the-operator",
    "REDIS_PASSWORD": "of-redis",
    "GRAFANA_PASSWORD": "of-grafana",
}
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::[-?]([^}]*))?\})")
_EXACT = re.compile(r"[a-z0-9/_]+:v?\d+\.\d+\.\d+(-[a-z.-]+)?(@sha256:[0-9a-f]{64})?")


def composed() -> dict[str, Any]:
    """The file as compose reads it."""

    def replace(match: re.Match[str]) -> str:
        return "$" if match[1] else WORDS.get(match[2], match[3] or "")

    content: dict[str, Any] = yaml.safe_load(
        _VARIABLE.sub(replace, (ROOT / "compose.yaml").read_text("utf-8"))
    )
    return content


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQServer]:
    """A broker with the users of the file."""
    require("rabbitmq-server", "rabbitmqctl", "epmd")
    definitions = tmp_path_factory.mktemp("compose") / "definitions.json"
    definitions.write_text(composed()["configs"]["definitions"]["content"])
    with RabbitMQServer() as server:  # as at its first start, but for the user that the tests wait with
        server.ctl("import_definitions", str(definitions))
        yield server


def address(broker: RabbitMQServer, user: str) -> str:
    """The broker as a user of the file."""
    return f"amqp://{user}:of-the-{user}@127.0.0.1:{broker.port}/"


def event() -> Message:
    """An event of Stripe."""
    return Message("webhooks", "stripe.payment_intent.created", "id-1", "com.stripe.x", {}, b"{}")


async def test_the_users_of_the_broker_may_do_what_they_have_to(broker: RabbitMQServer) -> None:
    """The gateway declares and publishes; the worker has its queue; the operator looks into it."""
    publisher = RabbitPublisher(BrokerNodes(address(broker, "gateway")), "webhooks", 20.0)
    await publisher.start()
    try:
        await wait_until_async(lambda: not publisher.unavailable_reason, PATIENCE, "the gateway is connected")
        queue = RabbitQueue(
            BrokerNodes(address(broker, "worker")),
            "webhooks",
            Worker("example-worker", ["stripe.payment_intent.*"]),
        )
        await queue.check()
        await publisher.publish(event())
        await queue.start()
        (delivery,) = await queue.receive(1)
        await queue.dead_letter(delivery, {})
        await queue.stop()
        async with open_rabbitmq_queue(
            BrokerNodes(address(broker, "operator")), "example-worker.dead", "example-worker"
        ) as holding:
            assert holding.size == 1
    finally:
        await publisher.stop()


@pytest.mark.parametrize("exchange", ["webhooks", AGENTS_EXCHANGE])
async def test_the_gateway_may_take_events_for_endpoints(broker: RabbitMQServer, exchange: str) -> None:
    """Its own, and those that agents emit."""
    async with open_rabbitmq_intake(BrokerNodes(address(broker, "gateway")), exchange) as intake:
        await intake.bind(["stripe.#"])
        async with await aio_pika.connect(address(broker, "operator")) as connection:
            target = await (await connection.channel()).get_exchange(exchange)
            await target.publish(aio_pika.Message(b"{}"), "stripe.payment_intent.created")
        arrivals = await intake.receive(1)
        await intake.quarantine(arrivals[0], "no CloudEvent")
        await intake.acknowledge(arrivals)


@pytest.mark.parametrize("exchange", ["webhooks", "webhooks.quarantine", "webhooks.unrouted", "amq.topic"])
async def test_a_worker_cannot_write_where_workers_believe_what_they_read(
    broker: RabbitMQServer, exchange: str
) -> None:
    """Who can publish there can invent events."""
    publisher = RabbitPublisher(BrokerNodes(address(broker, "gateway")), "webhooks", 20.0)
    await publisher.start()
    await wait_until_async(lambda: not publisher.unavailable_reason, PATIENCE, "the gateway has declared it")
    await publisher.stop()
    async with await aio_pika.connect(address(broker, "worker")) as connection:
        channel = await connection.channel()
        target = await channel.get_exchange(exchange)
        with pytest.raises(ChannelAccessRefused):
            await target.publish(aio_pika.Message(b"{}"), "stripe.payment_intent.created")


async def test_a_user_of_the_broker_cannot_touch_what_is_anothers(broker: RabbitMQServer) -> None:
    """The gateway no queue of a worker, a worker none of the gateway."""
    for user, queue in (("gateway", "example-worker"), ("worker", "webhooks.quarantine")):
        async with await aio_pika.connect(address(broker, user)) as connection:
            channel = await connection.channel()
            with pytest.raises(ChannelAccessRefused):
                await channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})


async def test_the_user_of_redis_keeps_claims_and_nobody_comes_without_a_password() -> None:
    """And all that is no must is there, so that nothing is warned of."""
    require("redis-server")
    lines = composed()["configs"]["redis"]["content"].splitlines()
    users = [line.split()[1:] for line in lines if line.startswith("user ")]
    assert [user[0] for user in users] == ["default", "gateway"]
    with RedisServer() as server, redis.Redis.from_url(server.url) as raw:
        execute: Any = raw.execute_command
        for user in reversed(users):  # the last one closes the door behind itself
            execute("ACL", "SETUSER", *user)
        claims = PackedRedisClaims(OneServer(f"redis://gateway:of-redis@127.0.0.1:{server.port}/0"))
        nobody = PackedRedisClaims(OneServer(server.url))
        await claims.start()
        await nobody.start()
        try:
            await wait_until_async(
                lambda: not claims.unavailable_reason, PATIENCE, "the gateway is connected"
            )
            await wait_until_async(lambda: "NOAUTH" in nobody.unavailable_reason, PATIENCE, "nobody else is")
            assert await claims.claim(claim_key("github", "1"), "a") is Standing.CLAIMED
            report = await claims.inspect(lambda: 0.0)

            assert report.clock_offset is not None
            assert report.warnings == ()
        finally:
            await claims.stop()
            await nobody.stop()


def test_what_does_not_talk_to_each_other_shares_no_network() -> None:
    """A worker is not in Redis' network, and the servers are in none that leads outside."""
    file = composed()
    networks = {name: set(service["networks"]) for name, service in file["services"].items()}

    assert not networks["worker"] & networks["redis"]
    assert not networks["redis"] & networks["rabbitmq"]
    for server in ("redis", "rabbitmq", "worker"):
        assert all(file["networks"][network]["internal"] for network in networks[server])
    published = {name: service["ports"] for name, service in file["services"].items() if "ports" in service}
    assert published.pop("caddy") == ["80:80", "443:443", "443:443/udp"]
    assert published.keys() == {"gateway", "rabbitmq-ui", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_what_is_not_asked_for_does_not_start() -> None:
    """HTTPS, the management pages, monitoring and the operator's commands have profiles of their own."""
    services = composed()["services"]

    assert {name for name, service in services.items() if "profiles" not in service} == {
        "gateway",
        "worker",
        "redis",
        "rabbitmq",
    }


def test_the_gateway_has_the_secrets_of_the_providers_and_no_password_of_others() -> None:
    """All of .env reaches it but for the passwords that compose puts into URLs."""
    service = composed()["services"]["gateway"]
    environment = service["environment"]

    assert service["env_file"] == ".env"
    assert {name for name, value in environment.items() if not value} == {*WORDS}
    assert "of-the-gateway" in environment["RABBITMQ_URL"]
    assert "of-redis" in environment["REDIS_URL"]


def test_images_are_named_by_exact_versions() -> None:
    """A tag that moves is another program tomorrow."""
    images = [service["image"] for service in composed()["services"].values() if "build" not in service]
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    images += re.findall(r"^ARG PYTHON=(.+)$", dockerfile, re.MULTILINE)

    assert len(images) == 8
    assert [image for image in images if not _EXACT.fullmatch(image)] == []
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${PYTHON}"}


def test_all_that_an_image_is_made_of_is_fixed_by_its_digest() -> None:
    """What runs, and what makes the wheel."""
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    installs = re.findall(r"pip (?:--python \S+ )?(?:install|wheel) [^\n\\]+", dockerfile)

    assert len(installs) == 4
    for install in installs:
        assert "--require-hashes" in install or "--no-index" in install or "--no-build-isolation" in install
    for name in ("build", "runtime"):
        locked = (ROOT / "requirements" / f"{name}.txt").read_text("utf-8")
        assert re.findall(r"^[a-z0-9_.\[\]-]+==[^\\]*$", locked, re.MULTILINE) == []
        assert f"requirements/{name}.txt" in dockerfile


def test_every_password_is_in_the_example_of_the_environment() -> None:
    """Else it is asked for when it is too late."""
    wanted = set(re.findall(r"\$\{(\w+):\?", (ROOT / "compose.yaml").read_text("utf-8")))
    wanted |= set(
        re.findall(r"^ *[^#\s].*\$\{(\w+)\}", (ROOT / "config.yaml").read_text("utf-8"), re.MULTILINE)
    )
    given = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))

    assert wanted == given
