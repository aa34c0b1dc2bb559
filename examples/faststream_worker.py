"""The worker of worker.py, for those who have FastStream.

    pip install 'faststream[rabbit]'
    RABBITMQ_URL=amqp://guest:guest@localhost:5672/ python examples/faststream_worker.py

What becomes of an event whose handler raises is for `ack_policy` to say. The default rejects it, and RabbitMQ drops what
is rejected if its queue has no dead queue. NACK_ON_ERROR gives it back, for ever: since 4.3 RabbitMQ does not count
that. So here there is a dead queue, and an attempt that failed gives the event back by a rejection, which counts.
"""

import asyncio
import json
import os
from collections import deque
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.exceptions import RejectMessage
from faststream.rabbit import Channel, ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitMessage
from faststream.rabbit import RabbitQueue as Queue

QUEUE = "faststream-worker"
EVENTS = ["stripe.payment_intent.*", "github.pull_request.#", "acme.#"]  # * is one word, # any number
DEAD = Queue(f"{QUEUE}.dead", queue_type=QueueType.QUORUM)

url = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@localhost:5672/")
broker = RabbitBroker(url, default_channel=Channel(prefetch_count=10))
app = FastStream(broker)
seen: deque[tuple[str, str]] = deque(maxlen=10_000)  # kept where the effect is kept, if it has to survive


async def handle(event: dict[str, Any]) -> None:
    """Do the work; here, say what happened."""
    print(event["type"], event["id"], "about", event.get("subject", "nothing in particular"), flush=True)


@app.on_startup
async def declare() -> None:
    """Declare the queues: a subscriber can bind its own by one pattern only."""
    await broker.connect()
    # The same declaration as the gateway's, so that it does not matter which of the two comes first.
    exchange = await broker.declare_exchange(
        RabbitExchange(
            "webhooks",
            type=ExchangeType.TOPIC,
            durable=True,
            arguments={"alternate-exchange": "webhooks.unrouted"},
        )
    )
    await broker.declare_queue(DEAD)
    queue = await broker.declare_queue(
        Queue(
            QUEUE,
            queue_type=QueueType.QUORUM,
            arguments={
                "x-delivery-limit": 5,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": DEAD.name,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",  # which that strategy asks for
            },
        )
    )
    for pattern in EVENTS:
        await queue.bind(exchange, pattern)


async def decode(message: RabbitMessage) -> Any:
    """FastStream reads application/json by itself, but not application/cloudevents+json."""
    return json.loads(message.body)


# What is no event raises before the handler does, is rejected, and goes to the dead queue at once.
@broker.subscriber(Queue(QUEUE, declare=False), decoder=decode, ack_policy=AckPolicy.REJECT_ON_ERROR)
async def receive(event: dict[str, Any]) -> None:
    """Handle each event once, by its source and id: the gateway delivers at least once."""
    name = event["source"], event["id"]
    if name in seen:
        return
    seen.append(name)  # now, for there are ten at a time, and its copy may be among them
    try:
        await handle(event)
    except Exception as error:
        seen.remove(name)
        raise RejectMessage(requeue=True) from error  # comes back at once; after five times it is dead


if __name__ == "__main__":
    asyncio.run(app.run())
