"""A worker with aio-pika alone: it consumes its own queue, and handles each event once.

    RABBITMQ_URL=amqp://guest:guest@localhost:5672/ python examples/worker.py

The gateway delivers at least once: after a crash or a lost connection an event may be redelivered, with the same
source and id. To do nothing twice, compare them, as `seen` does here. A real worker stores them together with the
effect, in the same transaction if there is one.
"""

import asyncio
import json
import logging
import os
from collections import deque
from contextlib import suppress
from typing import Any

import aio_pika
from aiormq.exceptions import ChannelAccessRefused

URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost:5672/")
QUEUE = "example-worker"
EVENTS = ["stripe.payment_intent.*", "github.pull_request.#", "acme.#"]  # * is one word, # any number

log = logging.getLogger("worker")


async def handle(event: dict[str, Any]) -> None:
    """Do the work; here, say what happened."""
    print(event["type"], event["id"], "about", event.get("subject", "nothing in particular"), flush=True)


async def declare_exchange(connection: aio_pika.abc.AbstractConnection) -> None:
    """Declare the exchange, if this user may: otherwise the gateway has to declare it first."""
    channel = await connection.channel()
    with suppress(ChannelAccessRefused):  # which closes the channel
        # The same declaration as the gateway's, so that either of them may come first.
        await channel.declare_exchange(
            "webhooks",
            aio_pika.ExchangeType.TOPIC,
            durable=True,
            arguments={"alternate-exchange": "webhooks.unrouted"},
        )
        await channel.close()


async def declare(channel: aio_pika.abc.AbstractChannel) -> aio_pika.abc.AbstractQueue:
    """Declare the queue of this worker, bound to its events, and the dead-letter queue for those that it cannot handle."""
    await channel.declare_queue(f"{QUEUE}.dead", durable=True, arguments={"x-queue-type": "quorum"})
    queue = await channel.declare_queue(
        QUEUE,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            # An event that fails every time would come back for ever and hold up the others. After five returns
            # it goes to the dead-letter queue; by default, RabbitMQ 4 would drop it after twenty.
            "x-delivery-limit": 5,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"{QUEUE}.dead",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",  # required by that strategy
        },
    )
    for pattern in EVENTS:
        await queue.bind("webhooks", pattern)
    return queue


async def main() -> None:
    """Consume until the process ends."""
    async with await aio_pika.connect(URL) as once:
        await declare_exchange(once)
    connection = await aio_pika.connect_robust(URL)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=10)
    queue = await declare(channel)

    seen: deque[tuple[str, str]] = deque(maxlen=10_000)
    async with queue.iterator() as messages:
        async for message in messages:
            try:
                # Acknowledges the message when the block succeeds, and requeues it when the block raises. It comes
                # back at once: to wait between attempts takes a queue for each delay, as in gateway.worker.
                async with message.process(requeue=True):
                    event = json.loads(message.body)
                    if (event["source"], event["id"]) not in seen:
                        await handle(event)
                        seen.append((event["source"], event["id"]))
            except Exception:
                log.exception("event %s failed", message.message_id)


if __name__ == "__main__":
    asyncio.run(main())
