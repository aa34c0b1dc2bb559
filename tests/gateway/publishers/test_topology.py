"""Existing exchanges and queues, and users with few permissions: use them, or say what is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from structlog.testing import capture_logs

from gateway.errors import OperatorError
from gateway.events.message import Message
from gateway.publishers import Publisher, Retention
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.queues.dead_letters.rabbitmq import open_rabbitmq_queue
from gateway.queues.tail import tail_broker
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.worker import Event, Worker
from gateway.worker.queue import DeclarationChanged
from gateway.worker.rabbitmq import RabbitQueue
from support.agents import Place, envelope
from support.rabbitmq_server import RabbitMQServer
from support.waiting import wait_until_async

EXCHANGE = "webhooks"
UNROUTED = "webhooks.unrouted"
QUARANTINE = "webhooks.quarantine"
PATIENCE = 30.0
RETENTION = Retention(max_age=86_400, max_size=1024**2)
QUORUM = {"x-queue-type": "quorum"}

Logs = list[Any]
Declare = Callable[[AbstractChannel], Any]


@dataclass
class Users:
    """Makes users with given rights in the virtual host of a test."""

    server: RabbitMQServer
    url: str

    def user(self, configure: str, write: str, read: str) -> str:
        """Return the address as a new user with these rights; an empty pattern is none."""
        vhost = urlsplit(self.url).path[1:]
        name = f"user-{vhost}-{abs(hash((configure, write, read)))}"
        self.server.ctl("add_user", name, "correct-horse")
        rights = [pattern or "^$" for pattern in (configure, write, read)]
        self.server.ctl("set_permissions", "--vhost", vhost, name, *rights)
        return self.url.replace("guest:guest@", f"{name}:correct-horse@")


@pytest.fixture
def users(rabbitmq_server: RabbitMQServer, rabbitmq_url: str) -> Users:
    """Those of a fresh virtual host."""
    return Users(rabbitmq_server, rabbitmq_url)


def event(number: int = 1, exchange: str = EXCHANGE, key: str = "stripe.invoice.paid") -> Message:
    """Return a message that its number identifies."""
    body = envelope(f"id-{number}")
    return Message(exchange, key, f"id-{number}", "com.stripe.invoice.paid", {"provider": "stripe"}, body)


@asynccontextmanager
async def publishing(url: str, archive: Retention | None = None) -> AsyncIterator[tuple[Publisher, Logs]]:
    """A publisher that is connected, and what it logs."""
    publisher = RabbitPublisher(BrokerNodes(url), EXCHANGE, 20.0, archive)
    with capture_logs() as logs:
        await publisher.start()
        try:
            await wait_until_async(
                lambda: not publisher.unavailable_reason, PATIENCE, "the publisher is connected"
            )
            yield publisher, logs
        finally:
            await publisher.stop()


async def trouble_of(url: str, archive: Retention | None = None) -> str:
    """What a publisher says that never becomes ready."""
    publisher = RabbitPublisher(BrokerNodes(url), EXCHANGE, 20.0, archive)
    await publisher.start()
    try:
        await wait_until_async(lambda: publisher.unavailable_reason != "not connected yet", PATIENCE)
        return publisher.unavailable_reason
    finally:
        await publisher.stop()


async def declared(url: str, *declarations: Declare) -> None:
    """Have somebody else declare things first."""
    async with await aio_pika.connect(url) as connection:
        for declare in declarations:
            await declare(await connection.channel())


def a_queue(name: str, **settings: Any) -> Declare:
    """A durable queue with these arguments."""
    arguments = settings.pop("arguments", {})
    return lambda channel: channel.declare_queue(name, **{"durable": True, **settings}, arguments=arguments)


def an_exchange(name: str, kind: str = "topic", **settings: Any) -> Declare:
    """A durable exchange."""
    return lambda channel: channel.declare_exchange(name, kind, **{"durable": True, **settings})


async def count(url: str, queue: str) -> int:
    """How many messages are in a queue."""
    async with await aio_pika.connect(url) as connection:
        found = await (await connection.channel()).declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0


def short(**options: Any) -> Worker:
    """A worker with two delays of less than a second."""
    return Worker("agent", ["stripe.#"], attempts=2, retry_from=0.2, retry_most=0.4, **options)


# --- least privilege --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("archive", [None, RETENTION])
@pytest.mark.parametrize("read", ["", ".*"])
async def test_a_user_who_may_only_write_publishes_where_all_is_declared(
    users: Users, read: str, archive: Retention | None
) -> None:
    """And goes on after something was returned, when all of it is looked at again."""
    async with publishing(users.url, archive):
        pass
    async with publishing(users.user("", ".*", read), archive) as (publisher, _):
        await publisher.publish(event(1))
        await publisher.publish(event(2, QUARANTINE))

    assert await count(users.url, UNROUTED) == 1
    assert await count(users.url, QUARANTINE) == 1


async def test_a_binding_that_may_not_be_made_is_logged_once_with_its_remedy(users: Users) -> None:
    """It may be there or not: no client can see that."""
    async with publishing(users.url):
        pass
    async with publishing(users.user("", ".*", "")) as (publisher, logs):
        await publisher.publish(event(1))
    causes = [line["cause"] for line in logs if line["log_level"] == "warning"]

    assert len(causes) == 2
    assert all("binding" in cause and "write" in cause and "read" in cause for cause in causes)
    assert "correct-horse" not in str(logs)


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        (("", ".*", ".*"), "exchange 'webhooks.unrouted' is not there"),
        (("^webhooks\\.", ".*", ".*"), "exchange 'webhooks' is not there"),
        (("^webhooks(\\.unrouted)?$", ".*", ".*"), "exchange 'webhooks.quarantine' is not there"),
        ((".*", "^webhooks\\.", ".*"), "may not publish to exchange 'webhooks'"),
        ((".*", "^webhooks(\\.unrouted)?$", ".*"), "exchange 'webhooks.quarantine'"),
    ],
)
async def test_what_is_missing_and_may_not_be_declared_is_named_in_one_line(
    users: Users, rights: tuple[str, str, str], expected: str
) -> None:
    """With its name, the user and the right."""
    unavailable_reason = await trouble_of(users.user(*rights))

    assert expected in unavailable_reason
    assert "user-test-" in unavailable_reason
    assert "\n" not in unavailable_reason
    assert "correct-horse" not in unavailable_reason


async def test_whether_one_may_publish_is_found_out_without_publishing(users: Users) -> None:
    """Nobody gets anything of it, though somebody takes all events."""
    async with publishing(users.url):
        pass
    await declared(users.url, a_queue("all"))
    async with await aio_pika.connect(users.url) as connection:
        channel = await connection.channel()
        await (await channel.get_queue("all")).bind(EXCHANGE, "#")
    async with publishing(users.url):
        pass

    assert [await count(users.url, queue) for queue in ("all", UNROUTED, QUARANTINE)] == [0, 0, 0]


async def test_a_refused_declaration_ends_no_publish(users: Users) -> None:
    """While events are under way, something is taken away that this user may not make anew."""
    async with publishing(users.url):
        pass
    url = users.user("", ".*", "")
    async with publishing(url) as (publisher, _):
        await publisher.publish(event(1))
        async with await aio_pika.connect(users.url) as connection:
            await (await connection.channel()).exchange_delete(QUARANTINE)
        await publisher.publish(event(2))

    assert await count(users.url, UNROUTED) == 2


async def test_a_worker_whose_user_may_not_configure_handles_retries_and_buries(
    users: Users, tmp_path: Any, redis_url: str
) -> None:
    """Where all is declared, read and write are enough."""
    admin = Place(tmp_path, users.url, redis_url)
    async with admin.publishing():
        pass
    await admin.queue_of(short()).check()
    weak = Place(
        tmp_path, users.user("", "^(agent|agent\\..*|amq\\.default)$", "^(agent.*|webhooks)$"), redis_url
    )
    worker = short()
    attempts: list[int] = []

    @worker.on("#")
    async def handle(got: Event) -> None:
        attempts.append(got.attempts)
        raise ValueError

    async with weak.running(worker) as runner:
        await admin.publish("evt_1")
        await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE)

    assert attempts == [1, 2]
    assert [dead.headers["x-queue"] for dead in await admin.dead("agent")] == ["agent"]


@pytest.mark.parametrize(
    ("rights", "expected"),
    [
        (("", ".*", ".*"), "queue 'agent.dead' is not there"),
        (("^agent\\.", ".*", ".*"), "queue 'agent' is not there"),
        (("^agent(\\.dead)?$", ".*", ".*"), "queue 'agent.retry.0.2' is not there"),
        (("^agent", "^(agent.*|webhooks\\..*)$", ".*"), "write"),
    ],
)
async def test_what_a_worker_lacks_is_named_in_one_line(
    users: Users, rights: tuple[str, str, str], expected: str
) -> None:
    """Which queue, which user, which right."""
    async with publishing(users.url):
        pass
    if "amq" not in rights[1] and rights[1] != ".*":
        await RabbitQueue(BrokerNodes(users.url), EXCHANGE, short()).check()

    with pytest.raises(OSError, match="grant") as caught:
        await RabbitQueue(BrokerNodes(users.user(*rights)), EXCHANGE, short()).check()

    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_worker_without_its_record_of_patterns_works_and_says_so(users: Users) -> None:
    """It is there to notice a change of them, and for nothing else."""
    async with publishing(users.url):
        pass
    await RabbitQueue(BrokerNodes(users.url), EXCHANGE, short()).check()
    async with await aio_pika.connect(users.url) as connection:
        await (await connection.channel()).exchange_delete("agent.events")
    with capture_logs() as logs:
        await RabbitQueue(BrokerNodes(users.user("", ".*", ".*")), EXCHANGE, short()).check()

    assert "'agent.events' is not there" in logs[0]["cause"]


async def test_commands_need_no_right_to_configure(users: Users) -> None:
    """Looking into the quarantine takes read; reading along takes queues of the exchange's name."""
    async with publishing(users.url) as (publisher, _):
        await publisher.publish(event(1, QUARANTINE))
    async with open_rabbitmq_queue(BrokerNodes(users.user("", "", ".*")), QUARANTINE, None) as holding:
        held = [each async for each in holding.browse()]
    async with tail_broker(
        BrokerNodes(users.user("^webhooks\\.tail\\.", "^webhooks\\.tail\\.", "^webhooks")), EXCHANGE, "#"
    ) as events:
        async with publishing(users.url) as (publisher, _):
            await publisher.publish(event(2))
        body = await anext(events)

    assert [each.message_id for each in held] == ["id-1"]
    assert body == event(2).body


