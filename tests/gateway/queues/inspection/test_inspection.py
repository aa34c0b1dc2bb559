"""Queues seen from outside: how much is in them, over both brokers and the management API, without a trace."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.backends import open_inspection
from gateway.config import Config
from gateway.queues.embedded import SqliteConsumer
from gateway.queues.inspection import QueueDepth
from gateway.queues.inspection.management import inspect_through_management
from gateway.transport.amqp_nodes import BrokerNodes
from gateway.transport.embedded import Database
from support.letter_queues import DEAD, QUEUE, configuration, embedded, event, rabbit
from support.ports import free_port
from support.standin import Answer, StandIn
from support.waiting import wait_until_async

RECEIVED_AT = 1_795_244_400.0
"""When the events of :func:`event` were received: 2026-11-21 07:00:00 UTC."""

QUEUES = "GET /api/queues/test-7?columns=name%2Cmessages_ready%2Cmessages_unacknowledged%2Cconsumers"


async def _depths(config: Config, *names: str) -> list[QueueDepth]:
    async with open_inspection(config) as queues:
        return await queues.depths(names)


async def test_embedded_queues_are_counted_exactly(tmp_path: Path) -> None:
    """Ready, received by a consumer, and waiting for the next attempt; the oldest by its receipt."""
    async with embedded(tmp_path) as broker:
        await broker.declare(QUEUE, DEAD)
        for number in range(5):
            await broker.put(QUEUE, event(number), {})
        consumer = SqliteConsumer(broker.database, QUEUE)
        await consumer.start()
        received = await consumer.receive(3)
        await consumer.move(received[0], QUEUE, {}, delay=60)

        found = await _depths(broker.config, QUEUE, DEAD, "nowhere", QUEUE)
        async with open_inspection(broker.config) as queues:
            names = await queues.names()
        await consumer.stop()

    assert found == [
        QueueDepth(QUEUE, ready=2, unacknowledged=2, delayed=1, oldest_at=RECEIVED_AT),
        QueueDepth(DEAD, ready=0, unacknowledged=0, delayed=0),
    ]
    assert names == [QUEUE, DEAD]


async def test_embedded_messages_are_found_by_provider_and_id(tmp_path: Path) -> None:
    """In whichever queue, also those that a consumer has; not those of a provider whose name begins alike."""
    async with embedded(tmp_path) as broker:
        await broker.declare(QUEUE, DEAD)
        await broker.put(QUEUE, event(1), {"x-reason": "why"}, "acme.order.created")
        await broker.put(DEAD, event(1, provider="acme-two"), {}, "acme-two.order.created")
        consumer = SqliteConsumer(broker.database, QUEUE)
        await consumer.start()
        await consumer.receive(1)
        async with open_inspection(broker.config) as queues:
            found = await queues.find("acme", "id-1")
            missing = await queues.find("acme", "id-2")
        await consumer.stop()

    assert [(each.queue, each.headers, each.body) for each in found or []] == [
        (QUEUE, {"x-reason": "why"}, event(1))
    ]
    assert missing == []


async def test_no_file_means_no_queues_and_stays_none(tmp_path: Path) -> None:
    """Looking creates nothing."""
    (tmp_path / "data").mkdir()
    config = configuration(tmp_path / "data", "embedded")

    async with open_inspection(config) as queues:
        assert await queues.names() == []
        assert await queues.depths([QUEUE]) == []
        assert await queues.find("acme", "id-1") == []
    assert not (tmp_path / "data" / "embedded.db").exists()


async def test_a_damaged_file_is_an_error_with_its_path(tmp_path: Path) -> None:
    """Not a crash."""
    config = configuration(tmp_path, "embedded")
    Database(tmp_path).path.write_bytes(b"no database" * 100)

    with pytest.raises(OSError, match=r"embedded\.db: file is not a database"):
        await _depths(config, QUEUE)


async def _ignore(_: object) -> None:
    pass


async def test_rabbitmq_tells_ready_and_consumers(tmp_path: Path, rabbitmq_url: str) -> None:
    """By passive declarations, which change nothing; it cannot list queues, nor read them without taking."""
    async with rabbit(tmp_path, rabbitmq_url) as broker:
        await broker.declare(QUEUE, DEAD)
        for number in range(3):
            await broker.put(QUEUE, event(number), {})
        await (await broker.channel.get_queue(DEAD)).consume(_ignore)

        async def is_counted() -> bool:
            return [(each.ready, each.consumers) for each in await _depths(broker.config, QUEUE, DEAD)] == [
                (3, 0),
                (0, 1),
            ]

        condition: Callable[[], bool | Awaitable[bool]] = is_counted
        await wait_until_async(condition, message="the broker counts the messages")
        found = await _depths(broker.config, QUEUE, "nowhere", DEAD)
        async with open_inspection(broker.config) as queues:
            assert await queues.names() is None
            assert await queues.find("acme", "id-1") is None
        assert len(await broker.take_all(QUEUE)) == 3

    assert found == [QueueDepth(QUEUE, 3, consumers=0), QueueDepth(DEAD, 0, consumers=1)]


async def test_a_broker_that_is_away(tmp_path: Path) -> None:
    """Is an error for operators, at once."""
    config = configuration(tmp_path, f"amqp://guest:secret@127.0.0.1:{free_port()}/")

    with pytest.raises(OSError, match="nothing listens at") as caught:
        await _depths(config, QUEUE)
    assert "secret" not in str(caught.value)


def _managed(answer: Answer) -> StandIn:
    return StandIn({QUEUES: [answer]})


async def test_the_management_api_lists_queues() -> None:
    """With unacknowledged messages; a queue that was just made has no numbers yet."""
    listed = [
        {"name": QUEUE, "messages_ready": 2, "messages_unacknowledged": 7, "consumers": 3},
        {"name": DEAD},
    ]
    with _managed(Answer(200, listed)) as api:
        async with inspect_through_management(
            BrokerNodes("amqp://guest:guest@127.0.0.1/test-7"), api.url + "/"
        ) as queues:
            assert await queues.names() == [QUEUE, DEAD]
            assert await queues.depths([DEAD, QUEUE, "nowhere"]) == [
                QueueDepth(DEAD, 0, 0, consumers=0),
                QueueDepth(QUEUE, 2, 7, consumers=3),
            ]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(401), "give the user the tag `monitoring`"),
        (Answer(404), "it answers 404"),
        (Answer(200, {"error": "x"}), "is not a list of queues"),
        (Answer(200, [{"no": "name"}]), "is not a list of queues"),
    ],
)
async def test_a_management_api_that_is_none(answer: Answer, expected: str) -> None:
    """What is wrong with it is said, without the password."""
    with _managed(answer) as api:
        url = api.url.replace("http://", "http://monitor:hidden@")
        async with inspect_through_management(
            BrokerNodes("amqp://guest:guest@127.0.0.1/test-7"), url
        ) as queues:
            with pytest.raises(OSError, match=expected) as caught:
                await queues.names()
    assert "hidden" not in str(caught.value)


def test_settings_of_the_management_api(tmp_path: Path) -> None:
    """Its address is checked, and hidden in what is printed of the configuration."""
    section: dict[str, Any] = {
        "url": "amqp://127.0.0.1/",
        "management_url": "http://user:hidden@127.0.0.1:15672",
    }
    providers = configuration(tmp_path, "embedded").model_dump(by_alias=True)["providers"]
    config = Config.model_validate({"rabbitmq": section, "providers": providers})

    assert "hidden" not in repr(config)
    for wrong in ("amqp://x", "15672", "http://", "http://x/?a=b"):
        with pytest.raises(ValueError, match="management API"):
            Config.model_validate({"rabbitmq": section | {"management_url": wrong}, "providers": providers})
