"""FastStream as documented, with a decoder, as it does not know CloudEvents' media type.

It logs two lines for each message unless it is told not to, which it is here.
"""

from __future__ import annotations

import os
from typing import Any

import orjson
import uvloop
from faststream import FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitMessage, RabbitQueue

from bench.consumers.notes import note

broker = RabbitBroker(
    os.environ["RABBITMQ_URL"],
    default_channel=Channel(prefetch_count=int(os.environ["PREFETCH"])),
    logger=None,
)


async def decode(message: RabbitMessage) -> Any:
    """The event in a message."""
    return orjson.loads(message.body)


@broker.subscriber(
    RabbitQueue(os.environ["QUEUE"], queue_type=QueueType.QUORUM, declare=False), decoder=decode
)
async def handle(event: dict[str, Any]) -> None:
    """Handle it; FastStream acknowledges what ends without an exception."""
    note(event["id"])


if __name__ == "__main__":
    uvloop.run(FastStream(broker, logger=None).run())