async def test_a_command_that_may_not_says_what_it_takes(users: Users) -> None:
    """In one line."""
    async with publishing(users.url) as (publisher, _):
        await publisher.publish(event(1, QUARANTINE))
    weak = users.user("", "", "^webhooks$")

    with pytest.raises(OSError, match="takes configure, write and read on queues webhooks"):
        async with tail_broker(BrokerNodes(weak), EXCHANGE, "#"):
            pass
    with pytest.raises(OperatorError, match="ACCESS_REFUSED"):
        async with open_rabbitmq_queue(BrokerNodes(weak), QUARANTINE, None) as holding:
            [each async for each in holding.browse()]


# --- declared by somebody else ----------------------------------------------------------------------------------

HARMLESS = {
    "a classic queue": a_queue(UNROUTED),
    "a classic queue by its name": a_queue(UNROUTED, arguments={"x-queue-type": "classic"}),
    "a bounded queue that refuses": a_queue(
        UNROUTED, arguments={**QUORUM, "x-max-length": 100_000, "x-overflow": "reject-publish"}
    ),
    "a delivery limit": a_queue(QUARANTINE, arguments={**QUORUM, "x-delivery-limit": 50}),
    "a time to live with a place to go": a_queue(
        QUARANTINE,
        arguments={
            **QUORUM,
            "x-message-ttl": 86_400_000,
            "x-dead-letter-exchange": "old",
            "x-dead-letter-routing-key": "it's old",
        },
    ),
    "an exchange without an alternate": an_exchange(EXCHANGE),
    "another alternate": an_exchange(EXCHANGE, arguments={"alternate-exchange": "elsewhere"}),
    "an exchange that is not durable": an_exchange(QUARANTINE, durable=False),
}


