"""A worker with nothing but aio-pika: takes events from its own queue, and each event once.

    RABBITMQ_URL=amqp://guest:guest@localhost:5672/ python examples/worker.py

The gateway delivers at least once: after a crash or a lost connection an event may come again, with the same
id. What must not happen twice checks that id, as `seen` does here; a real worker keeps it where it keeps the
effect, in the same transaction if there is one.
"""

import asyncio
import json
import os
from typing import Any

import aio_pika

QUEUE = "example-worker"
EVENTS = ["stripe.payment_intent.*", "github.pull_request.#", "acme.#"]  # * is one word, # any number


async def handle(event: dict[str, Any]) -> None:
    """Do the work; here, say what happened."""
    print(event["type"], event["id"], "about", event.get("subject", "nothing in particular"), flush=True)


async def main() -> None:
    """Consume until the process is ended."""
    connection = await aio_pika.connect_robust(
        os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost/")
    )
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=10)
    # The same declaration as the gateway's, so that it does not matter which of the two comes first.
    exchange = await channel.declare_exchange(
        "webhooks",
        aio_pika.ExchangeType.TOPIC,
        durable=True,
        arguments={"alternate-exchange": "webhooks.unrouted"},
    )
    queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    for pattern in EVENTS:
        await queue.bind(exchange, pattern)

    seen: set[str] = set()
    async with queue.iterator() as messages:
        async for message in messages:
            # Acknowledged when the block ends well, given back to the queue when it raises.
            async with message.process(requeue=True):
                event = json.loads(message.body)
                if event["id"] not in seen:
                    await handle(event)
                    seen.add(event["id"])


if __name__ == "__main__":
    asyncio.run(main())
