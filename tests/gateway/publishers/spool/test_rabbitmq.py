"""The spool before a real RabbitMQ that dies, freezes, or forgets what was declared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest

from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.publishers.spool.files import spool_path
from gateway.publishers.spool.inspect import corrupt_rows_in
from gateway.publishers.spool.publisher import SpoolingPublisher
from gateway.publishers.spool.restore import restore
from gateway.transport.amqp_nodes import BrokerNodes
from support.rabbitmq_server import RabbitMQServer
from support.spooling import LARGE, make_message
from support.waiting import PATIENCE, wait_until_async


@asynccontextmanager
async def spooling(folder: Path, url: str, timeout: float = 1.0) -> AsyncIterator[SpoolingPublisher]:
    """A connected publisher."""
    publisher = SpoolingPublisher(RabbitPublisher(BrokerNodes(url), "webhooks", timeout), folder, LARGE)
    await publisher.start()
    try:
        await wait_until_async(lambda: not publisher.unavailable_reason, PATIENCE, "the broker is connected")
        yield publisher
    finally:
        await publisher.stop()


async def arrived(url: str) -> list[str]:
    """The ids of the events in the queue for what nobody is bound for."""
    async with await aio_pika.connect(url) as connection:
        queue = await (await connection.channel()).get_queue("webhooks.unrouted", ensure=False)
        ids = []
        while message := await queue.get(no_ack=True, fail=False):
            ids.append(message.message_id or "")
        return ids


def ids(count: int) -> set[str]:
    """Of the first ``count`` events."""
    return {f"evt_{number}" for number in range(count)}


async def test_a_broker_that_dies_and_returns_gets_everything(
    tmp_path: Path, rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    """With RabbitMQ killed under load: what was accepted meanwhile arrives when it is back."""
    async with spooling(tmp_path, rabbitmq_url) as publisher:
        await publisher.publish(make_message(0))
        rabbitmq_server.kill()
        for number in range(1, 50):
            await publisher.publish(make_message(number))
        assert publisher.is_accepting
        await asyncio.to_thread(rabbitmq_server.start)

        await wait_until_async(lambda: not publisher.unavailable_reason, PATIENCE, "it is found again")
        await wait_until_async(lambda: publisher.spooled == 0, PATIENCE, "the spool is drained")

    assert ids(50) == set(await arrived(rabbitmq_url))


async def test_a_frozen_broker_is_waited_for_by_the_first_events_only(
    tmp_path: Path, rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    """Then they go to the spool at once; those that it confirms after all are not published again."""
    async with spooling(tmp_path, rabbitmq_url) as publisher:
        await publisher.publish(make_message(0))
        rabbitmq_server.suspend()
        try:
            await asyncio.gather(*(publisher.publish(make_message(number)) for number in range(1, 4)))
            assert "has confirmed nothing" in publisher.unavailable_reason
            for number in range(4, 50):
                await publisher.publish(make_message(number))
            assert publisher.is_accepting
            assert publisher.unconfirmed < 25  # a few that asked whether it works again
        finally:
            rabbitmq_server.resume()
        await wait_until_async(lambda: publisher.spooled == 0, PATIENCE, "the spool is drained")
        await publisher.publish(make_message(50))

    assert sorted(ids(51)) == sorted(await arrived(rabbitmq_url))


@pytest.mark.parametrize("exchange", ["webhooks", "webhooks.unrouted"])
async def test_a_broker_that_forgets_what_was_declared_is_told_again(
    tmp_path: Path, rabbitmq_url: str, exchange: str
) -> None:
    """Events meanwhile go to the spool, whether the channel is closed or they come back as unroutable."""
    async with spooling(tmp_path, rabbitmq_url, timeout=5.0) as publisher:
        await publisher.publish(make_message(0))
        async with await aio_pika.connect(rabbitmq_url) as connection:
            await (await connection.channel()).exchange_delete(exchange)
        await asyncio.gather(*(publisher.publish(make_message(number)) for number in range(1, 20)))

        await wait_until_async(lambda: publisher.spooled == 0, PATIENCE, "the spool is drained")
        await publisher.publish(make_message(20))

    assert ids(21) == set(await arrived(rabbitmq_url))


async def test_a_message_larger_than_the_broker_takes_is_set_aside(
    tmp_path: Path, rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    """RabbitMQ closes the channel on the first one, under whatever else is under way; on no further one. All others arrive."""
    with rabbitmq_server.message_limit(10_000):
        async with spooling(tmp_path, rabbitmq_url) as publisher:
            await asyncio.gather(
                *(
                    publisher.publish(make_message(number, 20_000 if number == 7 else 10))
                    for number in range(20)
                )
            )
            await wait_until_async(lambda: publisher.spooled == 0, PATIENCE, "the spool is drained")
            assert publisher.corrupt == 1

            kept = await asyncio.gather(
                *(
                    publisher.publish(make_message(number, 20_000 if number == 27 else 10))
                    for number in range(20, 40)
                )
            )
            assert kept == [number == 27 for number in range(20, 40)]
            await wait_until_async(lambda: publisher.spooled == 0, PATIENCE, "it is set aside too")
            assert publisher.corrupt == 2

        assert ids(40) - {"evt_7", "evt_27"} == set(await arrived(rabbitmq_url))
        reasons = {reason for *_, reason, _ in corrupt_rows_in(spool_path(tmp_path, 0))}
        assert reasons == {
            "RabbitMQ takes messages of 10000 bytes at most, and this one has 20000: raise its max_message_size"
        }

    assert restore(spool_path(tmp_path, 0)) == 2
    async with spooling(tmp_path, rabbitmq_url) as publisher:
        await wait_until_async(lambda: publisher.spooled == 0, PATIENCE, "those two are published")
        assert publisher.corrupt == 0
    assert await arrived(rabbitmq_url) == ["evt_7", "evt_27"]


async def test_the_limit_is_learned_anew_after_the_broker_was_away(
    tmp_path: Path, rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    """Whoever raises it restarts the broker: from then on larger messages are published."""
    with rabbitmq_server.message_limit(10_000):
        async with spooling(tmp_path, rabbitmq_url) as publisher:
            await publisher.publish(make_message(0, 20_000))
            await wait_until_async(lambda: publisher.corrupt == 1, PATIENCE, "it is set aside")
            await asyncio.to_thread(rabbitmq_server.kill)
            await asyncio.to_thread(rabbitmq_server.start)  # with the default limit
            await wait_until_async(lambda: not publisher.unavailable_reason, PATIENCE, "it is found again")
            await publisher.publish(make_message(1, 20_000))
            await wait_until_async(lambda: publisher.spooled == 0, PATIENCE, "the spool is drained")
            assert publisher.corrupt == 1

    assert await arrived(rabbitmq_url) == ["evt_1"]