@pytest.mark.parametrize("there", HARMLESS.values(), ids=HARMLESS.keys())
async def test_what_is_there_with_other_arguments_is_used_with_a_warning(
    users: Users, there: Declare
) -> None:
    """One line that names it and says all that differs."""
    await declared(users.url, there, a_queue("all"))
    async with publishing(users.url) as (publisher, logs):
        async with await aio_pika.connect(users.url) as connection:
            channel = await connection.channel()
            await (await channel.get_queue("all")).bind(EXCHANGE, "#")
        await publisher.publish(event(1))
        await publisher.publish(event(2, QUARANTINE))
    (warning,) = (line["cause"] for line in logs if line["log_level"] == "warning")

    assert "is there already with other settings, and is used as it is" in warning
    assert await count(users.url, "all") == 1
    assert await count(users.url, QUARANTINE) == 1


async def test_all_that_differs_is_named(users: Users) -> None:
    """The broker itself names one difference and no more."""
    arguments = {"x-max-length": 1000, "x-overflow": "reject-publish", "x-delivery-limit": 7, **QUORUM}
    await declared(users.url, a_queue(UNROUTED, arguments=arguments))
    async with publishing(users.url) as (_, logs):
        pass
    (warning,) = (line["cause"] for line in logs if line["log_level"] == "warning")

    for difference in (
        "x-max-length is 1000, not absent",
        "x-overflow is reject-publish",
        "x-delivery-limit is 7",
    ):
        assert difference in warning


