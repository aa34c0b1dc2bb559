"""The worker of worker.py, with FastStream.

    pip install 'faststream[rabbit]'
    RABBITMQ_URL=amqp://guest:guest@localhost:5672/ python examples/faststream_worker.py

`ack_policy` decides what happens to an event whose handler raises. The default rejects it, and RabbitMQ drops rejected
messages of a queue without a dead-letter queue. NACK_ON_ERROR requeues it for ever: since 4.3 RabbitMQ does not count
that. So this worker has a dead-letter queue, and requeues a failed event by rejecting it, which is counted.
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
seen: deque[tuple[str, str]] = deque(maxlen=10_000)  # stored with the effect, if it has to survive


async def handle(event: dict[str, Any]) -> None:
    """Do the work; here, say what happened."""
    print(event["type"], event["id"], "about", event.get("subject", "nothing in particular"), flush=True)


@app.on_startup
async def declare() -> None:
    """Declare the queues here, because a subscriber can bind its queue by one pattern only."""
    await broker.connect()
    # The same declaration as the gateway's, so that either of them may come first.
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
                "x-overflow": "reject-publish",  # required by that strategy
            },
        )
    )
    for pattern in EVENTS:
        await queue.bind(exchange, pattern)


async def decode(message: RabbitMessage) -> Any:
    """Decode application/cloudevents+json, which FastStream does not do by itself."""
    return json.loads(message.body)


# A message that is not JSON raises before the handler runs; it is rejected into the dead-letter queue at once.
@broker.subscriber(Queue(QUEUE, declare=False), decoder=decode, ack_policy=AckPolicy.REJECT_ON_ERROR)
async def receive(event: dict[str, Any]) -> None:
    """Handle each event once, by its source and id: the gateway delivers at least once."""
    name = event["source"], event["id"]
    if name in seen:
        return
    seen.append(name)  # before the work: up to ten run at a time, and its duplicate may be one of them
    try:
        await handle(event)
    except Exception as error:
        seen.remove(name)
        raise RejectMessage(requeue=True) from error  # comes back at once; dead-lettered after five times


if __name__ == "__main__":
    asyncio.run(app.run())
