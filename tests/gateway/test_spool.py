"""Events wait on disk while the broker does not take them, and none is lost or left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage, AbstractQueue

from gateway.publishers import Message, PublishUnavailable
from gateway.publishers.memory import MemoryPublisher
from gateway.publishers.rabbitmq import RabbitPublisher
from gateway.spool import FILE_NAME, Spool, SpoolingPublisher
from support.rabbitmq_server import RabbitMQServer
from support.waiting import wait_until_async

LARGE = 1024**2


def make_message(number: int, size: int = 10) -> Message:
    """A message that no other is equal to."""
    body = b"%06d" % number
    return Message(
        "webhooks", "acme.order", f"evt_{number}", "com.hmac.order", {"provider": "acme"}, body.ljust(size)
    )


@asynccontextmanager
async def spooling(
    folder: Path, broker: MemoryPublisher, max_size: int = LARGE
) -> AsyncIterator[SpoolingPublisher]:
    """A started publisher with its spool in ``folder``."""
    publisher = SpoolingPublisher(broker, Spool(folder, max_size))
    await publisher.start()
    try:
        yield publisher
    finally:
        await publisher.stop()


async def test_nothing_is_spooled_while_the_broker_confirms(tmp_path: Path) -> None:
    """The disk is not on the normal path."""
    broker = MemoryPublisher()
    async with spooling(tmp_path, broker) as publisher:
        await publisher.publish(make_message(1))

        assert (broker.messages, publisher.spooled, publisher.trouble) == ([make_message(1)], 0, "")


async def test_events_that_are_not_confirmed_wait_and_are_drained_oldest_first(tmp_path: Path) -> None:
    """Every field of a message survives, and their order too."""
    broker = MemoryPublisher()
    broker.trouble = "away"
    sent = [make_message(number) for number in range(250)]
    async with spooling(tmp_path, broker) as publisher:
        for message in sent:
            await publisher.publish(message)
        assert (publisher.spooled, publisher.trouble) == (250, "away; 250 events wait in the spool")
        broker.trouble = ""

        await wait_until_async(lambda: publisher.spooled == 0, 10, "the spool is drained")
        assert sent == broker.messages


async def test_a_gateway_with_room_in_its_spool_is_ready_and_one_without_is_not(tmp_path: Path) -> None:
    """A full spool refuses, which the caller answers with 503, and readiness tells the balancer."""
    broker = MemoryPublisher()
    broker.trouble = "away"
    async with spooling(tmp_path, broker, max_size=2000) as publisher:
        readiness = []
        for number in (1, 2):
            await publisher.publish(make_message(number, 1000))
            readiness.append(publisher.is_accepting)
        assert readiness == [True, False]
        with pytest.raises(PublishUnavailable, match="full"):
            await publisher.publish(make_message(3))

        broker.trouble = ""
        await wait_until_async(lambda: publisher.spooled == 0, 10, "a full spool drains")
        await publisher.publish(make_message(4))
        assert publisher.is_accepting


async def test_what_is_spooled_survives_a_restart(tmp_path: Path) -> None:
    """The next gateway on the folder publishes it."""
    broker = MemoryPublisher()
    broker.trouble = "away"
    async with spooling(tmp_path, broker) as publisher:
        await publisher.publish(make_message(1))
    broker.trouble = ""
    async with spooling(tmp_path, broker) as publisher:
        await wait_until_async(lambda: publisher.spooled == 0, 10, "the spool is drained")

        assert broker.messages == [make_message(1)]


async def test_an_event_accepted_into_the_spool_survives_kill_9(tmp_path: Path) -> None:
    """Accepted means on disk: the process says so only after the commit, and is killed right then."""
    program = """
import asyncio, sys
from pathlib import Path
from gateway.publishers import Message
from gateway.spool import Spool
async def main():
    spool = Spool(Path(sys.argv[1]), 10**6)
    await spool.start()
    await spool.append(Message("webhooks", "acme.order", "evt_1", "com.hmac.order", {"provider": "acme"}, b"000001    "))
    print("accepted", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"accepted\n"
        os.kill(process.pid, signal.SIGKILL)

    spool = Spool(tmp_path, LARGE)
    await spool.start()
    messages = [spooled.message for spooled in await spool.oldest(10)]
    await spool.stop()

    assert messages == [make_message(1)]


async def test_a_second_gateway_on_the_same_spool_does_not_start(tmp_path: Path) -> None:
    """Two that drain one file would publish everything twice."""
    async with spooling(tmp_path, MemoryPublisher()):
        with pytest.raises(OSError, match="belongs to another gateway"):
            await Spool(tmp_path, LARGE).start()


async def test_a_spool_that_cannot_be_written_refuses(tmp_path: Path) -> None:
    """An error of the disk is no acceptance."""
    broker = MemoryPublisher()
    broker.trouble = "away"
    async with spooling(tmp_path, broker) as publisher:
        await publisher._spool._file.run(lambda connection: connection.execute("DROP TABLE spool"))

        with pytest.raises(PublishUnavailable, match="cannot be written"):
            await publisher.publish(make_message(1))
    (tmp_path / FILE_NAME).unlink()


async def test_a_real_broker_that_dies_and_returns_gets_everything(
    tmp_path: Path, rabbitmq_server: RabbitMQServer, rabbitmq_url: str
) -> None:
    """With RabbitMQ killed under load: what was accepted meanwhile arrives when it is back."""
    broker = RabbitPublisher(rabbitmq_url, "webhooks", timeout=1.0)
    publisher = SpoolingPublisher(broker, Spool(tmp_path, LARGE))
    await publisher.start()
    try:
        await wait_until_async(lambda: publisher.is_accepting, 15, "the broker is connected")
        await publisher.publish(make_message(0))
        rabbitmq_server.kill()
        for number in range(1, 50):
            await publisher.publish(make_message(number))
        assert publisher.is_accepting
        rabbitmq_server.start()

        await wait_until_async(lambda: publisher.spooled == 0, 30, "the spool is drained")
        assert not publisher.trouble
    finally:
        await publisher.stop()

    connection = await aio_pika.connect(rabbitmq_url)
    async with connection:
        queue = await (await connection.channel()).get_queue("webhooks.unrouted")
        arrived = {message.message_id async for message in _messages(queue)}

    assert arrived == {f"evt_{number}" for number in range(50)}


async def _messages(queue: AbstractQueue) -> AsyncIterator[AbstractIncomingMessage]:
    """What is in the queue at the moment."""
    while message := await queue.get(no_ack=True, fail=False):
        yield message