HARMFUL = {
    "an exchange of another type": (an_exchange(EXCHANGE, "direct"), "does not route"),
    "an unrouted exchange that routes": (an_exchange(UNROUTED, "topic"), "does not route"),
    "a quarantine of another type": (an_exchange(QUARANTINE, "headers"), "does not route"),
    "an internal exchange": (an_exchange(EXCHANGE, internal=True), "takes no event"),
    "a queue that ends with a restart": (a_queue(UNROUTED, durable=False), "ends with"),
    "a queue that ends with its consumer": (a_queue(UNROUTED, auto_delete=True), "ends with"),
    "a queue that ends with time": (a_queue(UNROUTED, arguments={"x-expires": 60_000}), "ends with"),
    "a queue that drops the oldest": (a_queue(UNROUTED, arguments={"x-max-length": 5}), "drops the oldest"),
    "a quorum queue that drops the oldest": (
        a_queue(QUARANTINE, arguments={**QUORUM, "x-max-length-bytes": 9999, "x-overflow": "drop-head"}),
        "drops the oldest",
    ),
    "a queue that drops the old": (a_queue(UNROUTED, arguments={"x-message-ttl": 1000}), "after a while"),
    "a queue that drops what is looked at": (
        a_queue(QUARANTINE, arguments={**QUORUM, "x-delivery-limit": 1}),
        "looked at",
    ),
    "a stream": (a_queue(QUARANTINE, arguments={"x-queue-type": "stream"}), "stream"),
}


