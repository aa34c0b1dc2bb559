"""Plain aio-pika: decode, handle, acknowledge, without retries and deduplication."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import aio_pika
import orjson
import uvloop
from aio_pika.abc import AbstractIncomingMessage

from bench.consumers.notes import note

_DECODERS: dict[str, Callable[[bytes], Any]] = {"json": json.loads, "orjson": orjson.loads}


async def main(decode: Callable[[bytes], Any]) -> None:
    """Handle events until a signal ends it."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)

    async def handle(message: AbstractIncomingMessage) -> None:
        event = decode(message.body)
        note(event["id"])
        await message.ack()

    async with await aio_pika.connect(os.environ["RABBITMQ_URL"]) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=int(os.environ["PREFETCH"]))
        queue = await channel.get_queue(os.environ["QUEUE"])
        await queue.consume(handle)
        await ended.wait()


if __name__ == "__main__":
    uvloop.run(main(_DECODERS[sys.argv[1]]))
