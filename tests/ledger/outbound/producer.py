"""The agent of a run: it publishes events one after another, each until it is confirmed."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import aio_pika
from aio_pika.abc import DeliveryMode
from aio_pika.exceptions import AMQPError

from gateway.outbound.intake import AGENTS_EXCHANGE
from ledger.outbound.targets import ORDER_KEYS
from support.way_out_program import EVENT

_KEY = "billing-agent.agent.run.completed"
_TIMEOUT = 5.0


class Producer:
    """Publishes in a thread of its own.

    Args:
        url: The address of RabbitMQ.
        pause: Seconds between two events.

    Attributes:
        confirmed: How many events were confirmed.
        repeated: How often one was published again, because its confirm did not come.
    """

    def __init__(self, url: str, pause: float) -> None:
        self._url = url
        self._pause = pause
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="producer")
        self.confirmed = 0
        self.repeated = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the event that is being published."""
        self._is_over.set()
        self._thread.join()

    async def _run(self) -> None:
        while not self._is_over.is_set():
            try:
                async with asyncio.timeout(_TIMEOUT):
                    connection = await aio_pika.connect(self._url)
            except (AMQPError, OSError):
                await asyncio.sleep(0.1)
                continue
            try:
                await self._publish(connection)
            except (AMQPError, OSError, RuntimeError):
                self.repeated += 1
            finally:
                with_time = asyncio.wait_for(connection.close(), _TIMEOUT)
                await asyncio.gather(with_time, return_exceptions=True)

    async def _publish(self, connection: aio_pika.abc.AbstractConnection) -> None:
        channel = await connection.channel()
        exchange = await channel.get_exchange(AGENTS_EXCHANGE, ensure=False)
        while not self._is_over.is_set():
            message = aio_pika.Message(event(self.confirmed), delivery_mode=DeliveryMode.PERSISTENT)
            await exchange.publish(message, _KEY, mandatory=True, timeout=_TIMEOUT)
            self.confirmed += 1
            await asyncio.sleep(self._pause)


def event(number: int) -> bytes:
    """Return the event of a number, always the same."""
    members = {
        "id": f"evt_{number}",
        "subject": f"run_{number % ORDER_KEYS}",
        "sequence": f"{number:010d}",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(number)),
    }
    return json.dumps({**EVENT, **members}).encode()