@pytest.mark.parametrize(("there", "expected"), HARMFUL.values(), ids=HARMFUL.keys())
async def test_what_would_break_a_promise_is_refused_with_its_reason(
    users: Users, there: Declare, expected: str
) -> None:
    """In one line, with the name and the broker's own words; nothing is changed."""
    await declared(users.url, there)
    unavailable_reason = await trouble_of(users.url)

    assert "is there already, and" in unavailable_reason
    assert expected in unavailable_reason
    assert "PRECONDITION_FAILED" in unavailable_reason
    assert "\n" not in unavailable_reason


async def test_without_its_alternate_an_archive_would_hide_what_nobody_gets(users: Users) -> None:
    """All goes into the archive, so that nothing is returned."""
    await declared(users.url, an_exchange(EXCHANGE))

    assert "in the archive only" in await trouble_of(users.url, RETENTION)


async def test_a_queue_exclusive_to_another_connection_is_named(users: Users) -> None:
    """It ends with that."""
    async with await aio_pika.connect(users.url) as connection:
        await (await connection.channel()).declare_queue(UNROUTED, exclusive=True)

        assert "RESOURCE_LOCKED" in await trouble_of(users.url)


WORKER_HARMLESS = {
    "a bounded queue": a_queue(
        "agent",
        arguments={
            **QUORUM,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "agent.dead",
            "x-max-length": 1000,
        },
    ),
    "no dead-letter exchange": a_queue("agent", arguments=QUORUM),
    "dead letters elsewhere": a_queue("agent", arguments={**QUORUM, "x-dead-letter-exchange": "graveyard"}),
    "a classic dead-letter queue": a_queue("agent.dead"),
    "another delay": a_queue(
        "agent.retry.0.2",
        arguments={
            "x-message-ttl": 300,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": "agent",
        },
    ),
}


@pytest.mark.parametrize("there", WORKER_HARMLESS.values(), ids=WORKER_HARMLESS.keys())
async def test_a_worker_uses_what_is_there_with_other_arguments(
    users: Users, there: Declare, tmp_path: Any, redis_url: str
) -> None:
    """With a warning; events are tried again and end in the dead-letter queue."""
    await declared(users.url, there)
    place, worker = Place(tmp_path, users.url, redis_url), short()

    @worker.on("#")
    async def handle(got: Event) -> None:
        raise ValueError

    with capture_logs() as logs:
        async with place.publishing():
            pass
        async with place.running(worker) as runner:
            await place.publish("evt_1")
            await wait_until_async(lambda: runner.counts["dead"] == 1, PATIENCE)

    assert any("is used as it is" in line.get("cause", "") for line in logs)
    assert len(await place.dead("agent")) == 1


WORKER_HARMFUL = {
    "a classic queue": (a_queue("agent"), short()),
    "a stream": (a_queue("agent", arguments={"x-queue-type": "stream"}), short()),
    "a queue that drops the oldest": (a_queue("agent", arguments={**QUORUM, "x-max-length": 5}), short()),
    "several consumers of an ordered queue": (
        a_queue("agent", arguments=QUORUM),
        short(ordered_by="subject"),
    ),
    "a dead-letter queue that forgets": (a_queue("agent.dead", arguments={"x-message-ttl": 1}), short()),
    "a delay without an end": (a_queue("agent.retry.0.2"), short()),
    "a delay that leads elsewhere": (
        a_queue(
            "agent.retry.0.2",
            arguments={
                "x-message-ttl": 200,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": "other",
            },
        ),
        short(),
    ),
    "events of another exchange": (an_exchange(EXCHANGE, "fanout"), short()),
}


@pytest.mark.parametrize(("there", "worker"), WORKER_HARMFUL.values(), ids=WORKER_HARMFUL.keys())
async def test_a_worker_refuses_what_would_break_a_promise(
    users: Users, there: Declare, worker: Worker
) -> None:
    """And changes nothing."""
    await declared(users.url, there)

    with pytest.raises(DeclarationChanged, match="nothing was changed") as caught:
        await RabbitQueue(BrokerNodes(users.url), EXCHANGE, worker).check()

    assert "\n" not in str(caught.value)
